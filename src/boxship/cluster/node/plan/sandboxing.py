"""What a pod's containers share, from the pod's fields. Pure.

Source: API reference PodSpec; kubernetes.io, "Using sysctls in a Kubernetes Cluster", "Share Process Namespace between
Containers in a Pod", "Adding entries to Pod /etc/hosts with HostAliases".
"""

from collections.abc import Mapping
from typing import Any

from boxship.cluster.node.plan import amounts, naming
from boxship.cluster.node.plan.facts import NodeFacts
from boxship.cluster.node.planning import NotPossible
from boxship.cluster.node.runtime import SandboxSpec
from boxship.cluster.objects import Object
from boxship.spec.container import PortRequest

SAFE_SYSCTLS = frozenset(
    (
        "kernel.shm_rmid_forced",
        "net.ipv4.ip_local_port_range",
        "net.ipv4.tcp_syncookies",
        "net.ipv4.ping_group_range",
        "net.ipv4.ip_unprivileged_port_start",
        "net.ipv4.ip_local_reserved_ports",
        "net.ipv4.tcp_keepalive_time",
        "net.ipv4.tcp_fin_timeout",
        "net.ipv4.tcp_keepalive_intvl",
        "net.ipv4.tcp_keepalive_probes",
        "net.ipv4.tcp_rmem",
        "net.ipv4.tcp_wmem",
    )
)


def sandbox_of(pod: Object, facts: NodeFacts, host: naming.Resolver, handler: str = "") -> SandboxSpec:
    """`host` is the machine's own resolver, `handler` the runtime class's. Raises NotPossible."""
    spec, metadata = pod["spec"], pod["metadata"]
    context: Mapping[str, Any] = spec.get("securityContext") or {}
    _refuse(spec, context)
    host_network = bool(spec.get("hostNetwork"))
    hostname, domain = naming.names_of(pod, facts)
    resolver = naming.resolver_of(pod, facts, host)
    return SandboxSpec(
        uid=metadata["uid"],
        namespace=metadata["namespace"],
        name=metadata["name"],
        labels={**(metadata.get("labels") or {}), **labels_of(pod)},
        annotations=dict(metadata.get("annotations") or {}),
        hostname=hostname,
        domainname=domain,
        network="" if host_network else facts.network,
        host_network=host_network,
        host_pid=bool(spec.get("hostPID")),
        host_ipc=bool(spec.get("hostIPC")),
        share_processes=bool(spec.get("shareProcessNamespace")),
        own_users=spec.get("hostUsers") is False,
        dns=resolver.servers,
        dns_search=resolver.searches,
        dns_options=resolver.options,
        extra_hosts=_aliases(spec),
        sysctls=_sysctls(spec, context),
        ports=() if host_network else _ports(spec),
        cgroup=amounts.group_of(pod, facts.cgroup),
        resources=amounts.pod_resources(pod),
        runtime=_runtime(spec, facts, handler),
    )


def labels_of(pod: Object, container: str = "") -> dict[str, str]:
    """What a sandbox and a container are found by."""
    metadata = pod["metadata"]
    found = {
        "io.kubernetes.pod.name": metadata["name"],
        "io.kubernetes.pod.namespace": metadata["namespace"],
        "io.kubernetes.pod.uid": metadata["uid"],
    }
    return {**found, "io.kubernetes.container.name": container} if container else found


def _refuse(spec: Mapping[str, Any], context: Mapping[str, Any]) -> None:
    if (spec.get("os") or {}).get("name", "linux") != "linux":
        raise NotPossible("PodOSNotSupported", f"unsupported: spec.os.name {spec['os']['name']}", final=True)
    if spec.get("resourceClaims"):
        raise NotPossible("FailedCreatePodSandBox", "unsupported: spec.resourceClaims")
    if context.get("windowsOptions"):
        raise NotPossible("FailedCreatePodSandBox", "unsupported: spec.securityContext.windowsOptions")


def _runtime(spec: Mapping[str, Any], facts: NodeFacts, handler: str) -> str:
    if handler not in facts.handlers:
        name = spec.get("runtimeClassName")
        why = f'no runtime for "{handler}" is configured (runtime class {name})'
        raise NotPossible("FailedCreatePodSandBox", why)
    return handler


def _aliases(spec: Mapping[str, Any]) -> tuple[str, ...]:
    return tuple(
        f"{name}:{alias['ip']}" for alias in spec.get("hostAliases") or () for name in alias.get("hostnames") or ()
    )


def _sysctls(spec: Mapping[str, Any], context: Mapping[str, Any]) -> dict[str, str]:
    found: dict[str, str] = {}
    for entry in context.get("sysctls") or ():
        name = entry["name"].replace("/", ".")
        forbidden = name not in SAFE_SYSCTLS
        if forbidden or (name.startswith("net.") and spec.get("hostNetwork")):
            why = f'forbidden sysctl: "{entry["name"]}" ' + (
                "not allowlisted" if forbidden else "not allowed with host net enabled"
            )
            raise NotPossible("SysctlForbidden", why, final=True)
        if name.startswith("kernel.") and spec.get("hostIPC"):
            why = f'forbidden sysctl: "{entry["name"]}" not allowed with host ipc enabled'
            raise NotPossible("SysctlForbidden", why, final=True)
        found[name] = str(entry["value"])
    return found


def _ports(spec: Mapping[str, Any]) -> tuple[PortRequest, ...]:
    return tuple(
        PortRequest(
            port["containerPort"],
            (port.get("protocol") or "TCP").lower(),
            port.get("hostIP") or "",
            str(port["hostPort"]),
        )
        for part in ("initContainers", "containers")
        for container in spec.get(part) or ()
        for port in container.get("ports") or ()
        if port.get("hostPort")
    )
