"""What the operator or the tenant set for this module. Lists and objects are JSON text."""

from typing import Optional

try:
    from wit_world.imports import settings as _host
except ImportError:  # Not in a component: somebody's tests.
    _host = None


def get(key: str) -> Optional[str]:
    """The value, or None when it is not set."""
    return None if _host is None else _host.get(key)


def all() -> dict[str, str]:
    """All pairs, in the order of their keys."""
    return {} if _host is None else dict(_host.all())
