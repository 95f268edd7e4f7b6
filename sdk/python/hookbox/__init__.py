"""What a Hookbox module is written with in Python.

A module is a file with `metadata`, `bindings` and `handle_event`; a transform is a file with `transform`:

    from hookbox import Binding, Event, Message, Metadata, NotMine

    metadata = Metadata(id="doorbell", name="Doorbell", version="1.0.0")
    bindings = [Binding("house", ["door.#"], category="door", names=["rung"])]

    def handle_event(message: Message) -> list[Event]:
        if message.account_id is None:
            raise NotMine
        return [Event(message.account_id, {"door": message.body["Door"]})]

The contract (wit/v1) hands over JSON as text; here it is read and written, so that a module works with dictionaries.
Nothing in this package needs a component around it, so a module can be imported by ordinary tests too: there are no
settings and no accounts then, and log lines go to standard error.
"""

from dataclasses import dataclass, field
from typing import Any, Optional

__all__ = ["Binding", "Event", "Failed", "Firing", "Malformed", "Message", "Metadata", "NotMine"]

Json = dict[str, Any]


@dataclass
class Metadata:
    """What a module says about itself. Read once, when it is loaded."""

    id: str
    """The event's name as hooks use it, `[a-z0-9_]{1,64}`."""
    name: str
    """For people, 1 to 128 bytes."""
    version: str
    """Semantic version of the component, e.g. `1.2.0`."""
    description: str = ""
    """When the event happens, for people; at most 1024 bytes."""
    modifiers: Json = field(default_factory=dict)
    """What a hook's `custom_data` must choose from."""
    selectors: list[str] = field(default_factory=list)
    """The `custom_data` keys that choose among this module's events; compared with an event's facets."""
    samples: dict[str, Json] = field(default_factory=dict)
    """Payloads that show what receivers get, by name."""
    payload_schema: Json = field(default_factory=lambda: {"type": "object"})
    """JSON Schema of the payload. A `$ref` is never fetched."""


@dataclass
class Binding:
    """What to bind at the broker, and which messages to be handed."""

    exchange: str
    routing_keys: list[str]
    """On a topic exchange `*` is one word, `#` any number of words."""
    category: str
    """The body's `Event-Category` that is wanted."""
    names: list[str] = field(default_factory=lambda: ["*"])
    """The body's `Event-Name`s that are wanted; `*` for all."""
    kind: str = "topic"
    """`topic`, `direct`, `fanout` or `headers`."""
    durable: bool = False
    """Whether the exchange is declared durable. It must agree with what is there."""


@dataclass
class Message:
    """One thing that the host took in."""

    exchange: str
    routing_key: str
    body: Json
    category: str = ""
    """The body's `Event-Category`; empty when it has none."""
    name: str = ""
    """The body's `Event-Name`; empty when it has none."""
    account_id: Optional[str] = None
    """The account that the host found in the message."""
    received_ms: int = 0
    """Milliseconds since 1970, UTC. `time.time()` stands still at this time."""
    source: str = "amqp"
    """`amqp` or `http`."""


@dataclass
class Event:
    """What a module made of a message."""

    account_id: str
    """Whose event it is. The host refuses an account that the module may not speak for."""
    payload: Json
    """What receivers get."""
    hook_event: Optional[str] = None
    """The name that hooks subscribe to; the module's own id when left out."""
    facets: dict[str, str] = field(default_factory=dict)
    """Compared with a hook's `custom_data` under the module's selectors."""
    internal_leg: bool = False
    """True for a leg inside the platform, which hooks with `include_internal_legs: false` do not want."""
    inline_hook: Optional[Json] = None
    """A hook document that travelled in the message: the event fires at it alone."""


@dataclass
class Firing:
    """One event for one hook, as a transform sees it."""

    webhook_id: str
    """The same on every try."""
    account_id: str
    hook_id: str
    hook_event: str
    attempt: int
    """1 for the first try."""
    verb: str
    """`get`, `post` or `put`. A change is ignored."""
    uri: str
    """Path and query may be changed; another scheme, host or port is refused."""
    payload: Json
    headers: list[tuple[str, str]]
    """The hook's own headers. Reserved names are refused."""
    content_type: str
    """`application/json`, `application/x-www-form-urlencoded`, or another name to send the JSON under."""


class NotMine(Exception):
    """Raised by a module for a message of no interest to it."""


class Malformed(Exception):
    """Raised by a module for a message that can never work; the text says why."""


class Failed(Exception):
    """Raised when the message is sound and there still is nothing to give: it is kept, or tried again."""
