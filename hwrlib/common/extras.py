"""Extras: libraries that `pip install hwrlib` leaves out, since reading does not need them, and how to install one."""

import sys
from importlib.util import find_spec


class MissingExtra(ModuleNotFoundError):
    """Libraries of an extra are not installed; the message names the extra."""


def require(extra: str, what: str, *libraries: str, command: bool = False) -> None:
    """Check that libraries are installed, without importing them.

    Args:
        extra: of `pyproject.toml`, which installs them.
        what: needs them, for the message.
        libraries: their import names.
        command: the check is for the module that `python -m` runs. In the `__init__` of its folder this is recognised.
    Raises:
        MissingExtra: one of them is not installed.
        SystemExit: so it is, in a command: the message is printed without a traceback, and the exit status is 2.
    """
    missing = [name for name in libraries if find_spec(name) is None]
    if not missing:
        return
    message = f"{what} needs {', '.join(missing)}: pip install 'hwrlib[{extra}]'"
    if command or sys.argv[:1] == ["-m"]:  # as long as Python locates the module, according to its manual
        print(f"error: {message}", file=sys.stderr)
        raise SystemExit(2)
    raise MissingExtra(message)
