"""The tree of accounts, as much of it as this module may see."""

from typing import Optional

try:
    from wit_world.imports import accounts as _host
except ImportError:  # Not in a component: somebody's tests.
    _host = None


def reseller(account: str) -> Optional[str]:
    """The nearest reseller above the account."""
    return None if _host is None else _host.reseller(account)


def ancestors(account: str) -> list[str]:
    """From the root down to the account's parent; empty for a root and for an unknown account."""
    return [] if _host is None else _host.ancestors(account)


def of_number(number: str) -> Optional[str]:
    """The account that a phone number (E.164, with `+`) is assigned to."""
    return None if _host is None else _host.account_of_number(number)
