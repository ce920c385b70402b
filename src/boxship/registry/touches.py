"""Blobs that a client was told to be there, so that it need not push them: kept for a while, for its manifest.

Between that word and the manifest somebody else may delete what names the blob now; a push in progress must not fail
for that. A touch belongs to whoever asked, ends with a manifest of his that names the blob, with a deletion of his own
over the same connection or after that was closed, or with time. Touches are in memory alone: after a restart a client
asks again.
"""

import msgspec

from boxship.content import Garbage
from boxship.registry.model import Actor

EACH_LIMIT = 64  # touches of one blob in one repository; the oldest goes


class Touch(msgspec.Struct):
    """One word given to one client. `until` is in nanoseconds since the epoch."""

    actor: Actor
    until: int


class Touches:
    """Of one repository."""

    def __init__(self, garbage: Garbage) -> None:
        self._garbage = garbage
        self._of: dict[str, list[Touch]] = {}

    def __contains__(self, digest: str) -> bool:
        return digest in self._of

    def __len__(self) -> int:
        return len(self._of)

    def digests(self) -> list[str]:
        """What is kept."""
        return list(self._of)

    def add(self, digest: str, actor: Actor, until: int) -> None:
        """Give the word once more. The blob has to be there, claimed or leased, now."""
        touches = self._of.setdefault(digest, [])
        if not touches:
            self._garbage.claim((digest,))
        touches.append(Touch(actor, until))
        del touches[:-EACH_LIMIT]

    def use(self, digest: str, actor: Actor) -> None:
        """A manifest names the blob: one word is kept, this principal's or else the oldest."""
        touches = self._of.get(digest)
        if not touches:
            return
        own = next((touch for touch in touches if touch.actor.principal == actor.principal), touches[0])
        self._drop(digest, [own])

    def withdraw(self, actor: Actor) -> None:
        """The actor deletes: what it asked for before was no push."""
        for digest, touches in list(self._of.items()):
            ended = [
                touch
                for touch in touches
                if touch.actor.principal == actor.principal
                and (touch.actor.gone is actor.gone or (touch.actor.gone is not None and touch.actor.gone.is_set()))
            ]
            self._drop(digest, ended)

    def forget(self, digest: str) -> None:
        """The blob itself is deleted."""
        self._drop(digest, list(self._of.get(digest, ())))

    def expire(self, now: int) -> None:
        for digest, touches in list(self._of.items()):
            self._drop(digest, [touch for touch in touches if touch.until <= now])

    def _drop(self, digest: str, ended: list[Touch]) -> None:
        if not ended:
            return
        left = [touch for touch in self._of[digest] if all(touch is not gone for gone in ended)]
        if left:
            self._of[digest] = left
        else:
            del self._of[digest]
            self._garbage.release((digest,))
