"""Any event as a line in a chat, for receivers that want `{"text": …}` as Slack's incoming webhooks do.

`channel_destroy` with `{"call_id": "b1", "duration_seconds": 61}` becomes
`{"text": "*channel destroy*\\ncall_id: b1\\nduration_seconds: 61"}`. What is an object or a list itself is left out.
"""

from typing import Optional

from hookbox import Firing


def transform(firing: Firing) -> Optional[Firing]:
    title = firing.hook_event.replace("_", " ")
    plain = {key: value for key, value in firing.payload.items() if value is not None and not isinstance(value, (dict, list))}
    lines = [f"\n{key}: {in_words(value)}" for key, value in plain.items()]
    firing.payload = {"text": f"*{title}*{''.join(lines)}"}
    firing.content_type = "application/json"
    return firing


def in_words(value) -> str:
    """As JSON has it: `true`, where Python says `True`."""
    return str(value).lower() if isinstance(value, bool) else str(value)
