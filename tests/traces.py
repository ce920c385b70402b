"""What tests could leave behind on the machine: processes, interfaces, rules, cgroups, mounts, network namespaces."""

import contextlib
import os
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

# The machine's own view: a test may have put this process into a mount namespace of its own.
MACHINE = Path(f"/proc/self/fd/{os.open('/sys/fs/cgroup', os.O_PATH)}")
SETTLE_SECONDS = 15.0  # the kernel ends namespaces and their interfaces a little later than their processes
PROGRAMS = (b"conmon", b"boxshipd", b"crun", b"runc", b"boxship", b"tini-static")
INTERFACES = ("bx", "br-", "veth")


def traces() -> set[str]:
    """Everything of our kinds that is on the machine now, each as a line that names it."""
    return set().union(_processes(), _interfaces(), _tables(), _cgroups(), _mounts(), _namespaces())


def left_behind(before: set[str]) -> set[str]:
    """What is there now and wasn't before; waits a while for it to go."""
    deadline = time.monotonic() + SETTLE_SECONDS
    while (more := traces() - before) and time.monotonic() < deadline:
        time.sleep(0.2)
    return more


def _processes() -> Iterator[str]:
    for folder in Path("/proc").iterdir():
        if not folder.name.isdecimal():
            continue
        with contextlib.suppress(OSError):
            words = (folder / "cmdline").read_bytes().split(b"\0")
            names = {word.rsplit(b"/", 1)[-1] for word in words[:2]}
            if names & set(PROGRAMS):
                yield f"process {folder.name}: {b' '.join(words[:6]).decode(errors='replace')}"


def _interfaces() -> Iterator[str]:
    for path in Path("/sys/class/net").iterdir():
        if path.name.startswith(INTERFACES):
            yield f"interface {path.name}"


def _tables() -> Iterator[str]:
    listed = subprocess.run(["nft", "list", "tables"], capture_output=True, text=True, check=False).stdout
    return (line for line in listed.splitlines() if "boxship" in line)


def _cgroups() -> Iterator[str]:
    for folder in (MACHINE, *MACHINE.iterdir()):
        with contextlib.suppress(OSError):
            names = [path.name for path in folder.iterdir() if path.name.startswith("boxship-")]
            yield from (f"cgroup {folder.name}/{name}" for name in names)


def _mounts() -> Iterator[str]:
    for line in Path(f"/proc/{os.getppid()}/mountinfo").read_text().splitlines():
        yield f"mount {line.split()[4]}"


def _namespaces() -> Iterator[str]:
    listed = subprocess.run(["lsns", "-n", "-t", "net", "-o", "NS"], capture_output=True, text=True, check=False)
    return (f"network namespace {number}" for number in listed.stdout.split())
