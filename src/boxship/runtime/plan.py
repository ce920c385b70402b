"""Everything that the OCI runtime has to know of one container, joined from all rooms: the input of `config.render`."""

from typing import Any

import msgspec

from boxship.spec.container import DeviceMapping, Resources, Ulimit
from boxship.spec.mount import Mount
from boxship.spec.users import UserMap

NEW = "new"  # a namespace of the container's own
HOST = "host"  # the machine's
NO_SHM = "none"  # nothing at /dev/shm


class Identity(msgspec.Struct, frozen=True):
    """Who the process runs as."""

    uid: int = 0
    gid: int = 0
    groups: tuple[int, ...] = ()
    home: str = "/"


class Namespaces(msgspec.Struct, frozen=True):
    """Each is NEW, HOST or the path of a namespace file to join."""

    network: str = NEW
    ipc: str = NEW
    pid: str = NEW
    uts: str = NEW
    cgroup: str = HOST


class Rights(msgspec.Struct, frozen=True):
    """What the process may do. `capabilities` are full names ("CAP_CHOWN"); `seccomp` is the OCI object, None for no
    filter; `privileged` opens all devices and the kernel's own filesystems for writing."""

    capabilities: tuple[str, ...] = ()
    seccomp: dict[str, Any] | None = None
    no_new_privileges: bool = False
    masked_paths: tuple[str, ...] = ()
    read_only_paths: tuple[str, ...] = ()
    privileged: bool = False
    devices: tuple[DeviceMapping, ...] = ()


class Plan(msgspec.Struct, frozen=True, kw_only=True):
    """One container's process, files, namespaces, rights and limits. Mounts beyond the kernel's own (proc, sys, dev,
    cgroup, mqueue, shm) are in `mounts`, in order; their targets are paths inside the container."""

    id: str
    rootfs: str = ""
    arguments: tuple[str, ...] = ()
    environment: tuple[str, ...] = ()
    working_directory: str = "/"
    identity: Identity = Identity()
    tty: bool = False
    console_size: tuple[int, int] = (0, 0)
    init: bool = False
    hostname: str = ""
    domainname: str = ""
    read_only: bool = False
    mounts: tuple[Mount, ...] = ()
    shm: str = ""  # "" for a fresh tmpfs of shm_size bytes, NO_SHM for none, else a host path to bind at /dev/shm
    shm_size: int = 64 << 20
    namespaces: Namespaces = Namespaces()
    users: UserMap = UserMap()  # the user namespace to join
    rights: Rights = Rights()
    sysctls: dict[str, str] = {}
    ulimits: tuple[Ulimit, ...] = ()
    resources: Resources = Resources()
    oom_score_adjustment: int = 0
    cgroup_path: str = ""
    annotations: dict[str, str] = {}
