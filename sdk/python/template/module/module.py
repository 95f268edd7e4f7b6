"""My event: a call is over. Change it to what you want to tell your receivers."""

from hookbox import Binding, Event, Malformed, Message, Metadata, NotMine

metadata = Metadata(
    id="my_event",
    name="My event",
    description="A call is over",
    version="0.1.0",
    samples={"hung_up": {"call_id": "b1946ac9", "hangup_cause": "NORMAL_CLEARING", "duration_s": 61}},
)

# Which messages it wants: an exchange, a routing key (`*` is one word), and what the body says of itself.
bindings = [Binding("callevt", ["call.CHANNEL_DESTROY.*"], category="call_event", names=["CHANNEL_DESTROY"])]


def handle_event(message: Message) -> list[Event]:
    """The events that a message gives: none, one or several. Nothing is kept from one call to the next."""
    if message.account_id is None:
        raise NotMine
    if "Call-ID" not in message.body:
        raise Malformed("no Call-ID")
    payload = {
        "call_id": message.body["Call-ID"],
        "hangup_cause": message.body.get("Hangup-Cause"),
        "duration_s": message.body.get("Duration-Seconds"),
    }
    return [Event(message.account_id, payload)]
