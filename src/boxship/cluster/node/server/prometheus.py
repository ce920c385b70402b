"""What pods and the machine use, in the text that Prometheus reads: with the names of "Resource metrics" of the
Kubernetes documentation, and with those of cAdvisor that dashboards ask for. Pure."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from datetime import datetime

from boxship.cluster.node.plan import amounts
from boxship.cluster.node.planning import VolumeFigures
from boxship.cluster.node.runtime import (
    CREATED,
    EXITED,
    RUNNING,
    ContainerStatus,
    MachineUsage,
    PodUsage,
    Usage,
)
from boxship.cluster.objects import Object

SECOND = 1_000_000_000
SOURCE = "kubernetes.io/config.source"
HELP = {
    "node_cpu_usage_seconds_total": ("counter", "Cumulative cpu time consumed by the node in core-seconds"),
    "node_memory_working_set_bytes": ("gauge", "Current working set of the node in bytes"),
    "pod_cpu_usage_seconds_total": ("counter", "Cumulative cpu time consumed by the pod in core-seconds"),
    "pod_memory_working_set_bytes": ("gauge", "Current working set of the pod in bytes"),
    "container_cpu_usage_seconds_total": ("counter", "Cumulative cpu time consumed by the container in core-seconds"),
    "container_memory_working_set_bytes": ("gauge", "Current working set of the container in bytes"),
    "container_start_time_seconds": ("gauge", "Start time of the container since unix epoch in seconds"),
    "resource_scrape_error": ("gauge", "1 if there was an error while getting container metrics, 0 otherwise"),
}


def resource_lines(machine: MachineUsage, pods: Sequence[Object], usages: Mapping[str, PodUsage]) -> Iterator[str]:
    """Prometheus' text: each sample with its own time in milliseconds."""
    samples: dict[str, list[str]] = {name: [] for name in HELP}

    def add(kind: str, labels: str, usage: Usage) -> None:
        at = usage.time // 1_000_000
        samples[f"{kind}_cpu_usage_seconds_total"].append(f"{labels} {usage.cpu / SECOND:.9f} {at}")
        samples[f"{kind}_memory_working_set_bytes"].append(f"{labels} {usage.working_set} {at}")

    add("node", "", machine.machine)
    for pod in pods:
        metadata = pod["metadata"]
        usage = usages.get(metadata.get("uid", ""))
        if usage is None:
            continue
        where = f"namespace={quoted(metadata['namespace'])},pod={quoted(metadata['name'])}"
        add("pod", f"{{{where}}}", usage.pod)
        for name, each in usage.containers.items():
            labels = f"{{container={quoted(name)},{where}}}"
            add("container", labels, each)
            started = started_at(pod, name)
            if started:
                seconds = datetime.fromisoformat(started).timestamp()
                samples["container_start_time_seconds"].append(f"{labels} {seconds:.0f}")
    samples["resource_scrape_error"].append(" 0")
    for name, lines in samples.items():
        kind, text = HELP[name]
        yield f"# HELP {name} [STABLE] {text}\n# TYPE {name} {kind}\n"
        for line in lines:
            yield f"{name}{line}\n"


def quoted(text: str) -> str:
    escaped = text.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")
    return f'"{escaped}"'


def started_at(pod: Object, container: str) -> str | None:
    status = pod.get("status") or {}
    for each in (*(status.get("containerStatuses") or ()), *(status.get("initContainerStatuses") or ())):
        if each.get("name") == container:
            found: str | None = ((each.get("state") or {}).get("running") or {}).get("startedAt")
            return found
    return None


# cAdvisor's names, with their kinds and where the figure is. Those of the network are a pod's alone.
Figure = Callable[[Usage], object]
CADVISOR: dict[str, tuple[str, Figure]] = {
    "container_cpu_usage_seconds_total": ("counter", lambda usage: f"{usage.cpu / SECOND:.9f}"),
    "container_memory_usage_bytes": ("gauge", lambda usage: usage.memory),
    "container_memory_working_set_bytes": ("gauge", lambda usage: usage.working_set),
    "container_memory_rss": ("gauge", lambda usage: usage.rss),
    "container_fs_usage_bytes": ("gauge", lambda usage: usage.disk),
    "container_processes": ("gauge", lambda usage: usage.processes),
}
NETWORK: dict[str, tuple[str, Figure]] = {
    "container_network_receive_bytes_total": ("counter", lambda usage: usage.received),
    "container_network_transmit_bytes_total": ("counter", lambda usage: usage.sent),
}


TURNS: dict[str, tuple[str, Figure]] = {
    "container_cpu_cfs_periods_total": ("counter", lambda usage: usage.periods),
    "container_cpu_cfs_throttled_periods_total": ("counter", lambda usage: usage.throttled),
    "container_cpu_cfs_throttled_seconds_total": ("counter", lambda usage: f"{usage.throttled_time / SECOND:.9f}"),
}


def cadvisor_lines(machine: MachineUsage, pods: Sequence[Object], usages: Mapping[str, PodUsage]) -> Iterator[str]:
    """The whole machine as the container "/", pods without a container's name, then their containers."""
    rows: list[tuple[str, Usage]] = [('container="",id="/",image="",name="",namespace="",pod=""', machine.machine)]
    nets: list[tuple[str, Usage]] = []
    asked: dict[str, list[str]] = {name: [] for name in ASKED}
    for pod in pods:
        metadata = pod["metadata"]
        usage = usages.get(metadata.get("uid", ""))
        if usage is None:
            continue
        where = f"namespace={quoted(metadata['namespace'])},pod={quoted(metadata['name'])}"
        known = {each["name"]: each for each in containers_of(pod)}
        folder = f"/pod{metadata['uid']}"
        rows.append((f'container="",id={quoted(folder)},image="",name="",{where}', usage.pod))
        nets.append((f'id={quoted(folder)},image="",interface="eth0",name="",{where}', usage.pod))
        for name, each in usage.containers.items():
            image = known.get(name, {}).get("image", "")
            own = f"container={quoted(name)},id={quoted(f'{folder}/{name}')},image={quoted(image)}"
            labels = f"{own},name={quoted(name)},{where}"
            rows.append((labels, each))
            for what, value in asked_of(pod, known.get(name, {}), name).items():
                asked[what].append(f"{what}{{{labels}}} {value}\n")
    turns = [row for row in rows if row[1].periods]
    for table, found in ((CADVISOR, rows), (TURNS, turns), (NETWORK, nets)):
        for name, (kind, figure) in table.items():
            yield f"# TYPE {name} {kind}\n"
            for labels, each in found:
                yield f"{name}{{{labels}}} {figure(each)} {each.time // 1_000_000}\n"
    for name, lines in asked.items():
        yield f"# TYPE {name} gauge\n{''.join(lines)}"
    yield f"# TYPE machine_cpu_cores gauge\nmachine_cpu_cores {machine.processors}\n"
    yield f"# TYPE machine_memory_bytes gauge\nmachine_memory_bytes {machine.memory_capacity}\n"


ASKED = (
    "container_start_time_seconds",
    "container_spec_cpu_period",
    "container_spec_cpu_quota",
    "container_spec_cpu_shares",
    "container_spec_memory_limit_bytes",
)


def containers_of(pod: Object) -> Sequence[Object]:
    return *(pod["spec"].get("containers") or ()), *(pod["spec"].get("initContainers") or ())


def asked_of(pod: Object, container: Object, name: str) -> Mapping[str, int]:
    """What was asked for a container, as its cgroup has it and cAdvisor reads it there: no limit of memory is 0, none
    of processor time has no quota."""
    given = amounts.container_resources(pod, container)
    found = {
        "container_spec_cpu_period": amounts.PERIOD,
        "container_spec_cpu_shares": given.cpu_shares,
        "container_spec_memory_limit_bytes": given.memory,
    }
    if given.cpu_quota:
        found["container_spec_cpu_quota"] = given.cpu_quota
    started = started_at(pod, name)
    if started:
        found["container_start_time_seconds"] = round(datetime.fromisoformat(started).timestamp())
    return found


def own_lines(node: str, pods: Sequence[Object], containers: Sequence[ContainerStatus]) -> Iterator[str]:
    """What the agent counts of its own work."""
    yield f"# TYPE kubelet_node_name gauge\nkubelet_node_name{{node={quoted(node)}}} 1\n"
    running = {each.uid for each in containers if each.phase == RUNNING}
    name = "kubelet_running_pods"
    yield f"# HELP {name} [ALPHA] Number of pods that have a running pod sandbox\n# TYPE {name} gauge\n"
    yield f"{name} {len(running)}\n"
    name = "kubelet_running_containers"
    yield f"# HELP {name} [ALPHA] Number of containers currently running\n# TYPE {name} gauge\n"
    for phase in (CREATED, EXITED, RUNNING):
        count = sum(each.phase == phase for each in containers)
        yield f"{name}{{container_state={quoted(phase)}}} {count}\n"
    name = "kubelet_active_pods"
    yield f"# HELP {name} [ALPHA] The number of pods the kubelet considers active\n# TYPE {name} gauge\n"
    static = [pod for pod in pods if (pod["metadata"].get("annotations") or {}).get(SOURCE) == "file"]
    yield f'{name}{{static=""}} {len(pods) - len(static)}\n{name}{{static="true"}} {len(static)}\n'


VOLUMES: dict[str, tuple[str, Callable[[VolumeFigures], int]]] = {
    "available_bytes": ("Number of available bytes in the volume", lambda found: found.available),
    "capacity_bytes": ("Capacity in bytes of the volume", lambda found: found.capacity),
    "inodes": ("Maximum number of inodes in the volume", lambda found: found.inodes),
    "inodes_free": ("Number of free inodes in the volume", lambda found: found.inodes_free),
    "inodes_used": ("Number of used inodes in the volume", lambda found: found.inodes_used),
    "used_bytes": ("Number of used bytes in the volume", lambda found: found.used),
}


def volume_lines(pods: Sequence[Object], volumes: Mapping[str, Sequence[VolumeFigures]]) -> Iterator[str]:
    """Of each claim once, however many pods use it."""
    claims = {
        (pod["metadata"]["namespace"], one.claim): one
        for pod in pods
        for one in volumes.get(pod["metadata"].get("uid", ""), ())
        if one.claim
    }
    for word, (text, value) in VOLUMES.items():
        name = f"kubelet_volume_stats_{word}"
        yield f"# HELP {name} [ALPHA] {text}\n# TYPE {name} gauge\n"
        for (namespace, claim), one in sorted(claims.items(), key=lambda pair: pair[0]):
            yield f"{name}{{namespace={quoted(namespace)},persistentvolumeclaim={quoted(claim)}}} {value(one)}\n"
