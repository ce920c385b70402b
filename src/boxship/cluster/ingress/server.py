"""Ingress on this node: follows the API, and brings haproxy to where it should be. Without an Ingress nothing runs and
no port is taken."""

import asyncio
import contextlib
import logging
import resource
import time
from collections import defaultdict
from collections.abc import Mapping, Sequence
from pathlib import Path

import msgspec

from boxship.cluster.ingress import facts
from boxship.cluster.ingress.configuration import Wanted, files_of
from boxship.cluster.ingress.facts import Place, Service, Slice
from boxship.cluster.ingress.model import Backend, Identity, Parsed, Plan, identity, parsed_of, plan_of, rules_part
from boxship.cluster.ingress.process import CURRENT, Haproxy
from boxship.cluster.ingress.secrets import Secrets
from boxship.cluster.ingress.serving import Served, served_of, wanted_of
from boxship.cluster.ingress.slots import Slots, all_commands, first_slots, moved
from boxship.cluster.objects import Object
from boxship.cluster.reconcile.cache import Cache, Key
from boxship.cluster.reconcile.following import Source
from boxship.errors import BoxshipError, Invalid, NotFound
from boxship.transport.commands import is_free

log = logging.getLogger(__name__)

GATHER_SECONDS = 0.005  # that changes have to come together
RELOAD_PAUSE = 0.3  # seconds between two generations of files
SECRETS_SECONDS = 2.0  # that a new Ingress waits for its secrets
RESTART_PAUSE = 1.0  # seconds before a haproxy that has ended at once is started again
AGAIN_SECONDS = 5.0  # after a failure
DYING_SECONDS = 5.0  # that a dead haproxy's worker may take to end
PORTS_SECONDS = 30.0  # until a port that was taken is tried again

HELD = "places.json"
CONNECTIONS = 20_000  # at most
SPARE_FILES = 200
SLICE_SECONDS = 0.001  # of looking at backends before others have their turn
Places = tuple[Place, ...]


class IngressServer:
    """`plain` and `tls` are where it listens; `folder` is its own, `user` who haproxy becomes ("": who we are)."""

    def __init__(
        self,
        client: Source,
        folder: Path,
        plain: Sequence[Place],
        tls: Sequence[Place],
        *,
        user: str = "",
        program: str = "haproxy",
    ) -> None:
        self._folder = folder
        self._places = (tuple(plain), tuple(tls))
        self._user = user
        self._haproxy = Haproxy(folder, program)
        self._ingresses = Cache(client, "networking.k8s.io/v1/ingresses", keep=parsed_of)
        self._classes = Cache(client, "networking.k8s.io/v1/ingressclasses")
        self._services = Cache(client, "v1/services", keep=facts.service_of)
        self._slices = Cache(client, "discovery.k8s.io/v1/endpointslices", keep=facts.slice_of)
        self._news = asyncio.Event()
        self._secrets = Secrets(client, self._secret_changed)
        self._served = Served()
        self._stale = True  # the plan has to be made again
        self._touched: set[Key] | None = None  # services whose endpoints alone changed; None: more than that
        self._refused: set[Identity] = set()  # Ingresses that haproxy does not take
        self._slots: dict[str, Slots] = {}
        self._shape: Wanted | None = None  # what haproxy's files say, but for who the servers are
        self._slices_of: dict[Key, dict[Key, None]] = defaultdict(dict)  # by service
        self._free: tuple[Places, Places] = ((), ())
        self._taken: set[Place] = set()
        self._reloaded = -RESTART_PAUSE
        self._ingresses.subscribe(self._ingress_changed)
        self._classes.subscribe(self._rules_changed)
        self._services.subscribe(self._service_changed)
        self._slices.subscribe(self._slice_changed)

    async def run(self) -> None:
        """Without end. Raises NotFound where there is an Ingress and no haproxy."""
        self._folder.mkdir(parents=True, exist_ok=True)
        async with asyncio.TaskGroup() as tasks:
            for cache in self._caches:
                tasks.create_task(cache.run())
            tasks.create_task(self._secrets.run())
            tasks.create_task(self._settle_always())

    async def clear(self) -> None:
        """End haproxy: this machine is no node any more."""
        self._haproxy.find()
        await self._haproxy.stop()

    @property
    def _caches(self) -> tuple[Cache, ...]:
        return self._ingresses, self._classes, self._services, self._slices

    async def _settle_always(self) -> None:
        for cache in self._caches:
            await cache.ready()
        if self._haproxy.find():
            self._free = await asyncio.to_thread(_held, self._folder / CURRENT)
        failed = ""
        while True:
            self._news.clear()
            try:
                pause = await self._settle()
                if pause is None and self._served.plan.routes and self._free != self._places:
                    pause = PORTS_SECONDS
                failed = ""
            except NotFound:
                raise  # without haproxy nothing goes: whoever runs this shows it
            except (BoxshipError, OSError) as error:
                if str(error) != failed:
                    log.warning("%s", error)
                failed, pause = str(error), AGAIN_SECONDS
                self._shape = None
            try:
                async with asyncio.timeout(pause):
                    await self._wait()
            except TimeoutError:
                self._touched = None
            await asyncio.sleep(GATHER_SECONDS)

    async def _wait(self) -> None:
        """Until something changes, or haproxy has ended."""
        if self._shape is None:  # it does not run, or has to be tried again
            await self._news.wait()
            return
        ended = asyncio.ensure_future(self._haproxy.ended())
        news = asyncio.ensure_future(self._news.wait())
        try:
            await asyncio.wait({ended, news}, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for one in (ended, news):
                one.cancel()
            await asyncio.gather(ended, news, return_exceptions=True)

    async def _settle(self) -> float | None:
        """Seconds after which it has to be done again whatever happens; None: there is no need."""
        if self._stale:
            await self._make_plan()
        if not self._served.plan.routes:
            await self._haproxy.stop()
            self._shape, self._slots = None, {}
            return None
        alive = self._haproxy.is_alive
        if alive and await self._told_of_touched():
            return None
        if not alive:
            self._shape = None
            early = self._reloaded + RESTART_PAUSE - time.monotonic()
            if early > 0:
                return early
            await self._wait_for_places()
        if not alive or self._free != self._places:
            self._free = self._free_places(held=self._free if alive else ((), ()))
        external, slots = await self._everybody()
        wanted = await self._wanted(self._served.plan, slots, external)
        shape = msgspec.structs.replace(wanted, slots={name: (None,) * len(found) for name, found in slots.items()})
        if alive and self._shape is not None:
            same = {name: found for name, found in slots.items() if len(found) == len(self._slots.get(name, ()))}
            todo = all_commands(self._slots, same)
            if todo:
                await self._haproxy.tell(todo)
            self._slots |= same
            if shape == self._shape:
                return None
            early = self._reloaded + RELOAD_PAUSE - time.monotonic()
            if early > 0:
                self._touched = None
                return early  # endpoints need not wait for it
        folder = self._haproxy.folder_of_next()
        files = await asyncio.to_thread(files_of, wanted, folder, self._haproxy.socket)
        try:
            await self._haproxy.use(folder, {**files, HELD: msgspec.json.encode(self._free)})
        except Invalid:
            if not await self._leave_out(folder):
                raise
            return 0.0
        self._reloaded = time.monotonic()
        self._slots, self._shape = slots, shape
        return None

    async def _told_of_touched(self) -> bool:
        """Where nothing but endpoints of a few services changed, haproxy is told of these alone."""
        touched, self._touched = self._touched, set()
        if touched is None or self._shape is None:
            return False
        slots: dict[str, Slots] = {}
        for name in {name for key in touched for name in self._served.by_service.get(key, ())}:
            if name in self._slots:
                slots[name] = self._next_slots(name, self._served.backends[name])
                if len(slots[name]) != len(self._slots[name]):
                    return False
        todo = all_commands(self._slots, slots)
        if todo:
            await self._haproxy.tell(todo)
        self._slots |= slots
        return True

    async def _leave_out(self, folder: Path) -> bool:
        """Find the oldest Ingress with which haproxy refuses its files, so that the others are served all the same."""
        serving = self._served.ingresses
        fine, wrong = 0, len(serving)
        while wrong - fine > 1:
            middle = (fine + wrong) // 2
            plan = await asyncio.to_thread(plan_of, serving[:middle])
            trial = await self._wanted(plan, {}, {})
            files = await asyncio.to_thread(files_of, trial, folder, self._haproxy.socket)
            if await self._haproxy.accepts(folder, files):
                fine = middle
            else:
                wrong = middle
        if not serving:
            return False
        culprit = serving[wrong - 1].object["metadata"]
        log.warning("Ingress %s/%s is not served: haproxy refuses it", culprit["namespace"], culprit["name"])
        self._refused.add(identity(serving[wrong - 1]))
        self._stale = True
        return True

    async def _make_plan(self) -> None:
        self._stale = False
        ingresses = [one for _, one in self._ingresses.items()]
        classes = [one for _, one in self._classes.items()]
        self._served = await asyncio.to_thread(served_of, ingresses, classes, frozenset(self._refused))
        self._refused = set(self._served.refused)
        self._secrets.follow(self._served.secrets)
        await self._secrets.known(SECRETS_SECONDS)
        self._touched = None

    async def _wanted(self, plan: Plan, slots: Mapping[str, Slots], external: Mapping[str, Place]) -> Wanted:
        made = await asyncio.to_thread(wanted_of, plan, slots, external, self._free, self._secrets.get)
        return msgspec.structs.replace(made, user=self._user, connections=_connections())

    async def _everybody(self) -> tuple[dict[str, Place], dict[str, Slots]]:
        """Where each backend leads: to a name outside, or to endpoints."""
        external: dict[str, Place] = {}
        slots: dict[str, Slots] = {}
        until = time.perf_counter() + SLICE_SECONDS
        for name, one in self._served.backends.items():
            place = self._outside(one)
            if place is not None:
                external[name] = place
            elif one.service:
                slots[name] = self._next_slots(name, one)
            if time.perf_counter() > until:
                await asyncio.sleep(0)
                until = time.perf_counter() + SLICE_SECONDS
        return external, slots

    def _next_slots(self, name: str, backend: Backend) -> Slots:
        places = self._places_of(backend)
        known = self._slots.get(name)
        found = moved(known, places) if known is not None else None
        return first_slots(places) if found is None else found

    def _outside(self, backend: Backend) -> Place | None:
        """Where a Service leads that is a name alone."""
        service: Service | None = self._services.get((backend.namespace, backend.service))
        if service is None or not service.external:
            return None
        port = service.port(backend.port)
        number = port.number if port is not None else backend.port
        return Place(service.external, number) if isinstance(number, int) and number else None

    def _places_of(self, backend: Backend) -> list[Place]:
        """Ready endpoints; where there are none, those that end and still serve."""
        service: Service | None = self._services.get((backend.namespace, backend.service))
        port = service.port(backend.port) if service is not None else None
        if service is None or port is None:
            return []
        if backend.settings.one_server and service.address:
            return [Place(service.address, port.number)]
        ready: set[Place] = set()
        serving: set[Place] = set()
        for key in self._slices_of.get((backend.namespace, backend.service), ()):
            slice: Slice = self._slices.get(key)
            number = next((one.number for one in slice.ports if one.name == port.name), 0)
            for one in slice.endpoints if number else ():
                if one.ready:
                    ready.add(Place(one.address, number))
                elif one.serving:
                    serving.add(Place(one.address, number))
        return sorted(ready or serving)

    async def _wait_for_places(self) -> None:
        """Where haproxy has just died, its worker is given the time to follow it."""
        await self._haproxy.dismiss()
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(DYING_SECONDS):
                while not all(is_free(place.host, place.port) for places in self._free for place in places):
                    await asyncio.sleep(0.02)

    def _free_places(self, held: tuple[Places, Places]) -> tuple[Places, Places]:
        """Those of our places that nobody else has. Who has them is not asked: it is tried again."""
        found: list[Places] = []
        for wanted, ours in zip(self._places, held, strict=True):
            free = tuple(place for place in wanted if place in ours or is_free(place.host, place.port))
            found.append(free)
        taken = {*self._places[0], *self._places[1]} - {*found[0], *found[1]}
        if taken != self._taken:
            listed = ", ".join(f"{place.host}:{place.port}" for place in sorted(taken))
            log.warning("Ingress does not listen on %s: somebody else does", listed or "nothing less than all")
        self._taken = taken
        return found[0], found[1]

    def _ingress_changed(self, key: Key, old: Parsed | None, new: Parsed | None) -> None:
        self._rules_changed(key, old.object if old else None, new.object if new else None)

    def _rules_changed(self, key: Key, old: Object | None, new: Object | None) -> None:
        if old is None or new is None or rules_part(old) != rules_part(new):
            self._stale, self._touched = True, None
            self._news.set()

    def _secret_changed(self) -> None:
        self._touched = None
        if self._refused:  # perhaps by what was wrong with it
            self._refused, self._stale = set(), True
        self._news.set()

    def _service_changed(self, key: Key, old: Service | None, new: Service | None) -> None:
        if old == new or key not in self._served.by_service:
            return
        if any(one is not None and one.external for one in (old, new)):
            self._touched = None
        elif self._touched is not None:
            self._touched |= {key}
        self._news.set()

    def _slice_changed(self, key: Key, old: Slice | None, new: Slice | None) -> None:
        if old is not None:
            self._slices_of[(key[0], old.service)].pop(key, None)
            if not self._slices_of[(key[0], old.service)]:
                del self._slices_of[(key[0], old.service)]
        if new is not None:
            self._slices_of[(key[0], new.service)][key] = None
        services = {(key[0], one.service) for one in (old, new) if one is not None}
        changed = {service for service in services if service in self._served.by_service} if old != new else set()
        if changed:
            self._touched = None if self._touched is None else self._touched | changed
            self._news.set()


def _connections() -> int:
    """As many as this process may open files for, two for each."""
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    return CONNECTIONS if most == resource.RLIM_INFINITY else max(min(CONNECTIONS, (most - SPARE_FILES) // 2), 100)


def _held(folder: Path) -> tuple[Places, Places]:
    """Where the haproxy that is taken over listens."""
    try:
        return msgspec.json.decode((folder / HELD).read_bytes(), type=tuple[Places, Places])
    except (OSError, msgspec.DecodeError):
        return (), ()
