"""How the threads of this program take turns.

One thread has the interpreter at a time. Who comes back from a system call asks for it, and is given it when the one
that computes waits itself, or has had its interval. A commit comes back from a system call some ten times: with the
interpreter's own five milliseconds for each, single commits took up to a second beside a loop that reads long lists.
"""

import sys

TURN_SECONDS = 0.0005  # shorter ones made commits no faster, and what is computed slower


def take_short_turns() -> None:
    """For a program whose loop computes while a thread of it writes."""
    sys.setswitchinterval(TURN_SECONDS)
