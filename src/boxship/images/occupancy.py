"""Which images are in use at this moment beyond what records say: being made into a container, or just going.

Between the decision to remove an image and the commit that does so, nobody may begin to use it; and what somebody
begins to use may not be removed before the container's record says so itself.
"""

import contextlib
import time
from collections import Counter
from collections.abc import Callable, Collection, Iterator

from boxship.images.lookup import missing
from boxship.images.model import Use

Uses = Collection[Use] | Callable[[], Collection[Use]]


class Occupancy:
    """Belongs to the loop."""

    def __init__(self) -> None:
        self._making: Counter[str] = Counter()
        self._leaving: set[str] = set()
        self.used: dict[str, int] = {}  # when, in nanoseconds, as far as it was seen since the start

    @contextlib.contextmanager
    def using(self, identifier: str) -> Iterator[None]:
        """The image is in use until the end. Raises NotFound where it is going."""
        if identifier in self._leaving:
            raise missing(identifier)
        self._making[identifier] += 1
        self.used[identifier] = time.time_ns()
        try:
            yield
        finally:
            self._making[identifier] -= 1
            if not self._making[identifier]:
                del self._making[identifier]

    @contextlib.contextmanager
    def leaving(self, identifier: str) -> Iterator[None]:
        """Nobody may begin to use the image until the end."""
        self._leaving.add(identifier)
        try:
            yield
        finally:
            self._leaving.discard(identifier)

    def all_uses(self, uses: Uses) -> list[Use]:
        """The containers that are there, and those being made."""
        known = uses() if callable(uses) else uses
        return [*known, *(Use("(being made)", identifier, running=False) for identifier in self._making)]
