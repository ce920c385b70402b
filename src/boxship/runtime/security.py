"""What a container may do, by default and as asked: capabilities, seccomp, hidden paths, devices.

The defaults are Docker's. Whatever cannot be granted or held is refused by name; nothing is weakened in silence.
"""

import functools
import os
import platform
import stat
from collections.abc import Iterable, Iterator

from boxship.errors import Invalid, Unsupported
from boxship.runtime import seccomp
from boxship.runtime.host import kernel_version
from boxship.runtime.plan import Rights
from boxship.spec.container import DeviceMapping

ALL_CAPABILITIES = tuple(
    f"CAP_{name}"
    for name in (
        "CHOWN DAC_OVERRIDE DAC_READ_SEARCH FOWNER FSETID KILL SETGID SETUID SETPCAP LINUX_IMMUTABLE NET_BIND_SERVICE "
        "NET_BROADCAST NET_ADMIN NET_RAW IPC_LOCK IPC_OWNER SYS_MODULE SYS_RAWIO SYS_CHROOT SYS_PTRACE SYS_PACCT "
        "SYS_ADMIN SYS_BOOT SYS_NICE SYS_RESOURCE SYS_TIME SYS_TTY_CONFIG MKNOD LEASE AUDIT_WRITE AUDIT_CONTROL "
        "SETFCAP MAC_OVERRIDE MAC_ADMIN SYSLOG WAKE_ALARM BLOCK_SUSPEND AUDIT_READ PERFMON BPF CHECKPOINT_RESTORE"
    ).split()
)  # in the kernel's order: the position is the number
DEFAULT_CAPABILITIES = tuple(
    f"CAP_{name}"
    for name in (
        "CHOWN DAC_OVERRIDE FSETID FOWNER MKNOD NET_RAW SETGID SETUID SETFCAP SETPCAP NET_BIND_SERVICE SYS_CHROOT KILL "
        "AUDIT_WRITE"
    ).split()
)
MASKED_PATHS = (
    "/proc/asound",
    "/proc/acpi",
    "/proc/interrupts",
    "/proc/kcore",
    "/proc/keys",
    "/proc/latency_stats",
    "/proc/timer_list",
    "/proc/timer_stats",
    "/proc/sched_debug",
    "/proc/scsi",
    "/sys/firmware",
    "/sys/devices/virtual/powercap",
)
READ_ONLY_PATHS = ("/proc/bus", "/proc/fs", "/proc/irq", "/proc/sys", "/proc/sysrq-trigger")
SKIPPED_DEVICE_FOLDERS = ("pts", "shm", "fd", "mqueue", ".lxc", ".lxd-mounts", ".udev")
SKIPPED_DEVICES = ("console",)


@functools.cache
def possible_capabilities() -> frozenset[str]:
    """Those that this daemon could give: what is in its own bounding set."""
    with open("/proc/self/status") as file:
        line = next(line for line in file if line.startswith("CapBnd:"))
    mask = int(line.split()[1], 16)
    return frozenset(name for number, name in enumerate(ALL_CAPABILITIES) if mask >> number & 1)


def rights(
    *,
    privileged: bool,
    add: tuple[str, ...],
    drop: tuple[str, ...],
    options: tuple[str, ...],
    masked_paths: tuple[str, ...] | None,
    read_only_paths: tuple[str, ...] | None,
    devices: tuple[DeviceMapping, ...],
) -> tuple[Rights, tuple[str, ...]]:
    """What a container may do, and warnings. `options` are Docker's --security-opt words.

    Raises Invalid for unknown capabilities, options or profiles, Unsupported for what this platform does not have.
    """
    chosen = parse_options(options)
    granted, warnings = _grant(privileged, add, drop)
    profile = chosen["seccomp"]
    rules = None
    if profile != "unconfined" and not (privileged and not profile):
        parsed = seccomp.parse_profile(profile) if profile else seccomp.default_profile()
        rules = seccomp.resolve(parsed, granted, platform.machine(), kernel_version(platform.release()))
    open_paths = privileged or chosen["systempaths"] == "unconfined"
    hidden = MASKED_PATHS if masked_paths is None else masked_paths
    fixed = READ_ONLY_PATHS if read_only_paths is None else read_only_paths
    return Rights(
        capabilities=granted,
        seccomp=rules,
        no_new_privileges=chosen["no-new-privileges"] == "true",
        masked_paths=() if open_paths else hidden,
        read_only_paths=() if open_paths else fixed,
        privileged=privileged,
        devices=devices,
    ), warnings


def parse_options(options: Iterable[str]) -> dict[str, str]:
    """--security-opt words as a table of "seccomp" (text, "unconfined" or ""), "no-new-privileges", "systempaths"."""
    chosen = {"seccomp": "", "no-new-privileges": "", "systempaths": ""}
    for option in options:
        equals, colon = option.find("="), option.find(":")
        separator = ":" if equals < 0 or 0 <= colon < equals else "="  # ":" is Docker's old form
        key, _, value = option.partition(separator)
        if key == "no-new-privileges":
            if value not in ("", "true", "false"):
                raise Invalid(f'invalid --security-opt 2: "{option}"')
            chosen[key] = value or "true"
        elif key == "seccomp" and value:
            chosen[key] = "" if value == "builtin" else value
        elif key == "systempaths" and value == "unconfined":
            chosen[key] = value
        elif key in ("apparmor", "label") and value in ("unconfined", "disable"):
            continue  # there is none to be confined by: what is asked for holds
        elif key in ("apparmor", "label", "credentialspec"):
            raise Unsupported(f"unsupported: security option {key}")
        else:
            raise Invalid(f'invalid --security-opt 2: "{option}"')
    return chosen


def _grant(privileged: bool, add: tuple[str, ...], drop: tuple[str, ...]) -> tuple[tuple[str, ...], tuple[str, ...]]:
    added, dropped = _names(add, "CapAdd"), _names(drop, "CapDrop")
    possible = possible_capabilities()
    if privileged:
        return tuple(name for name in ALL_CAPABILITIES if name in possible), ()
    if "ALL" in added:
        wanted = set(ALL_CAPABILITIES) - set(dropped)
    elif "ALL" in dropped:
        wanted = set(added)
    else:
        wanted = set(DEFAULT_CAPABILITIES) - set(dropped) | set(added)
    lacking = sorted(name for name in added if name in wanted and name not in possible)
    warnings = tuple(f"capability {name} cannot be given: the host's daemon does not have it" for name in lacking)
    return tuple(name for name in ALL_CAPABILITIES if name in wanted and name in possible), warnings


def _names(names: tuple[str, ...], field: str) -> list[str]:
    """Full names, in upper case. Raises Invalid with Docker's text for an unknown one."""
    found = []
    for name in names:
        full = name.upper()
        if full != "ALL" and not full.startswith("CAP_"):
            full = f"CAP_{full}"
        if full != "ALL" and full not in ALL_CAPABILITIES:
            raise Invalid(f'invalid {field}: unknown capability: "{full}"')
        found.append(full)
    return found


def host_devices() -> Iterator[DeviceMapping]:
    """Every device node of the host, for privileged containers."""
    yield from _nodes("/dev", "/dev", "rwm")


def expand(mapping: DeviceMapping) -> Iterator[DeviceMapping]:
    """A device node as it is, or every node of a folder. Raises Invalid, with Docker's text, where there is none."""
    source = os.path.realpath(mapping.host_path)
    try:
        mode = os.stat(source).st_mode
    except OSError:
        mode = 0
    if stat.S_ISDIR(mode):
        found = list(_nodes(source, mapping.container_path or mapping.host_path, mapping.permissions))
        if found:
            yield from found
            return
    if not (stat.S_ISCHR(mode) or stat.S_ISBLK(mode)):
        raise Invalid(
            f'error gathering device information while adding custom device "{mapping.host_path}": '
            f"{'not a device node' if mode else 'no such file or directory'}"
        )
    yield DeviceMapping(source, mapping.container_path or mapping.host_path, mapping.permissions)


def _nodes(folder: str, target: str, permissions: str) -> Iterator[DeviceMapping]:
    with os.scandir(folder) as entries:
        for entry in sorted(entries, key=lambda each: each.name):
            if entry.is_dir(follow_symlinks=False):
                if entry.name not in SKIPPED_DEVICE_FOLDERS:
                    yield from _nodes(entry.path, f"{target}/{entry.name}", permissions)
            elif not entry.is_symlink() and entry.name not in SKIPPED_DEVICES:
                mode = entry.stat(follow_symlinks=False).st_mode
                if stat.S_ISCHR(mode) or stat.S_ISBLK(mode):
                    yield DeviceMapping(entry.path, f"{target}/{entry.name}", permissions)
