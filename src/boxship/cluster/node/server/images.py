"""Images that other nodes may have from this one: those that were built or loaded here, which no registry has.

Only these, and by their names alone: what came from a registry is had from there, with the rights that one needs there.
An image is named once, by who asks; the archive itself bears no names, so nobody can put a name on another node.
"""

from collections.abc import AsyncIterator
from typing import Protocol

import msgspec

from boxship.transport.exchange import Reply, Request

STALL_SECONDS = 60.0
_encode = msgspec.json.Encoder().encode


class SharedImage(msgspec.Struct, frozen=True, omit_defaults=True):
    """What a name stands for here. `registry`: it came from one and is not given; nothing else is said of it then.
    `made_at`: when it got its name here, nanoseconds since the epoch; `size`: bytes of its archive, `unpacked` of its
    files; `origin`: the node that it came from, "" for what was made here."""

    id: str = ""
    made_at: int = 0
    size: int = 0
    unpacked: int = 0
    origin: str = ""
    registry: bool = False


class SharedImages(Protocol):
    """What a node has to give."""

    async def find(self, reference: str) -> SharedImage | None:
        """What the name stands for; None: there is no image of that name."""

    def archive(self, id: str) -> AsyncIterator[bytes]:
        """The image without its names. Raises NotFound at once."""


class Nothing:
    """A node that has nothing to give. Implements SharedImages."""

    async def find(self, reference: str) -> SharedImage | None:
        return None

    async def _none(self) -> AsyncIterator[bytes]:
        return
        yield b""

    def archive(self, id: str) -> AsyncIterator[bytes]:
        return self._none()


class ImageDoor:
    """/images/find?reference=… and /images/archive?reference=…, for other nodes."""

    def __init__(self, images: SharedImages) -> None:
        self._images = images

    async def answer(self, request: Request, words: list[str]) -> Reply:
        reference = (request.query.get("reference") or [""])[0]
        found = await self._images.find(reference) if reference and words in (["find"], ["archive"]) else None
        if found is not None and words == ["find"]:
            return Reply(200, {"Content-Type": "application/json"}, _encode(found))
        if found is None or found.registry:
            return Reply(404, {"Content-Type": "text/plain; charset=utf-8"}, b"no such image was made here")
        return Reply(200, {"Content-Type": "application/x-tar"}, self._images.archive(found.id), STALL_SECONDS)
