"""What is known of a pod on this machine at one moment, what is remembered of it, and what is to be done: values alone.

`Memory` is what the agent knows besides the runtime and the API: why something could not be started, since when it is
being stopped. All of it may be lost with the agent at any moment; then it is found out anew.
"""

from collections.abc import Mapping

import msgspec

from boxship.cluster.node.runtime import ContainerStatus, Sandbox
from boxship.cluster.objects import Object

INIT, SIDECAR, MAIN, EPHEMERAL = "init", "sidecar", "main", "ephemeral"  # kinds of a pod's containers
SANDBOX, START, LEAVE, PRE_STOP, STOP, REMOVE, RESIZE, CLEAN, FINISH, VOLUMES = (
    "sandbox",  # make the pod's sandbox, after what was there before
    "start",  # pull, create and start a container, and run its postStart hook
    "leave",  # wait until nobody new comes to the pod
    "pre-stop",  # run a container's preStop hook
    "stop",  # end a container
    "remove",  # forget an ended container that nobody asks for any more
    "resize",  # give a running container other limits
    "clean",  # give back what an ended pod does not need: its sandbox and volumes
    "finish",  # the pod is gone: take everything away, and tell the API
    "volumes",  # show the pod's fields as they are now
)


class Problem(msgspec.Struct, frozen=True):
    """Why something could not be done: the original's word, and what people read. `until`: not tried again before.
    `seconds`: the pause that it has grown to."""

    reason: str
    message: str
    since: float
    until: float = 0.0
    seconds: float = 0.0
    image: str = ""  # that could not be had


class BackOff(msgspec.Struct, frozen=True):
    """How long a container that keeps ending has to wait, and when that was last raised."""

    seconds: float
    since: float


class Kill(msgspec.Struct, frozen=True):
    """A container is being ended while its pod goes on. `restart`: it is started again whatever its policy says."""

    since: float
    grace: float
    message: str
    restart: bool = False


class Ending(msgspec.Struct, frozen=True):
    """The whole pod is being ended. `phase` "Failed" with `reason` where it is not its containers' doing."""

    since: float
    grace: float
    reason: str = ""
    message: str = ""
    phase: str = ""
    disrupts: bool = False  # the node ends it, to help itself


class Verdict(msgspec.Struct, frozen=True):
    """What the probes say of one running container. `failed`: "liveness" or "startup" where it has to be restarted,
    with the grace that the probe asks for (None: the pod's)."""

    started: bool = True
    ready: bool = True
    failed: str = ""
    grace: float | None = None


class Memory(msgspec.Struct, frozen=True):
    problems: Mapping[str, Problem] = {}  # by container; "": the pod's own
    back_offs: Mapping[str, BackOff] = {}
    kills: Mapping[str, Kill] = {}  # by id
    hooked: frozenset[str] = frozenset()  # ids: its postStart hook is through, or it has none
    pre_stopped: frozenset[str] = frozenset()  # ids: the same of preStop
    stopping: Mapping[str, float] = {}  # ids: until when it may take, as it was last asked
    ending: Ending | None = None
    in_force: Mapping[str, Object] = {}  # by container: the resources that it was last given; "": the pod's own
    resize_problems: Mapping[str, Problem] = {}  # by the same names: why it cannot be given others
    epoch: int = 0  # nanoseconds: runs made before count as of an earlier life of the pod
    left: bool = False  # nobody new comes to the pod any more, or that was waited for long enough
    clean: bool = False  # an ended pod has given back what it does not need


class Room(msgspec.Struct, frozen=True):
    """What the node has for pods in all, and what is left for this one beside the others: thousandths of processors
    and bytes."""

    cpu: int = 0
    memory: int = 0
    free_cpu: int = 0
    free_memory: int = 0


class Seen(msgspec.Struct, frozen=True, kw_only=True):
    """`busy`: actions under way, by `Action.key`. `gone`: the API has no such pod any more."""

    now: float
    sandbox: Sandbox | None = None
    containers: tuple[ContainerStatus, ...] = ()
    verdicts: Mapping[str, Verdict] = {}  # by id
    messages: Mapping[str, str] = {}  # termination messages by id
    busy: frozenset[str] = frozenset()
    gone: bool = False
    host: tuple[str, ...] = ()  # the node's addresses
    room: Room | None = None  # None: nobody has looked, as nothing asks for more than it has


class Action(msgspec.Struct, frozen=True):
    """One thing to do. Of two with the same key, the second waits until the first is through, but for STOP with a
    shorter grace."""

    verb: str
    name: str = ""  # of the container
    id: str = ""
    attempt: int = 0
    grace: float = 0.0
    message: str = ""  # for people
    clear: tuple[str, ...] = ()  # START: ids of ended containers that are not needed any more

    @property
    def key(self) -> str:
        return f"{self.verb}/{self.id or self.name}"


class Part(msgspec.Struct, frozen=True):
    """One container of the pod: what it should be, and its runs, the newest first."""

    kind: str
    name: str
    spec: Object
    runs: tuple[ContainerStatus, ...] = ()
    known: Object = {}  # its status as the API has it

    @property
    def current(self) -> ContainerStatus | None:
        return self.runs[0] if self.runs else None

    @property
    def previous(self) -> ContainerStatus | None:
        return self.runs[1] if len(self.runs) > 1 else None


class Decision(msgspec.Struct, frozen=True):
    """`again`: when to look once more though nothing was heard; 0.0: not."""

    status: Object
    actions: tuple[Action, ...] = ()
    memory: Memory = Memory()
    again: float = 0.0
    refused: bool = False  # there is no room for the resources that are wanted, or nobody has looked: all keep theirs
