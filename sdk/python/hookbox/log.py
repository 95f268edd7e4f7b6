"""Lines for the module's own log. `print` writes there too, at level info."""

import sys
import traceback

try:
    from wit_world.imports import log as _host
except ImportError:  # Not in a component: somebody's tests.
    _host = None


def debug(text: object) -> None:
    _write("DEBUG", text)


def info(text: object) -> None:
    _write("INFO", text)


def warn(text: object) -> None:
    _write("WARN", text)


def error(text: object) -> None:
    _write("ERROR", text)


def last_words(exception: BaseException) -> None:
    """An exception that nobody meant ends in a trap, and a trap carries no text: so it is written down first."""
    place = traceback.extract_tb(exception.__traceback__)[-1:]
    where = f" ({place[0].filename}:{place[0].lineno})" if place else ""
    error(f"{type(exception).__name__}: {exception}{where}")


def _write(level: str, text: object) -> None:
    if _host is None:
        print(level.lower(), text, file=sys.stderr)
    else:
        _host.log(_host.Level[level], str(text))
