"""Whose ids stand for a pod's own: a user namespace, and the machine's ids behind it."""

from collections.abc import Iterable

import msgspec

from boxship.errors import Invalid

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

    def check(self, ids: Iterable[int]) -> None:
        """Raises Invalid for an id that is none of these: behind it would be another pod's."""
        if self and (wrong := [str(id) for id in ids if not 0 <= id < self.count]):
            raise Invalid(
                f"cannot run as {', '.join(wrong)}: a pod with users of its own has the ids 0-{self.count - 1}"
            )
