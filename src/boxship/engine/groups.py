"""Service groups, as containers ask for them by labels: members stand in for each other, and none leaves unnoticed.

What a container's labels mean and how a member stands are pure functions; `Groups` tells the network of every change,
before it is seen from outside where that can be: a member leaves its group's balance before the first signal of a stop,
and may wait until its last connection has ended. It must never hold a container's lock while it waits.
"""

import asyncio
import logging
import re
from collections.abc import Iterable, Mapping
from contextlib import suppress

import msgspec

from boxship.engine.clock import Clock
from boxship.engine.lives import Lives, WaitResult
from boxship.engine.model import Container, Phase
from boxship.engine.placing import joins
from boxship.engine.records import Records
from boxship.engine.states import with_state
from boxship.engine.tasks import Tasks
from boxship.errors import BoxshipError, Internal, Invalid, NotFound
from boxship.network.groups import Standing
from boxship.network.model import PREDEFINED
from boxship.network.networks import Networks
from boxship.spec.container import ContainerSpec
from boxship.spec.duration import MILLISECOND, SECOND, format_duration, parse_duration

GROUP, DRAIN, VIRTUAL_ADDRESS = "boxship.group", "boxship.drain", "boxship.virtual-address"
DEFAULT_DRAIN = 10 * SECOND
LONGEST_DRAIN = 3600 * SECOND
QUIET_LOOK = 50 * MILLISECOND  # what was under way when a member left has arrived by then
LOOK_INTERVAL = 100 * MILLISECOND
OPENING_INTERVAL = 20 * MILLISECOND
LONGEST_OPENING = 10 * SECOND  # after it, a member counts as ready, whatever its ports say
GROUP_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]*(/[A-Za-z0-9_.-]+)*")
ALIAS = re.compile(r"[A-Za-z0-9]([A-Za-z0-9_.-]*[A-Za-z0-9])?")
NAME_LIMIT = 255
ALIAS_LIMIT = 63

logger = logging.getLogger(__name__)


class Wish(msgspec.Struct, frozen=True):
    """What a container's labels ask for; no group is none of it. `drain` in nanoseconds, None for the default."""

    group: str = ""
    drain: int | None = None
    virtual_name: str = ""


class Membership(msgspec.Struct, frozen=True):
    """A member as people see it. `why` says what keeps it from being ready, `drained` how its last end went."""

    group: str
    ready: bool
    why: str
    drained: str
    drain: int  # nanoseconds
    virtual_name: str
    virtual_addresses: dict[str, str]  # by the network's name
    members: int  # that run, this one included
    ready_members: int


def read_labels(labels: Mapping[str, str]) -> Wish:
    """Raises Invalid, naming the label, for a value that means nothing."""
    group, drain, alias = labels.get(GROUP), labels.get(DRAIN), labels.get(VIRTUAL_ADDRESS)
    if group is None:
        for name in (DRAIN, VIRTUAL_ADDRESS):
            if name in labels:
                raise Invalid(f"invalid label {name}: it needs the label {GROUP}")
        return Wish()
    if not GROUP_NAME.fullmatch(group) or len(group) > NAME_LIMIT:
        raise Invalid(f"invalid label {GROUP}: {group!r} is no name such as project/service")
    if alias is not None and (not ALIAS.fullmatch(alias) or len(alias) > ALIAS_LIMIT):
        raise Invalid(f"invalid label {VIRTUAL_ADDRESS}: {alias!r} is no name that can be looked up")
    return Wish(group, _drain(drain), alias or "")


def _drain(text: str | None) -> int | None:
    if text is None:
        return None
    try:
        found = parse_duration(text)
    except Invalid as error:
        raise Invalid(f"invalid label {DRAIN}: {error}") from None
    if not 0 <= found <= LONGEST_DRAIN:
        raise Invalid(f"invalid label {DRAIN}: {text!r} is not between 0s and {format_duration(LONGEST_DRAIN)}")
    return found


def check(spec: ContainerSpec) -> None:
    """Raises Invalid for labels that contradict themselves or the rest of the request."""
    wish = read_labels(spec.labels)
    if wish.virtual_name and all(request.network in (*PREDEFINED, "default") for request in joins(spec)):
        raise Invalid(f"invalid label {VIRTUAL_ADDRESS}: the container is on no network that resolves names")


def wish_of(container: Container) -> Wish:
    """What a container asks for. Only labels of its own count, not its image's; one that was made before they were
    checked may have others, which mean nothing."""
    if GROUP not in container.spec.labels:
        return Wish()
    try:
        return read_labels(container.spec.labels)
    except Invalid:
        return Wish()


def group_of(container: Container) -> str:
    """The group that a container belongs to, "" for none."""
    return wish_of(container).group


def drain_of(container: Container) -> int:
    """How long a stop waits for connections at most."""
    wish = wish_of(container)
    if wish.drain is not None:
        return wish.drain
    return DEFAULT_DRAIN if container.ports or wish.virtual_name else 0


def drained_ports(container: Container) -> frozenset[int] | None:
    """The container's TCP ports whose connections a stop waits for; None: all at which it listens, because others reach
    it by a name or an address that stands for all ports."""
    if wish_of(container).virtual_name or not container.ports:
        return None
    return frozenset(port.container_port for port in container.ports if port.protocol == "tcp")


def is_opening(container: Container) -> bool:
    """Whether a member that starts is ready only when its published TCP ports are open, for want of a health check."""
    return bool(group_of(container)) and any(port.protocol == "tcp" for port in container.ports)


def standing(container: Container) -> Standing:
    """How a member stands."""
    state = container.state
    if state.leaving or state.phase not in (Phase.RUNNING, Phase.PAUSED):
        return Standing.LEAVING
    if state.phase is Phase.PAUSED:
        return Standing.PAUSED
    healthy = state.health.status == "healthy" if state.health else not state.opening
    return Standing.READY if healthy else Standing.RUNNING


def why_not_ready(container: Container) -> str:
    """What keeps a member from being ready; "" where it is."""
    state = container.state
    match standing(container):
        case Standing.READY:
            return ""
        case Standing.PAUSED:
            return "it is paused"
        case Standing.RUNNING if state.health is None:
            return "nobody listens at its published ports yet"
        case Standing.RUNNING:
            failing = state.health.status == "unhealthy" if state.health else False
            return "its health check fails" if failing else "its health check has not passed yet"
    ending = state.leaving or state.phase is Phase.STOPPING
    return "it has been asked to end" if ending else "it does not run"


class Groups:
    """Tells the network how members stand."""

    def __init__(self, records: Records, lives: Lives, networks: Networks, clock: Clock, tasks: Tasks) -> None:
        self._records = records
        self._lives = lives
        self._networks = networks
        self._clock = clock
        self._tasks = tasks

    async def follow(self, container: Container) -> None:
        """Let new connections and names follow the container as it is now; on return they do. A failure is told in the
        log: what happens to the container itself does not depend on it."""
        if not group_of(container):
            return
        try:
            await self._networks.stand(container.id, standing(container))
        except BoxshipError as error:
            logger.error("cannot balance group %s over container %s: %s", group_of(container), container.name, error)

    async def drain(self, container: Container, ended: "asyncio.Future[WaitResult]") -> str:
        """Wait until a member that has left has no open connections, but not longer than it allows; how that went."""
        longest = drain_of(container)
        if not longest:
            return ""
        begun = self._clock.monotonic()
        pause = QUIET_LOOK
        while True:
            rest = longest - (self._clock.monotonic() - begun)
            done, _ = await asyncio.wait([ended], timeout=max(0, min(pause, rest)) / SECOND)
            if done:
                return "it ended by itself while its connections were waited for"
            pid = container.state.process.pid
            count = await self._networks.open_connections(pid, drained_ports(container))
            waited = self._clock.monotonic() - begun
            if not count or waited >= longest:
                with suppress(Internal):  # a kernel that does not answer must not keep a container from stopping
                    await self._networks.forget_unanswered(container.id)
            if not count:
                return f"its connections had ended after {format_duration(waited // MILLISECOND * MILLISECOND)}"
            if waited >= longest:
                return f"{count} of its connections had not ended after {format_duration(longest)}"
            pause = LOOK_INTERVAL

    def watch_opening(self, container: Container) -> None:
        """A member without a health check is ready when others can reach its published ports."""
        if container.state.opening:
            live = self._lives.of(container.id)
            live.cancel("open")
            live.tasks["open"] = self._tasks.start(
                f"watch the ports of container {container.id[:12]}", self._await_ports, container
            )

    async def _await_ports(self, container: Container) -> None:
        wanted = {port.container_port for port in container.ports if port.protocol == "tcp"}
        begun = self._clock.monotonic()
        while self._clock.monotonic() - begun < LONGEST_OPENING:
            if wanted <= await self._networks.listening(container.state.process.pid):
                break
            await self._clock.sleep(OPENING_INTERVAL)
        async with self._lives.of(container.id).lock:
            current = self._records.find(container.id)
            if current is not None and current.state.process == container.state.process:
                ready = with_state(current, opening=False)
                await self.follow(ready)  # who is told that it is ready finds it in its group
                await self._records.save(ready)

    def let_back_later(self, container: Container, seconds: int) -> None:
        """A member that was asked to end and lives on after `seconds` (-1: as long as it likes) gets connections
        again."""
        if seconds < 0:
            return
        live = self._lives.of(container.id)
        live.cancel("return")
        live.tasks["return"] = self._tasks.start(
            f"watch the end of container {container.id[:12]}", self._let_back, container.id, seconds
        )

    async def _let_back(self, container_id: str, seconds: int) -> None:
        known = self._records.find(container_id)
        await self._clock.sleep(seconds * SECOND)
        current = self._records.find(container_id)
        if known is not None and current is not None and current.state.process == known.state.process:
            await self.come_back(container_id)

    async def come_back(self, container_id: str) -> None:
        """A member that was to leave, and runs on, gets connections again."""
        async with self._lives.of(container_id).lock:
            container = self._records.find(container_id)
            if container is None or not container.state.leaving or container.state.phase is Phase.STOPPING:
                return
            self._lives.of(container_id).stopping = False
            await self.follow(await self._records.save(with_state(container, leaving=False)))

    def standings(self, container_ids: Iterable[str]) -> dict[str, Standing]:
        """How these members stand, by id; for the network's own recovery."""
        found = (self._records.find(identifier) for identifier in container_ids)
        return {box.id: standing(box) for box in found if box is not None and group_of(box)}

    async def forget_unused(self) -> None:
        """Give back the virtual addresses of groups without any container."""
        wishes = map(wish_of, self._records)
        await self._networks.keep_virtual({(wish.group, wish.virtual_name) for wish in wishes if wish.virtual_name})

    def membership(self, container: Container) -> Membership | None:
        """What there is to tell of a member; None for other containers."""
        wish = wish_of(container)
        if not wish.group:
            return None
        members = [box for box in self._records if group_of(box) == wish.group]
        standings = [standing(box) for box in members]
        return Membership(
            group=wish.group,
            ready=standing(container) is Standing.READY,
            why=why_not_ready(container),
            drained=container.state.drained,
            drain=drain_of(container),
            virtual_name=wish.virtual_name,
            virtual_addresses=self._virtual_addresses(wish),
            members=sum(found is not Standing.LEAVING for found in standings),
            ready_members=sum(found is Standing.READY for found in standings),
        )

    def _virtual_addresses(self, wish: Wish) -> dict[str, str]:
        found = {}
        for network_id, address in self._networks.virtual_addresses(wish.group, wish.virtual_name).items():
            try:
                found[self._networks.get(network_id).name] = address
            except NotFound:  # it is being removed
                continue
        return found
