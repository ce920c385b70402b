"""What several containers share, as a user of the engine asks for it: a *pod*, in the words of clusters."""

import msgspec

from boxship.spec.container import PortRequest, Resources


class PodSpec(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """Network and IPC namespaces, host name, hosts files and a cgroup of several containers. `uid` is the caller's name
    for it; containers join by the modes "pod:UID". `network` "" gives a namespace with a loopback alone."""

    uid: str
    namespace: str
    name: str
    attempt: int = 0
    labels: dict[str, str] = {}
    annotations: dict[str, str] = {}
    hostname: str = ""
    domainname: str = ""
    network: str = ""
    host_network: bool = False
    host_pid: bool = False
    host_ipc: bool = False
    share_processes: bool = False
    own_users: bool = False  # a user namespace, which the others belong to
    dns: tuple[str, ...] = ()
    dns_search: tuple[str, ...] = ()
    dns_options: tuple[str, ...] = ()
    extra_hosts: tuple[str, ...] = ()
    sysctls: dict[str, str] = {}
    ports: tuple[PortRequest, ...] = ()
    cgroup: str = ""  # below the hierarchies' roots; "": none of the pod's own
    resources: Resources = Resources()  # of that cgroup
    shm_size: int = 0
    runtime: str = ""
