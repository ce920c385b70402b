"""What the agent is told of its node when it is made: values that do not change while it runs.

`machine_facts` reads what the kernel says of the machine; everything else is the composition's knowledge. Nothing here
may ask the API or the runtime.
"""

import contextlib
import os
import platform
from pathlib import Path

import msgspec

VERSION = "v1.36.2"  # of Kubernetes, whose words we speak
USER_NAMESPACES = "/proc/sys/user/max_user_namespaces"
INTERNAL, HOSTNAME = "InternalIP", "Hostname"


class MachineFacts(msgspec.Struct, frozen=True, kw_only=True):
    """For status.nodeInfo. `cpus`: processors; `memory`: bytes."""

    cpus: int = 1
    memory: int = 0
    architecture: str = "amd64"
    kernel: str = ""
    os_image: str = ""
    machine_id: str = ""
    system_uuid: str = ""
    boot_id: str = ""
    swap: int = 0
    user_namespaces: bool = True


class NodeFacts(msgspec.Struct, frozen=True, kw_only=True):
    """`addresses` are (type, address), the InternalIP first. `port` is where the agent's own server listens; where that
    is not on the InternalIP, `agent_address` ("ADDRESS:PORT") says where. `reserved` is kept from pods, by resource.
    `network_ready` "": pods can have a network; else why not. `extended`: further capacity, by the resource's name."""

    name: str
    addresses: tuple[tuple[str, str], ...] = ()
    port: int = 10250
    agent_address: str = ""
    machine: MachineFacts = MachineFacts()
    runtime_version: str = "boxship://0.1"
    labels: dict[str, str] = {}
    annotations: dict[str, str] = {}
    taints: tuple[dict[str, str], ...] = ()
    pods: int = 110
    reserved: dict[str, str] = {}
    extended: dict[str, str] = {}
    network_ready: str = ""

    @property
    def address(self) -> str:
        """The InternalIP, "" for none."""
        return next((address for kind, address in self.addresses if kind == INTERNAL), "")


def machine_facts() -> MachineFacts:
    """Of the machine that we run on. What cannot be read is empty."""
    memory = {}
    for line in _text("/proc/meminfo").splitlines():
        name, _, rest = line.partition(":")
        if rest.split():
            memory[name] = int(rest.split()[0]) * 1024
    release = dict(
        line.partition("=")[::2] for line in _text("/etc/os-release").splitlines() if "=" in line and line[0] != "#"
    )
    machine = platform.machine()
    return MachineFacts(
        cpus=len(os.sched_getaffinity(0)),
        memory=memory.get("MemTotal", 0),
        swap=memory.get("SwapTotal", 0),
        architecture={"x86_64": "amd64", "aarch64": "arm64"}.get(machine, machine),
        kernel=platform.release(),
        os_image=release.get("PRETTY_NAME", "").strip('"'),
        machine_id=_text("/etc/machine-id").strip(),
        system_uuid=_text("/sys/class/dmi/id/product_uuid").strip(),
        boot_id=_text("/proc/sys/kernel/random/boot_id").strip(),
        user_namespaces=Path("/proc/self/ns/user").exists() and _text(USER_NAMESPACES).strip() != "0",
    )


def _text(path: str) -> str:
    with contextlib.suppress(OSError, UnicodeDecodeError):
        return Path(path).read_text()
    return ""
