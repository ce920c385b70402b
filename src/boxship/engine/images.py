"""Images as users handle them: the images room, with what containers use, and events."""

import contextlib
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Collection, Mapping, Sequence

from boxship.engine.clock import Clock
from boxship.engine.describing import prune_event
from boxship.engine.events import Events
from boxship.engine.model import ALIVE, Event
from boxship.engine.records import Records
from boxship.images.library import Images
from boxship.images.model import Image, LayerProgress, Loaded, Removal, Use
from boxship.images.remote.model import Credentials, Document, Pulled, PullStep, Pushed, PushStep
from boxship.spec.image import Platform
from boxship.spec.platform import parse as parse_platform
from boxship.spec.reference import parse


class EngineImages:
    """resolve, list, history, tag, remove, prune, load, save, import_, pull, push, login, search, distribution."""

    def __init__(self, images: Images, records: Records, events: Events, clock: Clock) -> None:
        self._images = images
        self._records = records
        self._events = events
        self._clock = clock
        self.resolve = images.resolve
        self.signed = images.signed
        self.sign = images.sign
        self.push_signatures = images.push_signatures
        self.list = images.list
        self.history = images.history

    def user_of(self, identifier: str) -> str:
        """What has an image in use: a container or a pod, "" for none."""
        shown = (f"pod {uid}" for uid, images in self._records.shown_images.items() if identifier in images)
        made = (f"container {box.name}" for box in self._records if box.image_id == identifier)
        return next(made, next(shown, ""))

    def used_at(self, identifier: str) -> int:
        """When a container was last made of an image, 0 for never; to some minutes."""
        return self._images.catalog.record(identifier).used_at

    async def tag(self, ref: str, new: str) -> None:
        """Give an image a further name; a name that is taken moves."""
        image = await self._images.tag(ref, parse(new))
        self._publish("tag", image.id, new)

    async def remove(self, ref: str, *, force: bool = False) -> Sequence[tuple[str, str]]:
        """("Untagged" | "Deleted", what) in order. Raises NotFound, or Conflict where it is in use."""
        image = await self._images.resolve(ref)
        return self._tell(image.id, await self._images.remove(ref, force=force, uses=self._uses), {image.id})

    async def prune(self, *, dangling: bool, keep: Callable[[Image], bool]) -> tuple[Sequence[tuple[str, str]], int]:
        """Remove images that no container uses (only nameless ones with `dangling`): what went, and bytes freed."""
        known = {image.id for image in await self._images.list()}
        removed, freed = await self._images.prune(
            lambda image: not keep(image), everything=not dangling, uses=self._uses
        )
        told = self._tell("", removed, known)
        self._events.publish(prune_event("image", freed, self._clock.now()))
        return told, freed

    async def load(
        self, body: AsyncIterator[bytes], *, platform: str = "", only: str = "", limit: int = 0, files: int = 0
    ) -> AsyncIterator[LayerProgress | Loaded]:
        """Progress, and each image of the stream as soon as it is whole. With `only` it has to be the image of that id
        alone, and names in the stream do not count; `limit` and `files` bound the stream's bytes and its layers'."""
        wanted = parse_platform(platform) if platform else None
        async with contextlib.aclosing(self._images.load(body, wanted, only=only, limit=limit, files=files)) as steps:
            async for step in steps:
                if isinstance(step, Loaded):
                    self._publish("load", step.image_id, next(iter(step.references), step.image_id))
                yield step

    def save(self, refs: Sequence[str], *, platform: str = "") -> AsyncIterator[bytes]:
        """One archive of several images; the names are checked before this returns."""
        stream = self._images.save(refs, parse_platform(platform) if platform else None)
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
            body,
            parse(reference) if reference else None,
            changes=tuple(changes),
            message=message,
            platform=parse_platform(platform) if platform else None,
        )
        self._publish("import", image.id, reference or image.id)
        return image.id

    # registries

    async def pull(
        self, ref: str, *, platform: str = "", credentials: Credentials | None = None, every_tag: bool = False
    ) -> AsyncGenerator[PullStep | Pulled, None]:
        """Fetch an image, or every tag of a repository: news on the way."""
        reference = parse(ref)
        wanted = parse_platform(platform) if platform else None
        pulling = self._images.pull(reference, platform=wanted, credentials=credentials, every_tag=every_tag)
        async with contextlib.aclosing(pulling) as steps:
            async for step in steps:
                if isinstance(step, Pulled):
                    self._publish("pull", step.reference.familiar, step.reference.familiar_name)
                yield step

    async def push(
        self, ref: str, *, platform: str = "", credentials: Credentials | None = None, every_tag: bool = False
    ) -> AsyncGenerator[PushStep | Pushed, None]:
        """Send an image, or every tag of a repository: news on the way."""
        reference = parse(ref)
        wanted = parse_platform(platform) if platform else None
        pushing = self._images.push(reference, platform=wanted, credentials=credentials, every_tag=every_tag)
        async with contextlib.aclosing(pushing) as steps:
            async for step in steps:
                if isinstance(step, Pushed):
                    self._publish("push", step.reference.familiar, step.reference.familiar_name)
                yield step

    def download(self, url: str) -> AsyncIterator[bytes]:
        """A file of a web server."""
        return self._images.remote.download(url)

    async def login(self, domain: str, credentials: Credentials) -> None:
        """Ask a registry whether it knows us. Raises Unauthenticated."""
        await self._images.remote.login(domain, credentials)

    async def search(
        self, domain: str, term: str, limit: int, credentials: Credentials | None
    ) -> Sequence[Mapping[str, object]]:
        """What a registry's own search finds. Raises Unsupported where it has none."""
        return await self._images.remote.search(domain, term, limit, credentials)

    async def distribution(self, ref: str, credentials: Credentials | None) -> tuple[Document, Sequence[Platform]]:
        """What a name stands for in its registry, and for which platforms it is."""
        return await self._images.remote.distribution(parse(ref), credentials)

    def _uses(self) -> tuple[Use, ...]:
        return uses_of(self._records)

    def _tell(self, identifier: str, steps: Sequence[Removal], images: Collection[str]) -> Sequence[tuple[str, str]]:
        """Publish what went, of layers nothing. An image's names go before it does."""
        news = []
        for step in reversed(steps):
            if step.kind == "Deleted" and step.what in images:
                identifier = step.what
                news.append(("delete", identifier, identifier))
            elif step.kind == "Untagged":
                news.append(("untag", identifier or step.what, step.what))
        for action, actor, name in reversed(news):
            self._publish(action, actor, name)
        return [(step.kind, step.what) for step in steps]

    def _publish(self, action: str, identifier: str, name: str) -> None:
        self._events.publish(
            Event(kind="image", action=action, actor=identifier, attributes={"name": name}, time=self._clock.now())
        )


def uses_of(records: Records) -> tuple[Use, ...]:
    """What the images room has to know of the containers, and of the pods that see an image's files."""
    shown = ((uid, image) for uid, images in records.shown_images.items() for image in images)
    return (
        *(Use(container_id=box.id, image_id=box.image_id, running=box.state.phase in ALIVE) for box in records),
        *(Use(container_id=uid, image_id=image, running=True) for uid, image in shown),
    )
