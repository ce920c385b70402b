"""Decides which namespaces are the container's own, the machine's, or another container's."""

import platform

import msgspec

from boxship.engine.hooks import Draft, Pure, planned
from boxship.engine.model import ALIVE, Container
from boxship.engine.placing import POD
from boxship.engine.pods_records import PodRecords
from boxship.engine.records import Records
from boxship.errors import Conflict, NotFound
from boxship.runtime.plan import HOST, NEW


class NamespacesHook(Pure):
    def __init__(self, records: Records, pods: PodRecords) -> None:
        self._records = records
        self._pods = pods

    async def apply(self, draft: Draft) -> Draft:
        spec = draft.container.spec
        namespaces = msgspec.structs.replace(
            draft.plan.namespaces,
            ipc=self._of(spec.ipc_mode, "ipc"),
            pid=self._of(spec.pid_mode, "pid"),
            uts=HOST if spec.uts_mode == "host" else NEW,
            cgroup=NEW if spec.cgroupns_mode == "private" else HOST,
        )
        return planned(
            draft, namespaces=namespaces, hostname=self._hostname(draft.container), domainname=spec.domainname
        )

    def _of(self, mode: str, kind: str) -> str:
        if mode == "host":
            return HOST
        if mode.startswith(POD):
            return self._pods.ready(mode).namespace(kind) or HOST
        if mode.startswith("container:"):
            peer = running_peer(self._records, mode)
            if kind == "ipc" and peer.spec.ipc_mode in ("", "none", "private"):
                raise Conflict(
                    f"cannot join the IPC namespace of container {peer.name}: "
                    "non-shareable IPC (hint: use IpcMode:shareable for the donor container)"
                )
            return f"/proc/{peer.state.process.pid}/ns/{kind}"
        return NEW

    def _hostname(self, container: Container) -> str:
        spec = container.spec
        if spec.network_mode.startswith("container:"):
            peer = running_peer(self._records, spec.network_mode)
            return self._hostname(peer)
        if spec.uts_mode == "host" or (spec.network_mode == "host" and not spec.hostname):
            return platform.node()
        return spec.hostname or container.id[:12]


def default_cgroup_namespace(cgroup_version: str) -> str:
    """Docker's default: private on cgroup v2, for privileged containers too; the machine's on v1."""
    return "private" if cgroup_version == "2" else "host"


def running_peer(records: Records, mode: str) -> Container:
    """The container of "container:ID". Raises Conflict where it doesn't run."""
    reference = mode.removeprefix("container:")
    try:
        peer = records.get(reference)
    except NotFound as error:
        raise Conflict(f"cannot join the namespace of container {reference}: it is gone") from error
    if peer.state.phase not in ALIVE:
        raise Conflict(f"cannot join network of a non running container: {peer.id}")
    return peer
