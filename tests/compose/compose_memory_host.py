"""An engine in memory, small and strict: names and ports are unique, states are checked, what is gone is gone.

`fuse` is how many more acts it carries out before it is as if the caller had been killed: from then on nothing has an
effect any more. `behaviours` says how containers of an image turn out.
"""

from __future__ import annotations

import hashlib
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

from boxship.compose.model import Project
from boxship.compose.planning import actions
from boxship.compose.planning.actions import Action, Plan
from boxship.compose.planning.observed import (
    LABEL_GROUP,
    LABEL_HASH,
    LABEL_NETWORK,
    LABEL_NUMBER,
    LABEL_ONE_OFF,
    LABEL_PROJECT,
    LABEL_SERVICE,
    LABEL_VOLUME,
    Observed,
    SeenContainer,
    SeenNetwork,
    SeenVolume,
)
from boxship.compose.running.host import News
from boxship.compose.running.view import Event, Outcome
from boxship.errors import Conflict, Exists, Internal, NotFound, Timeout

HOLDING = ("running", "paused")


class Killed(BaseException):
    """The caller is no more."""


@dataclass
class Behaviour:
    """`health`: what a check says in the end ("" for no check); `exits`: the code with which it ends by itself, at
    once or only when somebody looks (`late`)."""

    health: str = ""
    exits: int | None = None
    late: bool = False


@dataclass
class Box:
    id: str
    name: str
    image: str
    image_name: str
    labels: dict[str, str]
    created: int
    state: str = "created"
    health: str = ""
    exit_code: int = 0
    starts: int = 0
    networks: dict[str, str] = field(default_factory=dict)
    volumes: dict[str, str] = field(default_factory=dict)
    ports: tuple[tuple[str, str, str], ...] = ()


class MemoryHost:
    def __init__(self) -> None:
        self.boxes: dict[str, Box] = {}
        self.networks: dict[str, tuple[str, dict[str, str]]] = {}
        self.volumes: dict[str, dict[str, str]] = {}
        self.anonymous: set[str] = set()
        self.images: dict[str, str] = {}
        self.image_volumes: dict[str, tuple[str, ...]] = {}
        self.behaviours: dict[str, Behaviour] = {}  # by the image's id
        self.remote: dict[str, str] = {}
        self.log: list[Action] = []
        self.fuse: int | None = None
        self.fails: dict[str, str] = {}  # name of an action's class → what it says
        self.peak = 0
        self.strict = False  # waiting for the health of what has no check is an error
        self.notice: Callable[[MemoryHost], None] | None = None
        self._busy = 0
        self._count = 0
        self._lock = threading.RLock()
        self._locked: set[str] = set()

    # What a Host is ------------------------------------------------------------------------------------------------

    def observe(
        self,
        project: str,
        *,
        images: tuple[str, ...] = (),
        networks: tuple[str, ...] = (),
        volumes: tuple[str, ...] = (),
    ) -> Observed:
        with self._lock:
            mine = [box for box in self.boxes.values() if box.labels.get(LABEL_PROJECT) == project]
            return Observed(
                containers=tuple(self._seen(box) for box in mine),
                networks=tuple(
                    SeenNetwork(
                        id=number,
                        name=name,
                        key=labels.get(LABEL_NETWORK, ""),
                        hash=labels.get(LABEL_HASH, ""),
                        labels=dict(labels),
                        containers=tuple(box.id for box in self.boxes.values() if box.networks.get(name) == number),
                    )
                    for name, (number, labels) in self.networks.items()
                    if labels.get(LABEL_PROJECT) == project or name in networks
                ),
                volumes=tuple(
                    SeenVolume(
                        name=name,
                        key=labels.get(LABEL_VOLUME, ""),
                        hash=labels.get(LABEL_HASH, ""),
                        labels=dict(labels),
                    )
                    for name, labels in self.volumes.items()
                    if labels.get(LABEL_PROJECT) == project or name in volumes
                ),
                images={name: number for name, number in self.images.items() if name in images},
            )

    def perform(self, project: Project, action: Action, tell: Callable[[News], None]) -> str:
        passive = isinstance(action, actions.AwaitContainer | actions.WatchContainer)
        with self._lock:
            if self.fuse is not None:
                if self.fuse <= 0:
                    raise Killed
                self.fuse -= 1
            self._busy += not passive
            self.peak = max(self.peak, self._busy)
        try:
            with self._lock:
                kind = type(action).__name__
                self.log.append(action)
                if kind in self.fails:
                    raise Internal(self.fails[kind])
                made = getattr(self, f"_{kind}")(project, action)
                if self.notice is not None:
                    self.notice(self)
                return made or ""
        finally:
            with self._lock:
                self._busy -= not passive

    def inspect(self, container: str) -> dict[str, Any]:
        box = self._box(container)
        return {"Id": box.id, "Name": f"/{box.name}", "State": {"Status": box.state, "ExitCode": box.exit_code}}

    def events(self, project: str) -> Iterator[dict[str, Any]]:
        return iter(())

    @contextmanager
    def lock(self, project: str, *, wait: bool, tell: Callable[[str], None]) -> Iterator[None]:
        if project in self._locked:
            raise Conflict(f"{project} is locked by somebody")
        self._locked.add(project)
        try:
            yield
        finally:
            self._locked.remove(project)

    # What tests ask ------------------------------------------------------------------------------------------------

    def named(self, name: str) -> Box:
        return next(box for box in self.boxes.values() if box.name == name)

    def running(self, service: str) -> list[Box]:
        return [box for box in self.boxes.values() if box.labels[LABEL_SERVICE] == service and box.state == "running"]

    def shape(self) -> tuple[object, ...]:
        """What matters of the whole state, without ids that differ from run to run."""
        origin = {name: "anonymous" if name in self.anonymous else name for name in self.volumes}
        boxes = sorted(
            (
                box.name,
                box.labels.get(LABEL_SERVICE, ""),
                box.state,
                box.health,
                box.exit_code,
                box.image,
                box.labels.get(LABEL_HASH, ""),
                tuple(sorted(box.networks)),
                tuple(sorted((path, origin[name]) for path, name in box.volumes.items())),
            )
            for box in self.boxes.values()
        )
        networks = sorted((name, labels.get(LABEL_HASH, "")) for name, (_, labels) in self.networks.items())
        volumes = sorted(name for name in self.volumes if name not in self.anonymous)
        return tuple(boxes), tuple(networks), tuple(volumes), tuple(sorted(self.images))

    def settle(self) -> None:
        """Time passes: every check has had its say, and what ends by itself has ended."""
        for box in self.boxes.values():
            behaviour = self._behaviour(box)
            if box.state == "running" and behaviour.exits is not None:
                self._exit(box, behaviour.exits)
            elif box.state == "running":
                box.health = behaviour.health

    def unused_volumes(self) -> set[str]:
        return self.anonymous - {name for box in self.boxes.values() for name in box.volumes.values()}

    # The engine ----------------------------------------------------------------------------------------------------

    def _seen(self, box: Box) -> SeenContainer:
        return SeenContainer(
            id=box.id,
            name=box.name,
            service=box.labels.get(LABEL_SERVICE, ""),
            number=int(box.labels.get(LABEL_NUMBER, "1")),
            one_off=box.labels.get(LABEL_ONE_OFF) == "True",
            hash=box.labels.get(LABEL_HASH, ""),
            image=box.image,
            image_name=box.image_name,
            state=box.state,
            health=box.health,
            exit_code=box.exit_code,
            created=box.created,
            labels=dict(box.labels),
            networks=dict(box.networks),
            volumes=dict(box.volumes),
            ports=tuple(f"{port}/{protocol}" for _, port, protocol in box.ports) if box.state in HOLDING else (),
        )

    def new_id(self) -> str:
        self._count += 1
        return hashlib.sha256(str(self._count).encode()).hexdigest()

    def _box(self, container: str) -> Box:
        found = self.boxes.get(container)
        if found is None:
            raise NotFound(f"no such container: {container}")
        return found

    def _behaviour(self, box: Box) -> Behaviour:
        return self.behaviours.get(box.image, Behaviour())

    def _PullImage(self, project: Project, action: actions.PullImage) -> None:
        if action.image not in self.remote:
            raise NotFound(f"cannot pull {action.image}: not found")
        self.images[action.image] = self.remote[action.image]

    def _BuildImage(self, project: Project, action: actions.BuildImage) -> None:
        service = {**project.services, **project.disabled}[action.service]
        self.images[action.image] = hashlib.sha256(repr(service.build).encode()).hexdigest()

    def _RemoveImage(self, project: Project, action: actions.RemoveImage) -> None:
        self.images.pop(action.image, None)

    def _CreateNetwork(self, project: Project, action: actions.CreateNetwork) -> str:
        if action.name not in self.networks:
            self.networks[action.name] = (self.new_id(), dict(action.labels))
        return self.networks[action.name][0]

    def _RemoveNetwork(self, project: Project, action: actions.RemoveNetwork) -> None:
        found = self.networks.get(action.name)
        if found is None or found[0] != action.id:
            return
        if any(box.networks.get(action.name) == action.id for box in self.boxes.values()):
            raise Conflict(f"network {action.name} has active endpoints")
        del self.networks[action.name]

    def _CreateVolume(self, project: Project, action: actions.CreateVolume) -> None:
        self.volumes.setdefault(action.name, dict(action.labels))

    def _RemoveVolume(self, project: Project, action: actions.RemoveVolume) -> None:
        if any(action.name in box.volumes.values() for box in self.boxes.values()):
            raise Conflict(f"volume {action.name} is in use")
        self.volumes.pop(action.name, None)

    def _CreateContainer(self, project: Project, action: actions.CreateContainer) -> str:
        if any(box.name == action.name for box in self.boxes.values()):
            raise Exists(f"the container name {action.name} is in use")
        if action.image not in self.images:
            raise NotFound(f"no such image: {action.image}")
        service = {**project.services, **project.disabled}[action.service]
        number = self.new_id()
        box = Box(
            id=number,
            name=action.name,
            image=self.images[action.image],
            image_name=action.image,
            labels={**service.labels, **action.labels},
            created=self._count,
            ports=tuple((port.host_ip, port.published, port.protocol) for port in service.ports if port.published),
        )
        for key in service.networks:
            name = project.networks[key].name
            if name not in self.networks:
                raise NotFound(f"network {name} not found")
            box.networks[name] = self.networks[name][0]
        wanted = {mount.target: mount.source for mount in service.volumes if mount.type == "volume"}
        wanted |= {path: "" for path in self.image_volumes.get(action.image, ()) if path not in wanted}
        old = self._box(action.inherit) if action.inherit else None
        for path, source in wanted.items():
            if source:
                name = project.volumes[source].name
                self.volumes.setdefault(name, {})
            elif old is not None and path in old.volumes:
                name = old.volumes[path]
            else:
                name = self.new_id()
                self.anonymous.add(name)
                self.volumes[name] = {}
            box.volumes[path] = name
        self.boxes[number] = box
        return number

    def _RenameContainer(self, project: Project, action: actions.RenameContainer) -> None:
        box = self._box(action.container)
        if any(other.name == action.name and other is not box for other in self.boxes.values()):
            raise Exists(f"the container name {action.name} is in use")
        box.name = action.name

    def _StartContainer(self, project: Project, action: actions.StartContainer) -> None:
        box = self._box(action.container)
        if box.state in ("running", "restarting"):
            return
        if box.state == "paused":
            raise Conflict("cannot start a paused container, try unpause instead")
        for name, number in box.networks.items():
            if self.networks.get(name, ("", {}))[0] != number:
                raise NotFound(f"network {name} not found")
        for other in self.boxes.values():
            shared = set(other.ports) & set(box.ports)
            group = box.labels.get(LABEL_GROUP, "")
            alone = not group or other.labels.get(LABEL_GROUP) != group
            if other is not box and other.state in HOLDING and shared and alone:
                raise Conflict(f"port is already allocated: {shared}")
        self._begin(box)

    def _begin(self, box: Box) -> None:
        behaviour = self._behaviour(box)
        box.starts += 1
        box.state, box.exit_code = "running", 0
        box.health = "starting" if behaviour.health else ""
        if behaviour.exits is not None and not behaviour.late:
            self._exit(box, behaviour.exits)

    def _exit(self, box: Box, code: int) -> None:
        box.state, box.exit_code, box.health = "exited", code, ""

    def _StopContainer(self, project: Project, action: actions.StopContainer) -> None:
        box = self.boxes.get(action.container)
        if box is not None and box.state in ("running", "paused", "restarting"):
            self._exit(box, 0)

    def _RestartContainer(self, project: Project, action: actions.RestartContainer) -> None:
        box = self._box(action.container)
        if box.state in ("running", "paused"):
            self._exit(box, 0)
        self._StartContainer(project, actions.StartContainer(container=box.id, name=box.name))

    def _KillContainer(self, project: Project, action: actions.KillContainer) -> None:
        self._exit(self._box(action.container), 137)

    def _PauseContainer(self, project: Project, action: actions.PauseContainer) -> None:
        box = self._box(action.container)
        if box.state != "running":
            raise Conflict("not running")
        box.state = "paused"

    def _UnpauseContainer(self, project: Project, action: actions.UnpauseContainer) -> None:
        box = self._box(action.container)
        if box.state != "paused":
            raise Conflict("not paused")
        box.state = "running"

    def _RemoveContainer(self, project: Project, action: actions.RemoveContainer) -> None:
        box = self.boxes.get(action.container)
        if box is None:
            return
        if box.state in ("running", "paused") and not action.force:
            raise Conflict("cannot remove a running container")
        del self.boxes[box.id]
        if action.volumes:
            used = {name for other in self.boxes.values() for name in other.volumes.values()}
            for name in set(box.volumes.values()) & self.anonymous - used:
                self.anonymous.remove(name)
                del self.volumes[name]

    def _AwaitContainer(self, project: Project, action: actions.AwaitContainer) -> None:
        box = self._box(action.container)
        behaviour = self._behaviour(box)
        if action.condition == "completed":
            if box.state == "running" and behaviour.exits is not None:
                self._exit(box, behaviour.exits)
            if box.state != "exited":
                raise Timeout(f"container {box.name} does not end")
            if box.exit_code:
                raise Conflict(f"container {box.name} exited ({box.exit_code})")
            return
        if box.state != "running":
            raise Conflict(f"container {box.name} exited ({box.exit_code})")
        if action.checked and not behaviour.health and self.strict:
            raise Conflict(f"container {box.name} has no healthcheck configured")
        if action.condition == "healthy" and behaviour.health:
            box.health = behaviour.health
            if box.health != "healthy":
                raise Conflict(f"container {box.name} is unhealthy: no answer")

    def _WatchContainer(self, project: Project, action: actions.WatchContainer) -> None:
        box = self._box(action.container)
        behaviour = self._behaviour(box)
        if behaviour.exits is not None and box.state == "running":
            self._exit(box, behaviour.exits)
        if box.state != "running":
            raise Conflict(f"container {box.name} exited ({box.exit_code})")

    def _ConnectNetwork(self, project: Project, action: actions.ConnectNetwork) -> None:
        self._box(action.container).networks[action.network] = self.networks[action.network][0]

    def _DisconnectNetwork(self, project: Project, action: actions.DisconnectNetwork) -> None:
        self._box(action.container).networks.pop(action.network, None)


class Onlooker:
    """A View that keeps everything."""

    def __init__(self) -> None:
        self.plans: list[Plan] = []
        self.events: list[Event] = []
        self.said: list[str] = []
        self.ends: list[Outcome] = []
        self.dry = False

    def begin(self, plan: Plan, dry_run: bool) -> None:
        self.plans.append(plan)
        self.dry = self.dry or dry_run

    def event(self, event: Event) -> None:
        self.events.append(event)

    def say(self, text: str) -> None:
        self.said.append(text)

    def end(self, outcome: Outcome) -> None:
        self.ends.append(outcome)

    @property
    def warnings(self) -> list[str]:
        return [warning for plan in self.plans for warning in plan.warnings]

    @property
    def texts(self) -> list[str]:
        return [f"{event.subject} {event.text}" for event in self.events]
