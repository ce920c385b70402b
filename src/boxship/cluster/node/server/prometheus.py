"""What pods and the machine use, in the text that Prometheus reads: with the names of "Resource metrics" of the
Kubernetes documentation, and with those of cAdvisor that dashboards ask for. Pure."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from datetime import datetime

from boxship.cluster.node.planning import VolumeFigures
from boxship.cluster.node.runtime import MachineUsage, PodUsage, Usage
from boxship.cluster.objects import Object

SECOND = 1_000_000_000
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
    for each in (pod.get("status") or {}).get("containerStatuses") or ():
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


def cadvisor_lines(machine: MachineUsage, pods: Sequence[Object], usages: Mapping[str, PodUsage]) -> Iterator[str]:
    """The whole machine as the container "/", pods without a container's name, then their containers."""
    rows: list[tuple[str, Usage]] = [('container="",id="/",image="",name="",namespace="",pod=""', machine.machine)]
    nets: list[tuple[str, Usage]] = []
    for pod in pods:
        metadata = pod["metadata"]
        usage = usages.get(metadata.get("uid", ""))
        if usage is None:
            continue
        where = f"namespace={quoted(metadata['namespace'])},pod={quoted(metadata['name'])}"
        images = {each["name"]: each.get("image", "") for each in pod["spec"].get("containers") or ()}
        folder = f"/pod{metadata['uid']}"
        rows.append((f'container="",id={quoted(folder)},image="",name="",{where}', usage.pod))
        nets.append((f'id={quoted(folder)},image="",interface="eth0",name="",{where}', usage.pod))
        for name, each in usage.containers.items():
            own = f"container={quoted(name)},id={quoted(f'{folder}/{name}')},image={quoted(images.get(name, ''))}"
            rows.append((f"{own},name={quoted(name)},{where}", each))
    for table, found in ((CADVISOR, rows), (NETWORK, nets)):
        for name, (kind, value) in table.items():
            yield f"# TYPE {name} {kind}\n"
            for labels, each in found:
                yield f"{name}{{{labels}}} {value(each)} {each.time // 1_000_000}\n"
    yield f"# TYPE machine_memory_bytes gauge\nmachine_memory_bytes {machine.memory_capacity}\n"


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
