"""The engine's containers as stored: read once at start, then written through here and nowhere else.

Reads come from memory, because `ps` and `inspect` are asked thousands of times; a change is in the store before it is
in memory, so nobody sees what a crash could take back.
"""

import bisect
from collections.abc import Iterator

import msgspec

from boxship.engine.events import Events
from boxship.engine.model import Container, Event
from boxship.engine.placing import POD
from boxship.errors import Conflict, Internal, Invalid, NotFound
from boxship.store import Delete, Put, Store

PREFIX = "containers/"
NAMES = "container-names/"

_encode = msgspec.json.Encoder().encode
_decode = msgspec.json.Decoder(Container).decode


class Records:
    """Containers by id, by name and by unique id prefix."""

    def __init__(self, store: Store, events: Events) -> None:
        self._store = store
        self._events = events
        self._by_id: dict[str, Container] = {}
        self._by_name: dict[str, str] = {}
        self._ids: list[str] = []  # sorted, for prefixes
        self._sharing: dict[str, set[str]] = {}  # by the mode with which they joined a pod
        self.shown_images: dict[str, tuple[str, ...]] = {}  # by the uid of the pod that sees their files

    async def load(self) -> None:
        """Fill from the store. Raises Internal naming the key where a record can't be read."""
        for entry in (await self._store.list(PREFIX)).entries:
            try:
                container = _decode(entry.value)
            except msgspec.MsgspecError as error:
                raise Internal(f"cannot read {entry.key} from the state store: {error}") from error
            self._remember(container)

    def __iter__(self) -> Iterator[Container]:
        return iter(tuple(self._by_id.values()))

    def __len__(self) -> int:
        return len(self._by_id)

    def find(self, identifier: str) -> Container | None:
        """The container of that whole id, or None."""
        return self._by_id.get(identifier)

    def get(self, ref: str) -> Container:
        """By whole id, by name (with or without a slash), or by unique id prefix.

        Raises NotFound or, for a prefix of several ids, Invalid; the texts are Docker's.
        """
        name = ref.removeprefix("/")
        identifier = ref if ref in self._by_id else self._by_name.get(name)
        if identifier is not None and identifier not in self._by_id:
            identifier = None  # its name is claimed, its record is not durable yet
        if identifier is None and name:
            at = bisect.bisect_left(self._ids, name)
            matches = [found for found in self._ids[at : at + 2] if found.startswith(name)]
            if len(matches) > 1:
                raise Invalid(f"Multiple IDs found with provided prefix: {ref}")
            identifier = matches[0] if matches else None
        if identifier is None:
            raise NotFound(f"No such container: {ref}")
        return self._by_id[identifier]

    def sharing(self, mode: str) -> list[Container]:
        """The containers that joined a pod with the mode "pod:UID"."""
        return [self._by_id[identifier] for identifier in self._sharing.get(mode, ())]

    def named(self, name: str) -> Container | None:
        """The container of exactly that name, or None."""
        identifier = self._by_name.get(name)
        return self._by_id.get(identifier) if identifier else None

    async def insert(self, container: Container, *events: Event) -> None:
        """Store a new container and its name. Raises Conflict, with Docker's text, where the name is taken."""
        self._claim(container.name, container.id)
        try:
            await self._events.commit(
                Put(NAMES + container.name, container.id.encode(), expected=0),
                Put(PREFIX + container.id, _encode(container), expected=0),
                events=events,
            )
        except BaseException:
            del self._by_name[container.name]
            raise
        self._remember(container)

    async def save(self, container: Container, *events: Event) -> Container:
        """Store the new version of a container and what happened to it; the container, for chaining."""
        if container.id not in self._by_id:
            raise NotFound(f"No such container: {container.id}")
        await self._events.commit(Put(PREFIX + container.id, _encode(container)), events=events)
        self._by_id[container.id] = container
        return container

    async def rename(self, container: Container, name: str, *events: Event) -> Container:
        """Store the container under another name. Raises Conflict where that is taken."""
        self._claim(name, container.id)
        renamed = msgspec.structs.replace(container, name=name)
        try:
            await self._events.commit(
                Put(NAMES + name, container.id.encode(), expected=0),
                Delete(NAMES + container.name),
                Put(PREFIX + container.id, _encode(renamed)),
                events=events,
            )
        except BaseException:
            del self._by_name[name]
            raise
        del self._by_name[container.name]
        self._by_id[container.id] = renamed
        return renamed

    async def delete(self, container: Container, *events: Event) -> None:
        """Forget a container and free its name."""
        await self._events.commit(Delete(PREFIX + container.id), Delete(NAMES + container.name), events=events)
        self._by_id.pop(container.id, None)
        if (members := self._sharing.get(container.spec.network_mode)) is not None:
            members.discard(container.id)
            if not members:
                del self._sharing[container.spec.network_mode]
        if self._by_name.get(container.name) == container.id:
            del self._by_name[container.name]
        at = bisect.bisect_left(self._ids, container.id)
        if at < len(self._ids) and self._ids[at] == container.id:
            del self._ids[at]

    def _claim(self, name: str, identifier: str) -> None:
        owner = self._by_name.get(name)
        if owner is not None:
            raise Conflict(
                f'Conflict. The container name "/{name}" is already in use by container "{owner}". '
                "You have to remove (or rename) that container to be able to reuse that name."
            )
        self._by_name[name] = identifier

    def _remember(self, container: Container) -> None:
        if container.id not in self._by_id:
            bisect.insort(self._ids, container.id)
            if container.spec.network_mode.startswith(POD):
                self._sharing.setdefault(container.spec.network_mode, set()).add(container.id)
        self._by_id[container.id] = container
        self._by_name[container.name] = container.id
