"""What a store says of itself, for people who look after it."""

import msgspec


class Member(msgspec.Struct, frozen=True):
    """One server behind the store. Sizes in bytes; `errors` are alarms, or why it does not answer."""

    place: str
    version: str = ""
    size: int = 0
    used: int = 0
    leader: bool = False
    errors: tuple[str, ...] = ()


class Status(msgspec.Struct, frozen=True):
    """`oldest` is the first revision that can be looked back to; `content` the bytes of all values, `size` of the
    files, 0 where they are not here."""

    kind: str
    place: str
    revision: int
    oldest: int
    entries: int
    content: int
    size: int = 0
    members: tuple[Member, ...] = ()
