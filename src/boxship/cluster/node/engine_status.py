"""Between the agent's words and the engine's, pure: pods, containers, where their files lie, what is news."""

from pathlib import Path

import msgspec

from boxship.cluster.node.runtime import (
    CREATED,
    EXITED,
    RUNNING,
    ContainerRequest,
    ContainerStatus,
    Sandbox,
    SandboxSpec,
)
from boxship.engine.model import ALIVE, Container, Event, Phase
from boxship.engine.pods_records import Pod
from boxship.spec.container import ContainerSpec, LogPolicy, Resources, RestartPolicy

POD_UID = "io.kubernetes.pod.uid"
POD_NAME = "io.kubernetes.pod.name"
POD_NAMESPACE = "io.kubernetes.pod.namespace"
CONTAINER_NAME = "io.kubernetes.container.name"
ATTEMPT = "io.kubernetes.container.restartCount"
HASH = "io.kubernetes.container.hash"
IMAGE = "io.kubernetes.container.image"
NEWS = frozenset({"create", "start", "die", "oom", "destroy", "pause", "unpause", "update"})
POD_NEWS = frozenset({"create", "stop", "destroy"})
LOG = LogPolicy("json-file", {"max-size": "10m", "max-file": "5"})
LONGEST_NAME = 255  # characters of a file's and of a container's name
LONGEST_REST = 63 + 36 + 13  # of a namespace, a uid, an attempt's number and what parts them
ENDED = frozenset({Phase.EXITED, Phase.REMOVING, Phase.DEAD})


class Location(msgspec.Struct, frozen=True):
    """What a pod's container is called in the engine, and its log below the folder of all logs."""

    container_name: str
    log: str


def location_of(pod: Pod, request: ContainerRequest) -> Location:
    spec = pod.spec
    name, folder = f"k8s_{request.name}_", f"{spec.namespace}_"
    return Location(
        f"{name}{_cut(spec.name, name)}_{spec.namespace}_{spec.uid}_{request.attempt}"[:LONGEST_NAME],
        f"{folder}{_cut(spec.name, folder)}_{spec.uid}/{request.name}/{request.attempt}.log",
    )


def _cut(name: str, before: str) -> str:
    """So much of a pod's name as a file's or a container's name has room for, beside all that makes it a single one."""
    return name[: LONGEST_NAME - LONGEST_REST - len(before)]


def spec_of(pod: Pod, request: ContainerRequest, spec: ContainerSpec, where: Location, logs: Path) -> ContainerSpec:
    """The request with all that its pod decides."""
    mode, shared = f"pod:{pod.spec.uid}", pod.spec
    labels = {
        CONTAINER_NAME: request.name,
        POD_NAME: shared.name,
        POD_NAMESPACE: shared.namespace,
        POD_UID: shared.uid,
        ATTEMPT: str(request.attempt),
        HASH: request.hash,
        IMAGE: request.spec.image,
    }
    process_mode = spec.pid_mode
    if not process_mode:
        process_mode = "host" if shared.host_pid else mode if shared.share_processes else ""
    return msgspec.structs.replace(
        spec,
        network_mode=mode,
        ipc_mode="host" if shared.host_ipc else mode,
        pid_mode=process_mode,
        uts_mode="host" if shared.host_network else "",
        hostname="" if shared.host_network else shared.hostname or shared.name[:63],
        domainname="",
        cgroup_parent=shared.cgroup,
        labels={**spec.labels, **labels},
        log=spec.log if spec.log.driver else LOG,
        log_path=str(logs / where.log),
        runtime=spec.runtime or shared.runtime,
        restart=RestartPolicy(),
        auto_remove=False,
    )


def sandbox_of(pod: Pod) -> Sandbox:
    return Sandbox(
        id=pod.id,
        spec=SandboxSpec(**{name: getattr(pod.spec, name) for name in SandboxSpec.__struct_fields__}),
        created_at=pod.created_at,
        ready=pod.ready,
        addresses=pod.addresses,
    )


def container_status(box: Container) -> ContainerStatus:
    state, labels = box.state, box.labels
    phase = RUNNING if state.phase in ALIVE else EXITED if state.phase in ENDED else CREATED
    failed = phase == CREATED and bool(state.error)  # its start did: that was an end, too
    # A quick end may be stamped before the start that it followed: files carry the time of the last clock tick.
    finished = box.created_at if failed else max(state.finished_at, state.started_at)
    return ContainerStatus(
        id=box.id,
        uid=labels.get(POD_UID, ""),
        name=labels.get(CONTAINER_NAME, ""),
        attempt=int(labels.get(ATTEMPT, "0") or 0),
        phase=EXITED if failed else phase,
        created_at=box.created_at,
        started_at=state.started_at,
        finished_at=finished if phase != RUNNING else 0,
        exit_code=state.exit_code,
        oom_killed=state.oom_killed,
        reason=reason_of(box, failed=failed) if failed or phase == EXITED else "",
        message=state.error,
        image=labels.get(IMAGE) or box.spec.image,
        image_id=box.image_id,
        hash=labels.get(HASH, ""),
        pid=state.process.pid,
        log_path=box.log_path,
        resources=box.spec.resources,
    )


def reason_of(box: Container, *, failed: bool) -> str:
    """Why it ended, in the words that clusters know."""
    if failed:
        return "StartError"
    if box.state.oom_killed:
        return "OOMKilled"
    return "Error" if box.state.exit_code else "Completed"


def is_news(event: Event) -> bool:
    """Whether an event changes what the agent sees of a pod."""
    if event.kind == "pod":
        return event.action in POD_NEWS
    return event.kind == "container" and event.action in NEWS and POD_UID in event.attributes


def changed_fields(now: Resources, wanted: Resources) -> dict[str, object]:
    """What differs, by the fields' names."""
    pairs = ((name, getattr(wanted, name)) for name in Resources.__struct_fields__)
    return {name: value for name, value in pairs if value != getattr(now, name)}
