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
    key: str
    name: str


class RemoveNetwork(Action, frozen=True):
    id: str
    name: str


class CreateVolume(Action, frozen=True):
    key: str
    name: str


class RemoveVolume(Action, frozen=True):
    name: str


class RemoveImage(Action, frozen=True):
    image: str


class CreateContainer(Action, frozen=True):
    """`inherit` is the container whose anonymous volumes it takes over; "" for none. `labels` come on top of the
    service's own. `name` may be a temporary one, which RenameContainer makes final. The runner puts the container's id
    where later actions say "new:NAME"."""

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
    as soon as that cannot come true any more, and after `seconds` (None: no limit)."""

    container: str
    name: str
    condition: str
    seconds: float | None = None


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
    """Nothing is to be done; `text` says why ("running", "no change")."""

    name: str
    text: str


class Step(Struct, frozen=True, kw_only=True):
    """An action and the ids of the steps that must have succeeded before it begins."""

    id: int
    action: Action
    after: tuple[int, ...] = ()
    reason: str = ""  # why it is done: "configuration changed", "image changed", "orphan" …


class Plan(Struct, frozen=True):
    """Steps in an order that respects `after`. `warnings` are said before anything is done."""

    steps: tuple[Step, ...] = ()
    warnings: tuple[str, ...] = ()
