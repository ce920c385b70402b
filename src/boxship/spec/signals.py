"""Signal names and numbers as users write them."""

import signal

from boxship.errors import Invalid

REALTIME = {
    "RTMIN": signal.SIGRTMIN,
    "RTMAX": signal.SIGRTMAX,
    **{f"RTMIN+{n}": signal.SIGRTMIN + n for n in range(1, 16)},
    **{f"RTMAX-{n}": signal.SIGRTMAX - n for n in range(1, 15)},
}


def signal_number(text: str) -> int:
    """The number of "SIGTERM", "term" or "15". Raises Invalid with Docker's text."""
    name = text.strip().upper().removeprefix("SIG")
    if name.isascii() and name.isdecimal() and len(name) < 10:
        number = int(name)
        if 0 < number <= signal.SIGRTMAX:
            return number
    elif name in REALTIME:
        return int(REALTIME[name])
    elif f"SIG{name}" in signal.Signals.__members__:
        return int(signal.Signals[f"SIG{name}"])
    raise Invalid(f"invalid signal: {text}")
