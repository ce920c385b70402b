"""The keys that let a client go without ending the container ("ctrl-p,ctrl-q"), and finding them in what is typed.

Pure. The sequence itself must never reach the container; everything else must, in order.
"""

from boxship.errors import Invalid

DEFAULT_KEYS = "ctrl-p,ctrl-q"
NAMED = {
    "DEL": 127,
    **{f"ctrl-{letter}": number for number, letter in enumerate("@abcdefghijklmnopqrstuvwxyz[\\]^_")},
}


def parse_keys(text: str) -> bytes:
    """The bytes of a sequence such as "ctrl-p,ctrl-q" or "a,DEL"; "" means the default. Raises Invalid."""
    keys = bytearray()
    for name in (text or DEFAULT_KEYS).split(","):
        if len(name) == 1 and name.isascii():
            keys.append(ord(name))
        elif name in NAMED:
            keys.append(NAMED[name])
        else:
            raise Invalid(f"Invalid detach keys ({text}) provided: Unknown character: '{name}'")
    return bytes(keys)


class DetachKeys:
    """Watches a stream of input for the sequence. Keys that may begin it are held back until that is clear."""

    def __init__(self, text: str) -> None:
        self._keys = parse_keys(text)
        self._matched = 0

    def feed(self, typed: bytes) -> tuple[bytes, bool]:
        """What to pass on, and whether the sequence is complete (what follows it is dropped)."""
        if not self._matched and self._keys[0] not in typed:
            return typed, False
        passed = bytearray()
        for key in typed:
            held = self._keys[: self._matched] + bytes((key,))
            if held == self._keys:
                self._matched = 0
                return bytes(passed), True
            while not self._keys.startswith(held):  # the longest end of it that may still begin the sequence
                passed.append(held[0])
                held = held[1:]
            self._matched = len(held)
        return bytes(passed), False
