"""Verbs that do one thing to each of several names: every name is tried, every failure is told."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from boxship.cli.call import Call
from boxship.errors import BoxshipError


def for_each(call: Call, names: Sequence[str], action: Callable[[str], object], *, silent: bool = False) -> int:
    """Call the action for each name and print the name when it worked (unless `silent`). 1 if any failed."""
    failed = False
    for name in names:
        try:
            action(name)
        except BoxshipError as error:
            call.warn(f"boxship: {error}")
            failed = True
        else:
            if not silent:
                call.line(name)
    return int(failed)


def confirm(call: Call, warning: str) -> bool:
    """Ask before something that cannot be undone. No answer means no."""
    call.write(f"WARNING! {warning}\nAre you sure you want to continue? [y/N] ")
    import sys

    sys.stdout.flush()
    return sys.stdin.readline().strip().lower() in ("y", "yes")
