"""What several containers share without a process that holds it: an IPC namespace, a cgroup, kernel settings; and,
where they share their processes, the smallest process that there can be.

A namespace is kept by a bind mount, in the daemon's mount namespace as all its mounts are. Short blocking work, for a
thread. It must never act outside of the paths that it is given.
"""

import contextlib
import os
from collections.abc import Mapping
from pathlib import Path

import msgspec

from boxship.errors import Internal, Invalid, NotFound, Unavailable
from boxship.runtime import limits
from boxship.runtime.handle import Process
from boxship.runtime.processes import apply_limits
from boxship.runtime.programs import find_init
from boxship.spec.container import Resources
from boxship.spec.users import UserMap
from boxship.sys import cgroup, namespace, usernamespace
from boxship.sys.cgroup import Layout
from boxship.sys.identity import become_user
from boxship.sys.pidfd import is_alive, send_signal, start_time
from boxship.sys.spawn import SAFE_ENVIRONMENT, reap, spawn

NETWORK_DEFAULTS = {"net.ipv4.ip_unprivileged_port_start": "0", "net.ipv4.ping_group_range": "0 2147483647"}
IPC_SETTINGS = frozenset({"kernel.sem", "kernel.shmall", "kernel.shmmax", "kernel.shmmni", "kernel.shm_rmid_forced"})
IPC_PREFIXES = ("kernel.msg", "fs.mqueue.")
NAME = "BOXSHIP_POD"  # in the environment of what holds a process namespace
SIGKILL = 9


def is_network_setting(name: str) -> bool:
    return name.replace("/", ".").startswith("net.")


def check_settings(settings: Mapping[str, str], *, network: bool, ipc: bool) -> None:
    """Raises Invalid for a kernel setting that would be the whole machine's: `network` and `ipc` say which namespaces
    are not."""
    for name in settings:
        plain = name.replace("/", ".")
        of_ipc = plain in IPC_SETTINGS or plain.startswith(IPC_PREFIXES)
        if not ((network and is_network_setting(name)) or (ipc and of_ipc)):
            raise Invalid(f"cannot set sysctl {name}: it is not of a namespace of the pod's own")


def keep_ipc(path: Path, settings: Mapping[str, str]) -> None:
    """A new IPC namespace with its settings, kept at `path`; one that a crash left there is replaced."""
    path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    namespace.remove(path)
    namespace.create_ipc(path, lambda: _write_all(settings))


def make_namespaces(places: Mapping[str, Path], users: UserMap) -> None:
    """A user namespace, and those of the other kinds named ("net", "ipc") that belong to it, kept at their places.
    Raises Unsupported where the machine has none."""
    usernamespace.create(places, users.first, users.count)


def set_up_ipc(path: Path, settings: Mapping[str, str], users: UserMap) -> None:
    """The kernel settings of an IPC namespace that belongs to these users. Older kernels let the machine's root alone
    change them, newer ones theirs alone."""

    def work() -> None:
        try:
            _write_all(settings)
        except Invalid:
            become_user(users.first)
            _write_all(settings)

    if settings:
        namespace.run_inside(path, work, namespace.CLONE_NEWIPC)


def set_up_network(path: Path, settings: Mapping[str, str]) -> None:
    """The kernel settings of a network namespace: those of every container, and those asked for."""

    def work() -> None:
        for name, value in NETWORK_DEFAULTS.items():
            with contextlib.suppress(OSError):
                _write(name, value)
        _write_all(settings)

    namespace.run_inside(path, work)


def _write_all(settings: Mapping[str, str]) -> None:
    for name, value in settings.items():
        try:
            _write(name, value)
        except OSError as error:
            raise Invalid(f"cannot set sysctl {name} to {value}: {error.strerror}") from error


def _write(name: str, value: str) -> None:
    """Both forms of names are taken, "net.ipv4.conf.eth0/1.x" too."""
    place = name if "/" in name.split(".")[0] else name.replace(".", "\0").replace("/", ".").replace("\0", "/")
    if ".." in place.split("/"):
        raise OSError(22, "Invalid argument")
    with open(f"/proc/sys/{place}", "w") as file:
        file.write(value)


def let_go(path: Path) -> None:
    """The namespace kept at `path` ends with its last process. None there is fine."""
    namespace.remove(path)


def is_kept(path: str | Path) -> bool:
    return namespace.exists(Path(path))


def make_cgroup(layout: Layout, path: str, resources: Resources) -> None:
    """A cgroup with limits, that holds those of containers; one that is there gets the limits."""
    cgroup.create(layout, path)
    apply_limits(layout, path, limits.writes(Resources(), resources, layout))


def set_limits(layout: Layout, path: str, before: Resources, after: Resources) -> None:
    """Other limits of a cgroup; what is limited no longer is lifted. Raises Invalid where the kernel refuses."""
    apply_limits(layout, path, limits.writes(before, lifted(before, after), layout))


def lifted(before: Resources, after: Resources) -> Resources:
    """The later limits, with -1 for what they limit no longer."""
    ended = {
        name: -1
        for name in ("memory", "cpu_quota", "pids_limit")
        if getattr(before, name) > 0 and not getattr(after, name)
    }
    if limits.memory_and_swap(before) > 0 and not limits.memory_and_swap(after):
        ended["memory_swap"] = -1
    return msgspec.structs.replace(after, **ended)


def has_cgroup(layout: Layout, path: str) -> bool:
    return cgroup.exists(layout, path)


def remove_cgroup(layout: Layout, path: str) -> None:
    """Kill what is in it, and take it away."""
    cgroup.kill(layout, path)
    cgroup.remove(layout, path)


def remove_empty_above(layout: Layout, path: str) -> None:
    """Take the cgroups above one away that are empty. Nobody may make one there meanwhile."""
    above = os.path.dirname(path.strip("/"))
    while above and cgroup.remove_empty(layout, above):
        above = os.path.dirname(above)


def weigh(layout: Layout, path: str, shares: int) -> None:
    """A cgroup's part of the processors among its neighbours; nothing where it is gone."""
    with contextlib.suppress(Invalid, NotFound):
        apply_limits(layout, path, limits.writes(Resources(), Resources(cpu_shares=shares), layout))


def hold_processes(name: str, users: UserMap) -> Process:
    """The first process of a new process namespace: it reaps what is left to it, and nothing else. It carries a name
    by which it is found again. With users of their own, the namespace belongs to theirs."""
    program = find_init()
    if not program:
        raise Unavailable("cannot share processes: neither tini-static nor catatonit is installed")
    line = [program, "-P"] if program.endswith("catatonit") else [program, "-s", "--", "sleep", "infinity"]
    environment = {**SAFE_ENVIRONMENT, NAME: name}
    if users:
        pid = usernamespace.spawn_with_new_pids(Path(users.path), line, environment)
    else:
        pid = namespace.run_with_new_pids(lambda: spawn(line, env=environment, new_session=True))
    return Process(pid, start_time(pid))


def find_holders(name: str) -> list[Process]:
    """The processes of that name: a look at each of the machine."""
    found = []
    mark = f"{NAME}={name}".encode()
    for entry in os.listdir("/proc"):
        with contextlib.suppress(OSError):
            if entry.isdigit() and mark in Path(f"/proc/{entry}/environ").read_bytes().split(b"\0"):
                found.append(Process(int(entry), start_time(int(entry))))
    return found


def is_held(process: Process) -> bool:
    return is_alive(process.pid, process.started)


def end_processes(process: Process) -> None:
    """End a process namespace by its first process; every other of it goes along."""
    if not process.pid:
        return
    send_signal(process.pid, process.started, SIGKILL)
    with contextlib.suppress(Internal, OSError):
        reap(process.pid)
