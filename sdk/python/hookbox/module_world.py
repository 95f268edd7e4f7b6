"""What lies between an author's file and the exports of the world `webhook-module`. Only inside a component."""

import json

import wit_world
from componentize_py_types import Err
from wit_world.imports import types

from . import Binding, Event, Failed, Malformed, Message, NotMine, log


def exported(author):
    """The class that componentize-py looks for, made of a file with `metadata`, `bindings` and `handle_event`."""

    class WitWorld(wit_world.WitWorld):
        def metadata(self):
            own = author.metadata
            return types.Metadata(
                id=own.id,
                name=own.name,
                description=own.description,
                version=own.version,
                modifiers=json.dumps(own.modifiers),
                selectors=own.selectors,
                samples=[types.Sample(name, json.dumps(payload)) for name, payload in own.samples.items()],
                payload_schema=json.dumps(own.payload_schema),
            )

        def bindings(self):
            return [_binding(binding) for binding in author.bindings]

        def handle_event(self, message):
            try:
                made = author.handle_event(_message(message))
                return [_event(event, author.metadata.id) for event in made or []]
            except NotMine:
                raise Err(types.HandleError_NotMine())
            except Malformed as reason:
                raise Err(types.HandleError_Malformed(str(reason)))
            except Failed as reason:
                raise Err(types.HandleError_Failed(str(reason)))
            except Exception as mistake:
                log.last_words(mistake)
                raise

    return WitWorld


def _binding(binding: Binding):
    return types.Binding(
        exchange=binding.exchange,
        kind=types.ExchangeKind[binding.kind.upper()],
        durable=binding.durable,
        routing_keys=binding.routing_keys,
        category=binding.category,
        names=binding.names,
    )


def _message(message) -> Message:
    return Message(
        source=message.source,
        exchange=message.exchange,
        routing_key=message.routing_key,
        category=message.category,
        name=message.name,
        account_id=message.account_id,
        received_ms=message.received_ms,
        body=json.loads(message.body),
    )


def _event(event: Event, module_id: str):
    return types.Event(
        hook_event=event.hook_event or module_id,
        account_id=event.account_id,
        payload=json.dumps(event.payload, ensure_ascii=False),
        facets=list(event.facets.items()),
        internal_leg=event.internal_leg,
        inline_hook=None if event.inline_hook is None else json.dumps(event.inline_hook),
    )
