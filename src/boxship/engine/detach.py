"""The keys that let a client go without ending the container ("ctrl-p,ctrl-q")."""

from boxship.errors import Invalid

DEFAULT_KEYS = "ctrl-p,ctrl-q"
NAMED = {"@": 0, "[": 27, "\\": 28, "]": 29, "^": 30, "_": 31}


def parse_keys(text: str) -> bytes:
    """The bytes of a sequence such as "ctrl-p,ctrl-q" or "a,b". Raises Invalid, with Docker's text, for a wrong one."""
    keys = bytearray()
    for part in (text or DEFAULT_KEYS).split(","):
        if len(part) == 1 and part.isascii():
            keys.append(ord(part))
            continue
        name = part.removeprefix("ctrl-") if part.startswith("ctrl-") else ""
        if len(name) == 1 and "a" <= name <= "z":
            keys.append(ord(name) - ord("a") + 1)
        elif name in NAMED:
            keys.append(NAMED[name])
        else:
            raise Invalid(f"Invalid escape keys ({text}) provided: Unknown character: '{part}'")
    return bytes(keys)


class DetachKeys:
    """Watches a stream of input for the sequence; keys of a broken-off beginning are passed on."""

    def __init__(self, text: str) -> None:
        self._keys = parse_keys(text)
        self._matched = 0

    def feed(self, data: bytes) -> tuple[bytes, bool]:
        """What to pass on, and whether the sequence is complete (the rest is then dropped)."""
        passed = bytearray()
        for byte in data:
            if byte == self._keys[self._matched]:
                self._matched += 1
                if self._matched == len(self._keys):
                    self._matched = 0
                    return bytes(passed), True
                continue
            passed += self._keys[: self._matched]
            self._matched = 0
            if byte == self._keys[0] and len(self._keys) > 1:
                self._matched = 1
            else:
                passed.append(byte)
        return bytes(passed), False
