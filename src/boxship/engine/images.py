"""Images as users handle them: the images room, with what containers use, and events."""

from collections.abc import AsyncIterator, Callable, Sequence

from boxship.engine.clock import Clock
from boxship.engine.events import Events
from boxship.engine.model import ALIVE, Event
from boxship.engine.records import Records
from boxship.images import Image, Images, Use


class EngineImages:
    """resolve, list, history, tag, remove, prune, load, save, import_."""

    def __init__(self, images: Images, records: Records, events: Events, clock: Clock) -> None:
        self._images = images
        self._records = records
        self._events = events
        self._clock = clock
        self.resolve = images.resolve
        self.list = images.list
        self.history = images.history

    def containers_of(self, image_id: str) -> int:
        """How many containers are made of the image."""
        return sum(container.image_id == image_id for container in self._records)

    async def tag(self, ref: str, new: str) -> None:
        """Give an image a further name; a name that is taken moves."""
        image = await self._images.tag(ref, new)
        self._publish("tag", image.id, new)

    async def remove(self, ref: str, *, force: bool = False, prune: bool = True) -> list[tuple[str, str]]:
        """("Untagged" | "Deleted", what) in order. Raises NotFound, or Conflict where it is in use."""
        removed = await self._images.remove(ref, force=force, prune=prune, uses=self._uses())
        for kind, what in removed:
            self._publish("untag" if kind == "Untagged" else "delete", what, what)
        return removed

    async def prune(self, *, dangling: bool, keep: Callable[[Image], bool]) -> tuple[list[tuple[str, str]], int]:
        """Remove images that no container uses (only nameless ones with `dangling`): what went, and bytes freed."""
        removed, freed = await self._images.prune(dangling=dangling, keep=keep, uses=self._uses())
        for kind, what in removed:
            self._publish("untag" if kind == "Untagged" else "delete", what, what)
        return removed, freed

    async def load(self, body: AsyncIterator[bytes], *, platform: str = "") -> AsyncIterator[str]:
        """Lines such as "Loaded image: x:latest", as each image of the stream is whole."""
        async for name in self._images.load(body, platform=platform):
            self._publish("load", name, name)
            kind = "Loaded image ID" if name.startswith("sha256:") else "Loaded image"
            yield f"{kind}: {name}"

    async def save(self, refs: Sequence[str], *, platform: str = "") -> AsyncIterator[bytes]:
        """One archive of several images; returns after the names are checked, before the first byte is made."""
        stream = await self._images.save(refs, platform=platform)
        for ref in refs:
            self._publish("save", ref, ref)
        return stream

    async def import_(
        self,
        body: AsyncIterator[bytes],
        *,
        reference: str = "",
        changes: Sequence[str] = (),
        message: str = "",
        platform: str = "",
    ) -> str:
        """A new image of one layer; its id."""
        image = await self._images.import_tar(
            body, reference=reference, changes=tuple(changes), message=message, platform=platform
        )
        self._publish("import", image.id, reference or image.id)
        return image.id

    def _uses(self) -> tuple[Use, ...]:
        return tuple(
            Use(
                image_id=container.image_id,
                reference=container.spec.image,
                container_id=container.id,
                running=container.state.phase in ALIVE,
            )
            for container in self._records
        )

    def _publish(self, action: str, identifier: str, name: str) -> None:
        self._events.publish(
            Event(kind="image", action=action, actor=identifier, attributes={"name": name}, time=self._clock.now())
        )
