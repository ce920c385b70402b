"""What this machine can do for containers, looked up once."""

import os
import platform

import msgspec

from boxship.sys import cgroup
from boxship.sys.cgroup import Layout


class HostFacts(msgspec.Struct, frozen=True):
    """`cgroup_version` is "1" or "2" as Docker says it (a hybrid host counts as 1). `warnings` are for `info`."""

    cgroup_version: str
    cgroup_namespaces: bool
    warnings: tuple[str, ...]
    cpus: int
    cpuset_cpus: str  # "0-3": those that may be asked for
    cpuset_mems: str
    kernel: tuple[int, int]
    layout: Layout


def look(layout: Layout) -> HostFacts:
    """Read the facts."""
    controller, suffix = ("cpuset", ".effective") if layout.is_v2 else ("cpuset", "")
    cpus = cgroup.read(layout, controller, "/", f"cpuset.cpus{suffix}").strip()
    mems = cgroup.read(layout, controller, "/", f"cpuset.mems{suffix}").strip()
    count = os.cpu_count() or 1
    return HostFacts(
        cgroup_version="2" if layout.is_v2 else "1",
        cgroup_namespaces=os.path.exists("/proc/self/ns/cgroup"),
        warnings=tuple(_missing(layout)),
        cpus=count,
        cpuset_cpus=cpus or f"0-{count - 1}",
        cpuset_mems=mems or "0",
        kernel=kernel_version(platform.release()),
        layout=layout,
    )


def kernel_version(release: str) -> tuple[int, int]:
    """ "6.18.44-foo" → (6, 18)."""
    major, _, rest = release.partition(".")
    minor = "".join(digit for digit in rest.split(".")[0] if digit.isdigit())
    return int(major or 0), int(minor or 0)


def _missing(layout: Layout) -> list[str]:
    found = []
    if "memory" not in layout.controllers:
        found.append("WARNING: No memory limit support")
    elif not layout.swap:
        found.append("WARNING: No swap limit support")
    for controller, text in (("cpu", "cpu shares"), ("cpuset", "cpuset"), ("pids", "pids limit")):
        if controller not in layout.controllers:
            found.append(f"WARNING: No {text} support")
    return found
