"""Open TCP connections of a container, as its own kernel tables show them: who still waits for an answer.

Parsing is pure. A connection over the container's own loopback never counts: nobody outside has it.
"""

from collections.abc import Collection
from pathlib import Path

ESTABLISHED, SYN_RECEIVED, FIN_WAIT_1, CLOSE_WAIT, LAST_ACK, CLOSING, LISTEN = 1, 3, 4, 8, 9, 11, 10
OPEN = frozenset(
    {ESTABLISHED, SYN_RECEIVED, FIN_WAIT_1, CLOSE_WAIT, LAST_ACK, CLOSING}
)  # something is still to be sent
MAPPED = "0000000000000000FFFF0000"  # an IPv4 address in the kernel's writing of IPv6 ones
LOOPBACK_6 = "00000000000000000000000001000000"


def count_open(table: str, ports: Collection[int] | None) -> int:
    """How many connections to some ports (None: those at which somebody listens) a table in the form of /proc/net/tcp
    and tcp6 has."""
    rows = [row for row in map(_row, table.splitlines()) if row]
    wanted = {port for _, port, state in rows if state == LISTEN} if ports is None else ports
    return sum(state in OPEN and port in wanted and not _is_loopback(address) for address, port, state in rows)


def listening(table: str) -> frozenset[int]:
    """The ports at which others can reach somebody who listens."""
    rows = filter(None, map(_row, table.splitlines()))
    return frozenset(port for address, port, state in rows if state == LISTEN and not _is_loopback(address))


def _row(line: str) -> tuple[str, int, int] | None:
    """Local address in hexadecimal, local port, state; None for the heading."""
    words = line.split(None, 4)
    address, colon, port = words[1].partition(":") if len(words) > 3 else ("", "", "")
    if not colon:
        return None
    try:
        return address, int(port, 16), int(words[3], 16)
    except ValueError:
        return None


def _is_loopback(address: str) -> bool:
    plain = address.removeprefix(MAPPED)
    return address == LOOPBACK_6 or (len(plain) == 8 and plain.endswith("7F"))  # the kernel writes it backwards


def read_table(pid: int) -> str:
    """The tables of a process's namespace; "" where it has ended. Blocks: those of a busy container are large."""
    parts = []
    for name in ("tcp", "tcp6"):
        try:
            parts.append(Path(f"/proc/{pid}/net/{name}").read_text())
        except OSError:  # the process is gone, or the kernel has no IPv6
            continue
    return "\n".join(parts)
