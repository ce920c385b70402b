"""Everything that can be done to a project's parts, as values: described before it is done, and the same for a dry run.

Each action is one act of the engine, and doing it again after a crash is harmless. A Host carries out every kind.
"""

from __future__ import annotations

from collections.abc import Mapping

from msgspec import Struct, field


class Action(Struct, frozen=True, kw_only=True, tag=True):
    """`service` is whose progress line this is; "" for networks and volumes."""

    service: str = ""


class PullImage(Action, frozen=True):
    """`optional`: the service has a `build`, so a failure is no failure."""

    image: str
    platform: str = ""
    optional: bool = False


class BuildImage(Action, frozen=True):
    """Build the service's image from its `build`."""

    image: str


class PushImage(Action, frozen=True):
    image: str


class CreateNetwork(Action, frozen=True):
    """`labels` are all that it gets besides those of the file."""

    key: str
    name: str
    labels: Mapping[str, str] = field(default_factory=dict)


class RemoveNetwork(Action, frozen=True):
    id: str
    name: str


class CreateVolume(Action, frozen=True):
    key: str
    name: str
    labels: Mapping[str, str] = field(default_factory=dict)


class RemoveVolume(Action, frozen=True):
    name: str


class RemoveImage(Action, frozen=True):
    image: str


class CreateContainer(Action, frozen=True):
    """`inherit` is the container whose anonymous volumes it takes over; "" for none. `labels` are those of Compose and
    of Boxship, all of them; they come on top of the service's own. `name` may be a temporary one, which RenameContainer
    makes final. The runner puts the container's id where later actions say "new:NAME"."""

    name: str
    number: int
    image: str
    one_off: bool = False
    inherit: str = ""
    labels: Mapping[str, str] = field(default_factory=dict)


class RenameContainer(Action, frozen=True):
    container: str
    name: str


class StartContainer(Action, frozen=True):
    """Start, and run the service's post_start hooks."""

    container: str
    name: str


class StopContainer(Action, frozen=True):
    """Run the service's pre_stop hooks, and stop. `seconds` None is the container's own grace time."""

    container: str
    name: str
    seconds: float | None = None


class RestartContainer(Action, frozen=True):
    container: str
    name: str
    seconds: float | None = None


class KillContainer(Action, frozen=True):
    container: str
    name: str
    signal: str = "SIGKILL"


class PauseContainer(Action, frozen=True):
    container: str
    name: str


class UnpauseContainer(Action, frozen=True):
    container: str
    name: str


class RemoveContainer(Action, frozen=True):
    """`volumes`: its anonymous volumes too."""

    container: str
    name: str
    volumes: bool = False
    force: bool = False


class AwaitContainer(Action, frozen=True):
    """Wait until it is `started`, `healthy` (`started` where there is no check), or `completed` with exit code 0. Fails
    as soon as that cannot come true any more, and after `seconds` (None: no limit). With `steady` it fails when the
    container restarts, too; with `checked` when it has no check."""

    container: str
    name: str
    condition: str
    seconds: float | None = None
    steady: bool = False
    checked: bool = False


class WatchContainer(Action, frozen=True):
    """Look at a container for `seconds`. Fails when it exits, restarts or becomes unhealthy meanwhile."""

    container: str
    name: str
    seconds: float


class ConnectNetwork(Action, frozen=True):
    """Connect a container that is there to one more network of its service."""

    container: str
    name: str
    network: str


class DisconnectNetwork(Action, frozen=True):
    container: str
    name: str
    network: str


class Pass(Action, frozen=True):
    """Nothing is to be done; `text` says why ("running", "no change"). `kind` is what `name` names."""

    name: str
    text: str
    kind: str = "Container"


class RollPolicy(Struct, frozen=True, kw_only=True):
    """How replicas are replaced. `parallelism` 0 is all at once; times are seconds; `on_failure` is pause, continue or
    rollback; up to `max_failure_ratio` of the replicas may fail before that."""

    parallelism: int = 1
    delay: float = 0.0
    monitor: float = 0.0
    on_failure: str = "rollback"
    max_failure_ratio: float = 0.0


class Slot(Struct, frozen=True, kw_only=True):
    """One replica that is to be replaced: the container that is there, and the creation of the new one, whose name is
    temporary until the old one is gone."""

    old: str
    name: str  # the old one's
    final: str  # the new one's, in the end
    create: CreateContainer


class RollService(Action, frozen=True):
    """Replace replicas one after the other, each new one healthy before the next old one goes, and put the old ones
    back where that fails. The runner takes it apart (planning.rolling): a Host never sees it."""

    slots: tuple[Slot, ...]
    start_first: bool = True
    update: RollPolicy = RollPolicy()
    rollback: RollPolicy = RollPolicy(on_failure="pause")
    stop_seconds: float | None = None
    wait_seconds: float | None = None  # for one to become healthy


class Step(Struct, frozen=True, kw_only=True):
    """An action and the ids of the steps that must have succeeded before it begins. The failure of an `optional` one is
    a warning, and what comes after it goes on."""

    id: int
    action: Action
    after: tuple[int, ...] = ()
    reason: str = ""  # why it is done: "configuration changed", "image changed", "orphan" …
    optional: bool = False


class Plan(Struct, frozen=True):
    """Steps in an order that respects `after`. `warnings` are said before anything is done."""

    steps: tuple[Step, ...] = ()
    warnings: tuple[str, ...] = ()
