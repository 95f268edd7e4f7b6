"""A call that nobody answered, told once it is over: for a list of people to call back.

Every call ends with CHANNEL_DESTROY on each of its legs. Missed is an inbound leg that rang and was never answered. Who
hangs up at once did not want to speak: the setting `min_ringing_s` (3) says how long is long enough.
"""

from hookbox import Binding, Event, Message, Metadata, NotMine, log, settings

MIN_RINGING_S = 3

metadata = Metadata(
    id="missed_call",
    name="Missed call",
    description="A call rang and nobody answered it",
    version="0.1.0",
    samples={"missed": {"call_id": "b1946ac9", "from": "+13125550111", "to": "4000", "rang_s": 21}},
)

bindings = [Binding("callevt", ["call.CHANNEL_DESTROY.*"], category="call_event", names=["CHANNEL_DESTROY"])]


def handle_event(message: Message) -> list[Event]:
    body = message.body
    was_answered = body.get("Billing-Seconds", 0) > 0
    if message.account_id is None or body.get("Call-Direction") != "inbound" or was_answered:
        raise NotMine
    rang_s = body.get("Ringing-Seconds", 0)
    enough = int(settings.get("min_ringing_s") or MIN_RINGING_S)
    if rang_s < enough:
        log.debug(f"rang for {rang_s} s only")
        return []
    payload = {
        "call_id": body.get("Call-ID"),
        "from": body.get("Caller-ID-Number"),
        "to": body.get("Callee-ID-Number"),
        "rang_s": rang_s,
    }
    return [Event(message.account_id, payload)]
