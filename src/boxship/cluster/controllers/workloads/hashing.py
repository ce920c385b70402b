"""The short hash that tells templates apart, in names and labels. It has the original's form (no vowels, so no words),
not its value: which is nobody's to rely on."""

import hashlib

import msgspec

from boxship.cluster.objects import Object

ALPHABET = "bcdfghjklmnpqrstvwxz2456789"
_encode = msgspec.json.Encoder(order="deterministic").encode


def hash_of(template: Object, collisions: int | None = None) -> str:
    """`collisions`: how often this owner found another's object under the name that this makes."""
    data = _encode(_bare(template)) + (b"" if not collisions else collisions.to_bytes(8, "little"))
    number = int.from_bytes(hashlib.sha256(data).digest()[:4], "big")
    return "".join(ALPHABET[ord(digit) % len(ALPHABET)] for digit in str(number))


def _bare(value: object) -> object:
    """Without absent and empty fields, which mean the same."""
    if isinstance(value, dict):
        return {key: _bare(item) for key, item in value.items() if item is not None and item != "" and item != {}}
    if isinstance(value, list):
        return [_bare(item) for item in value]
    return value
