"""How the engine names a process that the runtime holds, and how it learns of its end. Values only."""

from pathlib import Path

import msgspec

from boxship.runtime.plan import Identity, Rights
from boxship.spec.container import Ulimit


class Process(msgspec.Struct, frozen=True):
    """A host pid with its start time (clock ticks since boot), by which it is told from a later one; pid 0: none."""

    pid: int = 0
    started: int = 0


class Handle(msgspec.Struct, frozen=True):
    """A created container, or an exec in one (then `exec_id` is set). It can be made again from stored pids."""

    id: str  # the container's
    runtime: str
    bundle: Path  # the folder of config.json, conmon's sockets and the exit file
    process: Process = Process()
    monitor: Process = Process()  # conmon
    cgroup: str = ""
    exec_id: str = ""
    warnings: tuple[str, ...] = ()  # what could not be given in full


class Exit(msgspec.Struct, frozen=True):
    """An end. `finished_at` in nanoseconds since the epoch; `monitor_lost`: conmon was killed, so the code is made
    up (137); `oom_killed`: the kernel killed a process of the container for want of memory."""

    code: int
    finished_at: int
    monitor_lost: bool = False
    oom_killed: bool = False


class Running(msgspec.Struct, frozen=True):
    """What `recover` says of a container that still runs."""

    process: Process


class ExecPlan(msgspec.Struct, frozen=True):
    """A further process in a running container."""

    arguments: tuple[str, ...]
    environment: tuple[str, ...]
    working_directory: str
    identity: Identity
    tty: bool
    console_size: tuple[int, int]
    rights: Rights
    oom_score_adjustment: int = 0
    ulimits: tuple[Ulimit, ...] = ()
    first_user: int = 0  # of the machine's ids, where the container has users of its own
