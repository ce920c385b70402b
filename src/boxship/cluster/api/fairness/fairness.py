"""A seat for each request, by the stored flow schemas and priority levels."""

import asyncio
import contextlib
from collections.abc import AsyncIterator
from types import TracebackType

from boxship.cluster.api.authorization.mirror import Mirror
from boxship.cluster.api.bootstrap import flows
from boxship.cluster.api.fairness.levels import Level, Levels, Setting, setting_of
from boxship.cluster.api.fairness.rules import Schema, find, in_order, schema_of
from boxship.cluster.api.locks import KeyLocks
from boxship.cluster.api.request import Ask, User
from boxship.cluster.api.storage import Storage
from boxship.cluster.objects import Object
from boxship.cluster.objects.catalog import built_in
from boxship.cluster.objects.resource import Resource

SEATS = 120  # requests at once, of all levels that are limited; more would only wait for each other's processor
PATIENCE = 15.0  # seconds in a queue
REMEMBERED = 10_000  # kinds of request whose flow schema is known
GROUP = "flowcontrol.apiserver.k8s.io"
LONG = ("exec", "attach", "portforward", "proxy", "log")  # subresources that last as long as their user wants
CATCH_ALL = Schema("catch-all", "", "catch-all", 10_000, "ByUser", ())


class Slot:
    """One request's seat: `async with`. Gives itself; `flow_schema` and `priority_level` are uids for the answer.
    `turns` are those of long answers."""

    __slots__ = ("_began", "_flow", "_kept", "_level", "_levels", "_turns", "flow_schema", "priority_level")

    def __init__(self, levels: Levels, level: Level | None, schema: Schema, flow: str, turns: KeyLocks) -> None:
        self._levels = levels
        self._turns = turns
        self._kept: asyncio.TimerHandle | None = None
        self._level = level
        self._flow = flow
        self._began = 0.0
        self.flow_schema = schema.uid
        self.priority_level = level.setting.uid if level else ""

    async def __aenter__(self) -> "Slot":
        if self._level is not None and not self._level.setting.exempt:
            await self._levels.enter(self._level, self._flow)
            self._began = asyncio.get_running_loop().time()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._kept is None:
            self.leave()

    def keep(self, seconds: float) -> None:
        """It outlasts the block, until it is left, but not for longer."""
        self._kept = asyncio.get_running_loop().call_later(seconds, self.leave)

    def leave(self) -> None:
        """Give it back, if that was not done yet."""
        if self._kept is not None:
            self._kept.cancel()
        if self._began and self._level is not None:
            began, self._began = self._began, 0.0
            self._levels.leave(self._level, self._flow, asyncio.get_running_loop().time() - began)

    @contextlib.asynccontextmanager
    async def turn(self) -> AsyncIterator[None]:
        """Of those who wait, there is one of each flow, and of these one of each level: so all flows of a level, and
        all levels, have the same number of turns, however much one of them asks for."""
        level = self._level.setting.name if self._level else ""
        async with self._turns.hold(f"{level}/{self._flow}"), self._turns.hold(level):
            yield


class Fairness:
    """Built over the storage of one API. Call `prepare` once, and keep `follow` running."""

    def __init__(self, storage: Storage, *, seats: int = SEATS, patience: float = PATIENCE) -> None:
        self._schemas: dict[str, Schema] = {}
        self._settings: dict[str, Setting] = {}
        for level in flows.LEVELS:
            self._settings[level["metadata"]["name"]] = setting_of(level)
        for schema in flows.SCHEMAS:
            self._schemas[schema["metadata"]["name"]] = schema_of(schema)
        self._ordered: tuple[Schema, ...] = ()
        self._known: dict[tuple[object, ...], Schema] = {}
        self._levels = Levels(seats, patience)
        self._turns = KeyLocks()
        resources = [built_in(GROUP, "v1", plural) for plural in ("flowschemas", "prioritylevelconfigurations")]
        self._mirror = Mirror(storage, [resource for resource in resources if resource], self._told)
        self._is_loading = False
        self._configure()

    async def prepare(self) -> None:
        """Know the stored objects. Where there are none, those of a new cluster count."""
        self._is_loading = True
        await self._mirror.load()
        self._is_loading = False
        self._configure()

    async def follow(self) -> None:
        await self._mirror.follow()

    @property
    def levels(self) -> dict[str, Level]:
        """For metrics: what executes, waits and was sent away."""
        return self._levels.levels

    def slot(self, user: User, ask: Ask) -> Slot:
        schema = self._schema(user, ask)
        level = None if is_long(ask) else self._levels.levels.get(schema.level) or self._levels.levels.get("catch-all")
        return Slot(self._levels, level, schema, schema.flow_of(ask), self._turns)

    def _schema(self, user: User, ask: Ask) -> Schema:
        key = (user.name, user.groups, ask.verb, ask.group, ask.resource, ask.subresource, ask.namespace, ask.path)
        found = self._known.get(key)
        if found is None:
            found = find(self._ordered, ask) or CATCH_ALL
            if len(self._known) >= REMEMBERED:
                self._known.clear()
            self._known[key] = found
        return found

    def _told(self, resource: Resource, namespace: str, name: str, object: Object | None) -> None:
        if resource.plural == "flowschemas":
            self._schemas.pop(name, None)
            if object is not None:
                self._schemas[name] = schema_of(object)
        else:
            self._settings.pop(name, None)
            if object is not None:
                self._settings[name] = setting_of(object)
        if not self._is_loading:
            self._configure()

    def _configure(self) -> None:
        self._ordered = in_order(self._schemas.values())
        self._known.clear()
        self._levels.configure(self._settings.values())


def is_long(ask: Ask) -> bool:
    """Requests that may last for days hold no seat."""
    return ask.resource in ("pods", "services", "nodes") and ask.subresource in LONG
