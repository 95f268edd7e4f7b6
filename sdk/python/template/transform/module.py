"""My event: a transform, which sees each firing of a hook before the request is made. This one says how often it was
tried; change it to what your receiver wants."""

from typing import Optional

from hookbox import Firing


def transform(firing: Firing) -> Optional[Firing]:
    """The firing to send, perhaps changed; None drops it. A raised Failed is an attempt that failed, and is tried again."""
    firing.headers.append(("X-Attempt", str(firing.attempt)))
    return firing
