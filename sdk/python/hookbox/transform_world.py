"""What lies between an author's file and the export of the world `webhook-transform`. Only inside a component."""

import json

import wit_world
from componentize_py_types import Err
from wit_world.imports import types

from . import Failed, Firing, log


def exported(author):
    """The class that componentize-py looks for, made of a file with `transform`."""

    class WitWorld(wit_world.WitWorld):
        def transform(self, firing):
            try:
                changed = author.transform(_firing(firing))
                return None if changed is None else _changed(changed)
            except Failed as reason:
                raise Err(str(reason))
            except Exception as mistake:
                log.last_words(mistake)
                raise

    return WitWorld


def _firing(firing) -> Firing:
    return Firing(
        webhook_id=firing.webhook_id,
        account_id=firing.account_id,
        hook_id=firing.hook_id,
        hook_event=firing.hook_event,
        attempt=firing.attempt,
        verb=firing.verb,
        uri=firing.uri,
        payload=json.loads(firing.payload),
        headers=firing.headers,
        content_type=firing.content_type,
    )


def _changed(firing: Firing):
    return types.Firing(
        webhook_id=firing.webhook_id,
        account_id=firing.account_id,
        hook_id=firing.hook_id,
        hook_event=firing.hook_event,
        attempt=firing.attempt,
        verb=firing.verb,
        uri=firing.uri,
        payload=json.dumps(firing.payload, ensure_ascii=False),
        headers=firing.headers,
        content_type=firing.content_type,
    )
