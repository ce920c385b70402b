"""Which block of the pods' addresses a node gets: the lowest that nobody has. Pure: who has what is told."""

import ipaddress
from collections import Counter

from boxship.errors import Invalid

Range = ipaddress.IPv4Network | ipaddress.IPv6Network


class Blocks:
    """Blocks of one size in one range, numbered from 0. Nodes may have anything: blocks of another size, of another
    range, the same twice; what they have is not given to anybody else."""

    def __init__(self, range: Range, bits: int) -> None:
        if not range.prefixlen <= bits <= range.max_prefixlen:
            raise Invalid(f"cannot share {range} out in blocks of /{bits}")
        self._range = range
        self._size = 1 << (range.max_prefixlen - bits)
        self._bits = bits
        self.count = 1 << (bits - range.prefixlen)
        self._taken: Counter[int] = Counter()
        self._first = 0  # below, all are taken

    def take(self, text: str) -> None:
        """Somebody has it."""
        for number in self._numbers(text):
            self._taken[number] += 1

    def release(self, text: str) -> None:
        for number in self._numbers(text):
            self._taken[number] -= 1
            if self._taken[number] <= 0:
                del self._taken[number]
                self._first = min(self._first, number)

    def free(self) -> str | None:
        """The lowest that nobody has; None: there is none."""
        while self._first < self.count and self._first in self._taken:
            self._first += 1
        if self._first >= self.count:
            return None
        start = int(self._range.network_address) + self._first * self._size
        return f"{type(self._range.network_address)(start)}/{self._bits}"

    def _numbers(self, text: str) -> range:
        try:
            block = ipaddress.ip_network(text, strict=False)
        except ValueError:
            return range(0)
        if block.version != self._range.version or not block.overlaps(self._range):
            return range(0)
        base = int(self._range.network_address)
        first = max(int(block.network_address) - base, 0) // self._size
        last = min((int(block.broadcast_address) - base) // self._size, self.count - 1)
        return range(first, last + 1)
