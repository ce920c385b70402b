"""A plan as the OCI runtime's config.json (runtime specification 1.0). Pure, but for the numbers of devices by path.

Everything that the container gets is in the plan; what is added here are the kernel's own mounts and Docker's default
device rules. Nothing may be added that the plan does not know.
"""

import os
import posixpath
import stat
from collections.abc import Iterable
from typing import Any

from boxship.errors import Invalid, Unavailable
from boxship.runtime import limits, security
from boxship.runtime.plan import HOST, NEW, NO_SHM, Identity, Plan, Rights
from boxship.runtime.programs import INIT_TARGET, find_init
from boxship.spec.container import DeviceMapping, Ulimit
from boxship.spec.mount import Mount
from boxship.sys.cgroup import Layout

OCI_VERSION = "1.0.2"
ULIMITS = frozenset(
    "as core cpu data fsize locks memlock msgqueue nice nofile nproc rss rtprio rttime sigpending stack".split()
)
# Type, major, minor (None: any), access: what every container may use (Docker's list).
DEVICE_RULES: tuple[tuple[str, int | None, int | None, str], ...] = (
    ("c", None, None, "m"),
    ("b", None, None, "m"),
    ("c", 1, 3, "rwm"),
    ("c", 1, 5, "rwm"),
    ("c", 1, 7, "rwm"),
    ("c", 1, 8, "rwm"),
    ("c", 1, 9, "rwm"),
    ("c", 5, 0, "rwm"),
    ("c", 5, 1, "rwm"),
    ("c", 5, 2, "rwm"),
    ("c", 136, None, "rwm"),
)
_NODE_KINDS = ((stat.S_ISBLK, "b"), (stat.S_ISCHR, "c"), (stat.S_ISFIFO, "p"))


def render(plan: Plan, layout: Layout) -> dict[str, Any]:
    """The whole object. Raises Invalid for a wrong ulimit, device or device rule."""
    arguments = (INIT_TARGET, "--", *plan.arguments) if plan.init else plan.arguments
    devices = list(_devices(plan.rights))
    config: dict[str, Any] = {
        "ociVersion": OCI_VERSION,
        "process": process(
            arguments,
            plan.environment,
            plan.working_directory,
            plan.identity,
            plan.rights,
            tty=plan.tty,
            console_size=plan.console_size,
            oom_score_adjustment=plan.oom_score_adjustment,
            ulimits=plan.ulimits,
        ),
        "root": {"path": plan.rootfs, "readonly": plan.read_only},
        "mounts": [_mount(mount) for mount in mounts(plan)],
        "linux": {
            "namespaces": _namespaces(plan),
            "resources": {
                **limits.to_oci(plan.resources, layout),
                "devices": _device_rules(plan, devices),
            },
            "devices": devices,
            "sysctl": plan.sysctls,
            "maskedPaths": list(plan.rights.masked_paths),
            "readonlyPaths": list(plan.rights.read_only_paths),
            "cgroupsPath": plan.cgroup_path,
            "rootfsPropagation": _propagation(plan.mounts),
        },
    }
    if plan.namespaces.uts == NEW:
        config["hostname"] = plan.hostname
        if plan.domainname:
            config["domainname"] = plan.domainname
    if plan.users:
        mapping = {"containerID": 0, "hostID": plan.users.first, "size": plan.users.count}
        config["linux"] |= {"uidMappings": [mapping], "gidMappings": [mapping]}  # runc wants to be told
    if plan.annotations:
        config["annotations"] = plan.annotations
    if plan.rights.seccomp is not None:
        config["linux"]["seccomp"] = plan.rights.seccomp
    return config


def process(
    arguments: Iterable[str],
    environment: Iterable[str],
    working_directory: str,
    identity: Identity,
    rights: Rights,
    *,
    tty: bool,
    console_size: tuple[int, int],
    oom_score_adjustment: int,
    ulimits: Iterable[Ulimit],
) -> dict[str, Any]:
    """The process object, of a container and of an exec alike.

    Only root gets the capabilities in force; for another user they bound what set-uid programs may gain. The OOM score
    is always said: a service manager may protect the daemon, and not every conmon takes that from what it starts.
    In an exec crun 1.8 does not look at it; conmon 2.1.6 gives it 0 then.
    """
    capabilities = list(rights.capabilities)
    effective = capabilities if identity.uid == 0 else []
    described: dict[str, Any] = {
        "terminal": tty,
        "user": {"uid": identity.uid, "gid": identity.gid, "additionalGids": [identity.gid, *identity.groups]},
        "args": list(arguments),
        "env": list(environment),
        "cwd": working_directory or "/",
        "capabilities": {"bounding": capabilities, "effective": effective, "permitted": effective},
        "noNewPrivileges": rights.no_new_privileges,
        "oomScoreAdj": oom_score_adjustment,
        "rlimits": [_ulimit(limit) for limit in ulimits],
    }
    if tty and all(console_size):
        described["consoleSize"] = {"height": console_size[0], "width": console_size[1]}
    return described


def mounts(plan: Plan) -> list[Mount]:
    """The kernel's own mounts, less those that the plan replaces, then the plan's, outer before inner."""
    access = () if plan.rights.privileged else ("ro",)
    quiet = ("nosuid", "noexec", "nodev")
    shm = Mount("tmpfs", "shm", "/dev/shm", (*quiet, "mode=1777", f"size={plan.shm_size}"))
    if plan.shm:
        shm = Mount("bind", plan.shm, "/dev/shm", ("rbind", "rprivate"))
    own = [
        Mount("proc", "proc", "/proc", quiet),
        Mount("tmpfs", "tmpfs", "/dev", ("nosuid", "strictatime", "mode=755", "size=65536k")),
        Mount(
            "devpts", "devpts", "/dev/pts", ("nosuid", "noexec", "newinstance", "ptmxmode=0666", "mode=0620", "gid=5")
        ),
        Mount("sysfs", "sysfs", "/sys", (*quiet, *access)),
        Mount("cgroup", "cgroup", "/sys/fs/cgroup", (*quiet, *access)),
        Mount("mqueue", "mqueue", "/dev/mqueue", quiet),  # it shows the queues of the IPC namespace, whosever that is
    ]
    if plan.shm != NO_SHM:
        own.append(shm)
    if plan.init:
        program = find_init()
        if not program:
            raise Unavailable("cannot use an init process: neither tini-static nor catatonit is installed")
        own.append(Mount("bind", program, INIT_TARGET, ("bind", "ro")))
    replaced = {posixpath.normpath(mount.target) for mount in plan.mounts}
    given = sorted(plan.mounts, key=lambda mount: posixpath.normpath(mount.target).count("/"))
    return [*(mount for mount in own if mount.target not in replaced), *given]


def _mount(mount: Mount) -> dict[str, Any]:
    options = list(mount.options)
    if mount.kind == "bind" and not {"bind", "rbind"} & set(options):
        options.insert(0, "rbind")
    return {"destination": mount.target, "type": mount.kind, "source": mount.source, "options": options}


def _propagation(given: Iterable[Mount]) -> str:
    """What the root of the container's mount tree must be for the strongest propagation asked for."""
    words = {word for mount in given for word in mount.options}
    if words & {"shared", "rshared"}:
        return "shared"
    return "slave" if words & {"slave", "rslave"} else "private"


def _namespaces(plan: Plan) -> list[dict[str, str]]:
    """The mount namespace is always the container's own; HOST means not to name the kind."""
    found = [{"type": "mount"}]
    if plan.users:
        found.append({"type": "user", "path": plan.users.path})
    for kind in ("network", "ipc", "pid", "uts", "cgroup"):
        wanted = getattr(plan.namespaces, kind)
        if wanted == NEW:
            found.append({"type": kind})
        elif wanted != HOST:
            found.append({"type": kind, "path": wanted})
    return found


def _ulimit(limit: Ulimit) -> dict[str, Any]:
    name = limit.name.lower().removeprefix("rlimit_")
    if name not in ULIMITS:
        raise Invalid(f"invalid ulimit type: {limit.name}")
    if limit.hard != -1 and (limit.soft > limit.hard or limit.soft == -1):
        raise Invalid(f"ulimit soft limit must be less than or equal to hard limit: {limit.soft} > {limit.hard}")
    unlimited = (1 << 64) - 1
    soft, hard = (unlimited if value < 0 else value for value in (limit.soft, limit.hard))
    return {"type": f"RLIMIT_{name.upper()}", "soft": soft, "hard": hard}


def _devices(rights: Rights) -> Iterable[dict[str, Any]]:
    """Nodes to make in the container. A privileged one gets all of the host's; then a later name wins."""
    wanted: dict[str, DeviceMapping] = {}
    if rights.privileged:
        wanted = {device.container_path: device for device in security.host_devices()}
    for mapping in rights.devices:
        wanted |= {device.container_path: device for device in security.expand(mapping)}
    for target, device in wanted.items():
        state = os.stat(device.host_path)
        kind = next((letter for test, letter in _NODE_KINDS if test(state.st_mode)), "c")
        yield {
            "path": target,
            "type": kind,
            "major": os.major(state.st_rdev),
            "minor": os.minor(state.st_rdev),
            "fileMode": stat.S_IMODE(state.st_mode),
            "uid": state.st_uid,
            "gid": state.st_gid,
        }


def _device_rules(plan: Plan, devices: list[dict[str, Any]]) -> list[dict[str, Any]]:
    if plan.rights.privileged:
        return [{"allow": True, "access": "rwm"}]
    rules: list[dict[str, Any]] = [{"allow": False, "access": "rwm"}]
    for kind, major, minor, access in DEVICE_RULES:
        rules.append(_rule(kind, major, minor, access))
    permissions = {
        device.container_path: device.permissions for mapping in plan.rights.devices for device in _expanded(mapping)
    }
    for device in devices:
        access = permissions.get(device["path"], "rwm")
        rules.append(_rule(device["type"], device["major"], device["minor"], access))
    rules += [_parse_rule(text) for text in plan.resources.device_cgroup_rules]
    return rules


def _expanded(mapping: DeviceMapping) -> list[DeviceMapping]:
    return list(security.expand(mapping))


def _rule(kind: str, major: int | None, minor: int | None, access: str) -> dict[str, Any]:
    rule: dict[str, Any] = {"allow": True, "type": kind, "access": access}
    if major is not None:
        rule["major"] = major
    if minor is not None:
        rule["minor"] = minor
    return rule


def _parse_rule(text: str) -> dict[str, Any]:
    """ "c 1:* rwm". Raises Invalid with Docker's text."""
    words = text.split()
    numbers = words[1].split(":") if len(words) == 3 else []
    known = all(number == "*" or (number.isascii() and number.isdigit()) for number in numbers)
    if len(numbers) != 2 or not known or words[0] not in ("a", "b", "c") or not set(words[2]) <= set("rwm"):
        raise Invalid(f"invalid device cgroup rule format: '{text}'")
    major, minor = (None if number == "*" else int(number) for number in numbers)
    return _rule(words[0], major, minor, words[2])
