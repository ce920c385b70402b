"""ASN.1: what cryptographic messages are written in. DER is written; BER is read, since others stream their messages.

Values are trees of `Node`; `raw` keeps the bytes as they came, because signatures are over bytes, not over meanings.
"""

from collections.abc import Iterable, Sequence

import msgspec

from boxship.errors import Invalid

INTEGER, BIT_STRING, OCTETS, NULL, OBJECT, SEQUENCE, SET = 0x02, 0x03, 0x04, 0x05, 0x06, 0x30, 0x31
CONSTRUCTED = 0x20
DEPTH = 24  # values within values
END = b"\0\0"


def context(number: int, *, constructed: bool = True) -> int:
    """The tag [number]."""
    return 0x80 | number | (CONSTRUCTED if constructed else 0)


class Node(msgspec.Struct, frozen=True):
    """One value: its tag, its content (of a primitive one) or its parts, and all its bytes."""

    tag: int
    content: bytes
    parts: tuple["Node", ...]
    raw: bytes

    def expect(self, tag: int) -> "Node":
        """The node itself. Raises Invalid for another tag."""
        if self.tag != tag:
            raise Invalid(f"cannot read the message: a value has the tag {self.tag:#x} instead of {tag:#x}")
        return self

    def part(self, place: int, tag: int = -1) -> "Node":
        """One of the parts. Raises Invalid where it is missing or another."""
        if place >= len(self.parts):
            raise Invalid("cannot read the message: a value ends too early")
        return self.parts[place] if tag < 0 else self.parts[place].expect(tag)

    def tagged(self, tag: int) -> "Node | None":
        """The first part with a tag."""
        return next((part for part in self.parts if part.tag == tag), None)

    @property
    def octets(self) -> bytes:
        """The content of an octet string, also of one that came in pieces."""
        if self.tag & CONSTRUCTED:
            return b"".join(part.expect(OCTETS).content for part in self.parts)
        return self.content

    @property
    def number(self) -> int:
        return int.from_bytes(self.expect(INTEGER).content, signed=True)

    @property
    def name(self) -> str:
        """An object identifier in dots."""
        numbers: list[int] = []
        value = 0
        for byte in self.expect(OBJECT).content:
            value = value << 7 | byte & 0x7F
            if not byte & 0x80:
                numbers.append(value)
                value = 0
        if not numbers:
            raise Invalid("cannot read the message: an object identifier is empty")
        first = min(numbers[0] // 40, 2)
        return ".".join(str(number) for number in (first, numbers[0] - 40 * first, *numbers[1:]))


def read(data: bytes) -> Node:
    """The one value that the bytes are. Raises Invalid."""
    node, end = _read(data, 0, len(data), 0)
    if end != len(data):
        raise Invalid("cannot read the message: there is more after its end")
    return node


def _read(data: bytes, start: int, limit: int, depth: int) -> tuple[Node, int]:
    if depth > DEPTH:
        raise Invalid("cannot read the message: it is nested too deep")
    if start + 2 > limit or data[start] & 0x1F == 0x1F:
        raise Invalid("cannot read the message: it ends too early, or has an unknown tag")
    tag, length, position = data[start], data[start + 1], start + 2
    if length == 0x80:
        if not tag & CONSTRUCTED:
            raise Invalid("cannot read the message: a value has no length")
        parts = []
        while data[position : position + 2] != END:
            part, position = _read(data, position, limit, depth + 1)
            parts.append(part)
        return Node(tag, b"", tuple(parts), data[start : position + 2]), position + 2
    if length > 0x80:
        count = length & 0x7F
        length = int.from_bytes(data[position : position + count])
        position += count
    end = position + length
    if end > limit:
        raise Invalid("cannot read the message: it ends too early")
    if not tag & CONSTRUCTED:
        return Node(tag, data[position:end], (), data[start:end]), end
    parts = []
    while position < end:
        part, position = _read(data, position, end, depth + 1)
        parts.append(part)
    return Node(tag, b"", tuple(parts), data[start:end]), end


def write(tag: int, *contents: bytes) -> bytes:
    """A value of these contents."""
    length = sum(map(len, contents))
    if length < 0x80:
        head = bytes((tag, length))
    else:
        size = length.to_bytes((length.bit_length() + 7) // 8)
        head = bytes((tag, 0x80 | len(size))) + size
    return head + b"".join(contents)


def sequence(*contents: bytes) -> bytes:
    return write(SEQUENCE, *contents)


def sorted_set(contents: Iterable[bytes], tag: int = SET) -> bytes:
    """A SET OF, in DER's order."""
    return write(tag, *sorted(contents))


def integer(value: int) -> bytes:
    return write(INTEGER, value.to_bytes(value.bit_length() // 8 + 1, signed=True))


def octets(data: bytes) -> bytes:
    return write(OCTETS, data)


def identifier(name: str) -> bytes:
    """An object identifier from dots."""
    first, second, *rest = (int(part) for part in name.split("."))
    content = b""
    for number in (first * 40 + second, *rest):
        digits = [number & 0x7F]
        while number := number >> 7:
            digits.append(number & 0x7F | 0x80)
        content += bytes(reversed(digits))
    return write(OBJECT, content)


def algorithm(name: str, *parameters: bytes) -> bytes:
    """An AlgorithmIdentifier."""
    return sequence(identifier(name), *parameters)


__all__: Sequence[str] = ("Node", "read", "write")
