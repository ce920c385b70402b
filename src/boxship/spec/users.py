"""Whose ids stand for a pod's own: a user namespace, and the machine's ids behind it."""

import msgspec

COUNT = 65_536  # ids of a pod with users of its own
AS_IS = "noidmap"  # an option of a bind mount: what lies there has its owners already


class UserMap(msgspec.Struct, frozen=True, omit_defaults=True):
    """The ids 0 to `count` of the user namespace kept at `path` are the machine's from `first` on. `first` 0: there is
    none, and ids are the machine's own."""

    path: str = ""
    first: int = 0
    count: int = 0

    def __bool__(self) -> bool:
        return self.first > 0
