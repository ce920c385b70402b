"""What somebody who looks on is told while a plan is carried out. The command line draws it; tests collect it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Protocol

from msgspec import Struct, field

from boxship.compose.planning import actions
from boxship.compose.planning.actions import Action, Plan
from boxship.compose.planning.naming import final_name
from boxship.compose.planning.observed import LABEL_REPLACE
from boxship.compose.planning.rolling import Phase

WORDS: Mapping[type[Action], tuple[str, str, str]] = {
    # action: what it is about, while it is done, when it is done
    actions.PullImage: ("Image", "Pulling", "Pulled"),
    actions.BuildImage: ("Image", "Building", "Built"),
    actions.PushImage: ("Image", "Pushing", "Pushed"),
    actions.RemoveImage: ("Image", "Removing", "Removed"),
    actions.CreateNetwork: ("Network", "Creating", "Created"),
    actions.RemoveNetwork: ("Network", "Removing", "Removed"),
    actions.CreateVolume: ("Volume", "Creating", "Created"),
    actions.RemoveVolume: ("Volume", "Removing", "Removed"),
    actions.CreateContainer: ("Container", "Creating", "Created"),
    actions.RenameContainer: ("Container", "Renaming", "Renamed"),
    actions.StartContainer: ("Container", "Starting", "Started"),
    actions.StopContainer: ("Container", "Stopping", "Stopped"),
    actions.RestartContainer: ("Container", "Restarting", "Restarted"),
    actions.KillContainer: ("Container", "Killing", "Killed"),
    actions.PauseContainer: ("Container", "Pausing", "Paused"),
    actions.UnpauseContainer: ("Container", "Unpausing", "Unpaused"),
    actions.RemoveContainer: ("Container", "Removing", "Removed"),
    actions.WatchContainer: ("Container", "Watching", "Stable"),
    actions.ConnectNetwork: ("Container", "Connecting", "Connected"),
    actions.DisconnectNetwork: ("Container", "Disconnecting", "Disconnected"),
    actions.RollService: ("Service", "Updating", "Updated"),
}
ROLLING: Mapping[Phase, tuple[str, str]] = {
    # of one replica, of which there are two while it is replaced
    Phase.CREATING: ("Creating new", "New created"),
    Phase.STARTING: ("Starting new", "New started"),
    Phase.CHECKING: ("Waiting for new", "New ready"),
    Phase.MONITORING: ("Watching new", "New stable"),
    Phase.RETIRING: ("Stopping old", "Old stopped"),
    Phase.REVIVING: ("Starting old", "Old started"),
    Phase.RECHECKING: ("Waiting for old", "Old ready"),
    Phase.DROPPING: ("Stopping new", "New stopped"),
    Phase.ERASING: ("Removing new", "Rolled back"),
    Phase.CLEARING: ("Removing old", "Old removed"),
    Phase.NAMING: ("Renaming", "Replaced"),
}
_AWAITED = {"started": "Started", "healthy": "Healthy", "completed": "Exited"}


class Event(Struct, frozen=True, kw_only=True):
    """News of one step. `state` is waiting, working, done, warning, failed or canceled; `text` is "Creating",
    "Created" … or the reason of a failure; `current` and `total` are bytes. A step of several actions (a rolling
    update) tells of several subjects under one number."""

    step: int
    subject: str
    state: str
    text: str
    service: str = ""
    reason: str = ""
    current: int = 0
    total: int = 0
    dry_run: bool = False


class Failure(Struct, frozen=True):
    subject: str
    reason: str


class Outcome(Struct, frozen=True, kw_only=True):
    """How a plan ended. `made` is name at creation → id of the containers that were made."""

    failures: tuple[Failure, ...] = ()
    warnings: tuple[str, ...] = ()
    canceled: bool = False
    made: Mapping[str, str] = field(default_factory=dict)

    @property
    def code(self) -> int:
        """The exit code of a program: 0, 1, or 130 after Ctrl-C."""
        return 130 if self.canceled else int(bool(self.failures))


class View(Protocol):
    """Who looks on. One thread calls at a time."""

    def begin(self, plan: Plan, dry_run: bool) -> None:
        """These steps are about to be carried out; the plan's warnings are to be shown."""

    def event(self, event: Event) -> None:
        """One step went on."""

    def say(self, text: str) -> None:
        """A sentence about the whole, such as who holds the project's lock."""

    def end(self, outcome: Outcome) -> None:
        """The plan is over."""


def subject(action: Action) -> str:
    """What an action is about: "Container demo-web-1"."""
    if isinstance(action, actions.RollService):
        return f"Service {action.service}"
    if isinstance(action, actions.Pass):
        return f"{action.kind} {action.name}"
    kind = WORDS[type(action)][0] if type(action) in WORDS else "Container"
    if isinstance(action, actions.CreateContainer) and LABEL_REPLACE in action.labels:
        return f"{kind} {final_name(action.name)}"
    return f"{kind} {getattr(action, 'name', '') or getattr(action, 'image', '')}"


def words(action: Action, phase: Phase | None = None) -> tuple[str, str]:
    """While it is done, and when it is done; `phase` says what it is for in a rolling update."""
    if phase is not None:
        return ROLLING[phase]
    if isinstance(action, actions.Pass):
        return action.text, action.text
    if isinstance(action, actions.AwaitContainer):
        return "Waiting", _AWAITED.get(action.condition, "Ready")
    if isinstance(action, actions.CreateContainer) and LABEL_REPLACE in action.labels:
        return "Recreate", "Recreated"
    return WORDS[type(action)][1:]
