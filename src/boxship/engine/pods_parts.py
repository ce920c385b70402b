"""The parts of a pod on this machine: its place in the network, what is kept of namespaces, its cgroup, its files.

Each is found again by the pod's record alone, so that what was begun can be taken back, however far it came.
"""

import asyncio
import os
import platform
import shutil
import threading
from collections.abc import Iterable
from pathlib import Path

import msgspec

from boxship.engine.hooks.sharedmemory import DEFAULT_SHM_SIZE
from boxship.engine.model import ProcessHandle
from boxship.engine.places import Places
from boxship.engine.pods_files import pod_hosts
from boxship.engine.pods_records import Pod
from boxship.network.networks import Networks
from boxship.runtime import sharing
from boxship.runtime.driver import Driver
from boxship.runtime.handle import Process
from boxship.runtime.mapping import check_kernel, check_reachable, check_source
from boxship.runtime.sharedmemory import mount_shared_memory, unmount_shared_memory
from boxship.snapshots.overlay import Snapshots
from boxship.spec.attachment import Attachment
from boxship.spec.container import EndpointRequest, Resources
from boxship.spec.pod import PodSpec
from boxship.waiting import in_thread

HOST_SHM = "/dev/shm"


class PodParts:
    """Makes, looks at and takes away."""

    def __init__(self, networks: Networks, snapshots: Snapshots, driver: Driver, places: Places) -> None:
        self._networks = networks
        self._snapshots = snapshots
        self._driver = driver
        self._places = places
        self._grouping = threading.Lock()  # an empty cgroup goes, while another thread makes one in it

    def described(self, pod: Pod) -> Pod:
        """The record with the paths that follow from its id, before anything is made."""
        folder = self._places.pod(pod.spec.uid)
        own_ipc = not pod.spec.host_ipc
        path = str(self._places.pod_namespace(pod.id, "user"))
        return msgspec.structs.replace(
            pod,
            ipc_namespace=str(self._places.pod_namespace(pod.id, "ipc")) if own_ipc else "",
            shared_memory=str(self._places.shared_memory(pod.id)) if own_ipc else HOST_SHM,
            resolv_conf_path=str(folder / "resolv.conf"),
            hostname_path=str(folder / "hostname"),
            hosts_path=str(folder / "hosts"),
            users=msgspec.structs.replace(pod.users, path=path) if pod.users else pod.users,
        )

    async def make(self, pod: Pod) -> Pod:
        """Make everything of a pod that is recorded; the record with what was given to it."""
        if pod.users:
            await in_thread(self._make_users, pod)
        attached, made = await asyncio.gather(
            self._attach(pod), asyncio.to_thread(self._make_local, pod), return_exceptions=True
        )
        for result in (attached, made):
            if isinstance(result, BaseException):
                raise result
        assert isinstance(attached, Attachment), "or it would have been raised"
        holder = await asyncio.to_thread(self._finish, pod, attached)
        if pod.users:
            sharing.let_go(self._places.pod_namespace(pod.id, "net"))  # the network has it now
        return msgspec.structs.replace(
            pod,
            network_namespace=attached.namespace,
            endpoints=attached.endpoints,
            ports=attached.ports,
            holder=ProcessHandle(holder.pid, holder.started),
        )

    async def _attach(self, pod: Pod) -> Attachment:
        spec = pod.spec
        network = "host" if spec.host_network else spec.network
        return await self._networks.attach(
            pod.id,
            spec.name,
            requests=(EndpointRequest(network=network),) if network else (),
            ports=() if spec.host_network else spec.ports,
            hostname=self.hostname(spec).removesuffix(f".{spec.domainname}"),  # it may be said in full
            domainname=spec.domainname,
            dns=spec.dns,
            dns_search=spec.dns_search,
            dns_options=spec.dns_options,
            resolver=False,
            namespace=str(self._places.pod_namespace(pod.id, "net")) if pod.users else "",
        )

    def _make_users(self, pod: Pod) -> None:
        """The user namespace first: the others belong to it."""
        check_kernel(platform.release())
        check_reachable(self._places.mapped(pod.id))
        kinds = ("user", "net", "ipc")
        sharing.make_namespaces({kind: self._places.pod_namespace(pod.id, kind) for kind in kinds}, pod.users)
        self._snapshots.check_users(pod.users)

    def hostname(self, spec: PodSpec) -> str:
        return platform.node() if spec.host_network else spec.hostname or spec.name[:63]

    def _make_local(self, pod: Pod) -> None:
        spec = pod.spec
        self._places.pod(spec.uid).mkdir(parents=True, exist_ok=True, mode=0o755)
        if spec.cgroup:
            with self._grouping:
                sharing.make_cgroup(self._driver.layout, spec.cgroup, spec.resources)
        settings = {name: value for name, value in spec.sysctls.items() if not sharing.is_network_setting(name)}
        if pod.ipc_namespace:
            path = self._places.pod_namespace(pod.id, "ipc")
            sharing.set_up_ipc(path, settings, pod.users) if pod.users else sharing.keep_ipc(path, settings)
            size = spec.shm_size or DEFAULT_SHM_SIZE
            mount_shared_memory(self._places.shared_memory(pod.id), size, owner=pod.users.first)

    def _finish(self, pod: Pod, attached: Attachment) -> Process:
        """What needs the network to be there, and the one process where processes are shared."""
        spec = pod.spec
        folder = self._places.pod(spec.uid)
        (folder / "hostname").write_text(self.hostname(spec) + "\n")
        (folder / "hosts").write_text(pod_hosts(spec, attached.hosts))
        (folder / "resolv.conf").write_text(resolv_conf(spec) or attached.resolv_conf)
        if attached.namespace:
            settings = {name: value for name, value in spec.sysctls.items() if sharing.is_network_setting(name)}
            sharing.set_up_network(Path(attached.namespace), settings)
        return sharing.hold_processes(pod.id, pod.users) if spec.share_processes and not spec.host_pid else Process()

    def check_sources(self, pod: Pod, sources: Iterable[str]) -> None:
        """Unsupported where one cannot be shown to the pod's users. Blocks."""
        for source in sources:
            check_source(source, pod.users)

    async def update(self, pod: Pod, resources: Resources) -> None:
        """Other limits than those of the record."""
        if pod.spec.cgroup and pod.ready:
            before = pod.spec.resources
            await asyncio.to_thread(sharing.set_limits, self._driver.layout, pod.spec.cgroup, before, resources)

    async def take_back(self, pod: Pod, *, files: bool = True) -> None:
        """Take away whatever is there of a pod whose containers are gone."""
        await asyncio.gather(self._networks.detach(pod.id), asyncio.to_thread(self._take_local, pod, files))

    def _take_local(self, pod: Pod, files: bool) -> None:
        if pod.holder.pid:
            sharing.end_processes(Process(pod.holder.pid, pod.holder.started))
        elif pod.spec.share_processes:  # perhaps made, and not recorded any more
            for holder in sharing.find_holders(pod.id):
                sharing.end_processes(holder)
        if pod.ipc_namespace:
            unmount_shared_memory(self._places.shared_memory(pod.id))
            sharing.let_go(self._places.pod_namespace(pod.id, "ipc"))
        if pod.users:
            sharing.let_go(self._places.pod_namespace(pod.id, "net"))
            sharing.let_go(Path(pod.users.path))
        if pod.spec.cgroup:
            sharing.remove_cgroup(self._driver.layout, pod.spec.cgroup)
            with self._grouping:
                sharing.remove_empty_above(self._driver.layout, pod.spec.cgroup)
        if files:
            shutil.rmtree(self._places.pod(pod.spec.uid), ignore_errors=True)

    async def weigh(self, pods: Iterable[Pod], cgroup: str) -> None:
        """The cgroup that holds a pod's has as large a part of the processors as all pods in it together: so what one
        group of pods was promised is not taken by another's. The outermost is the machine's owner's."""
        parent = os.path.dirname(cgroup.strip("/"))
        if "/" not in parent:
            return
        ready = (pod for pod in pods if pod.ready)
        inside = (pod.spec.resources.cpu_shares for pod in ready if os.path.dirname(pod.spec.cgroup) == parent)
        await asyncio.to_thread(sharing.weigh, self._driver.layout, parent, sum(inside) or 2)

    def is_held(self, pod: Pod) -> bool:
        """Whether the process lives that stands for its shared processes, where there is one."""
        return not pod.holder.pid or sharing.is_held(Process(pod.holder.pid, pod.holder.started))

    def is_whole(self, pod: Pod) -> bool:
        """Whether all that its containers share is still there."""
        namespaces = [path for path in (pod.network_namespace, pod.ipc_namespace, pod.users.path) if path]
        grouped = not pod.spec.cgroup or sharing.has_cgroup(self._driver.layout, pod.spec.cgroup)
        return self.is_held(pod) and grouped and all(sharing.is_kept(path) for path in namespaces)


def resolv_conf(spec: PodSpec) -> str:
    """The text of /etc/resolv.conf exactly as asked for; "" where nothing was."""
    lines = [f"search {' '.join(spec.dns_search)}"] if spec.dns_search else []
    lines += [f"nameserver {address}" for address in spec.dns]
    lines += [f"options {' '.join(spec.dns_options)}"] if spec.dns_options else []
    return "\n".join(lines) + "\n" if lines else ""
