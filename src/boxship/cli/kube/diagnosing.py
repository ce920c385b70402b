"""What is wrong with a pod, and what to do next: from the pod, the events about it, its node, claims and budgets as the
API has them. Pure: JSON in, findings out. Where the scheduler stands in the way, it is asked itself (`why`).
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

TYPE_CHECKING = False
if TYPE_CHECKING:
    from boxship.cli.kube.config import Object
else:
    Object = dict

PULLING = {"ErrImagePull", "ImagePullBackOff", "ErrImageNeverPull", "InvalidImageName", "ImageInspectError"}
PULLING |= {"RegistryUnavailable", "SignatureValidationFailed"}
NOT_MADE = {"CreateContainerConfigError", "CreateContainerError", "RunContainerError", "PreCreateHookError"}
STARTING = {"ContainerCreating", "PodInitializing", ""}
MOUNTS = {"FailedMount", "FailedAttachVolume", "FailedMapVolume"}
SANDBOXES = {"FailedCreatePodSandBox", "FailedPodSandBoxStatus", "NetworkNotReady"}
SIGNALS = {137: "it was killed (SIGKILL)", 143: "it was asked to end (SIGTERM)", 139: "it crashed (SIGSEGV)"}
SIGNALS |= {126: "its command could not be run", 127: "its command was not found in the image"}


class Finding:
    """One thing: what it is about, what is so, and the next step ("": there is none)."""

    __slots__ = ("about", "next", "text")

    def __init__(self, about: str, text: str, next: str = "") -> None:
        self.about = about
        self.text = text
        self.next = next


def diagnose(
    pod: Object,
    events: Sequence[Object] = (),
    node: Object | None = None,
    claims: Sequence[Object] = (),
    budgets: Sequence[Object] = (),
) -> list[Finding]:
    """The most important first; none: nothing is wrong."""
    status = pod.get("status") or {}
    phase = status.get("phase") or "Pending"
    found = list(_end(pod, phase))
    if phase in ("Succeeded", "Failed"):
        return [*found, *_containers(pod, events)]
    found += _unplaced(pod, claims)
    if (pod.get("spec") or {}).get("nodeName"):
        found += _node(pod, node)
        found += _setup(pod, events)
        found += _containers(pod, events)
        found += _gates(pod)
    found += _budgets(budgets)
    return found


def is_ready(pod: Object) -> bool:
    return _condition(pod, "Ready").get("status") == "True"


def is_unplaced(pod: Object) -> bool:
    """Whether it waits for the scheduler."""
    phase = (pod.get("status") or {}).get("phase")
    return not (pod.get("spec") or {}).get("nodeName") and phase not in ("Succeeded", "Failed")


def _condition(pod: Object, type: str) -> Object:
    conditions = (pod.get("status") or {}).get("conditions") or []
    return next((one for one in conditions if one.get("type") == type), {})


def _end(pod: Object, phase: str) -> Iterator[Finding]:
    metadata, status = pod["metadata"], pod.get("status") or {}
    if phase == "Failed":
        why = ": ".join(part for part in (status.get("reason"), status.get("message")) if part)
        yield Finding(
            "pod", f"It has failed{': ' + why if why else ''}.", _after_failure(pod, status.get("reason") or "")
        )
    if phase == "Succeeded":
        yield Finding("pod", "It has ended as it should.")
    if metadata.get("deletionTimestamp"):
        kept = metadata.get("finalizers") or []
        text = f"It was deleted, and has until {metadata['deletionTimestamp']} to end."
        if kept:
            yield Finding(
                "pod",
                f"{text} Finalizers keep it: {', '.join(kept)}.",
                "see who puts these there; it goes when they do",
            )
        else:
            yield Finding("pod", text)


def _after_failure(pod: Object, reason: str) -> str:
    name = pod["metadata"]["name"]
    if reason == "Evicted":
        return "free or add what its node is short of; its controller makes it anew elsewhere"
    if reason == "DeadlineExceeded":
        return "raise activeDeadlineSeconds, or find out what takes so long"
    return f"boxship logs pod/{name}"


def _unplaced(pod: Object, claims: Sequence[Object]) -> Iterator[Finding]:
    if not is_unplaced(pod):
        return
    gates = [one.get("name", "") for one in pod["spec"].get("schedulingGates") or []]
    if gates:
        text = f"It waits for its scheduling gates: {', '.join(gates)}."
        yield Finding("scheduling", text, "whoever put them there takes them off")
    for claim in claims:
        if claim.get("missing"):
            yield Finding(f"claim {claim['metadata']['name']}", "There is no such claim.", "make it, or name another")
        elif (claim.get("status") or {}).get("phase") != "Bound":
            name = claim["metadata"]["name"]
            told = claim["spec"].get("storageClassName") or "(none)"
            yield Finding(f"claim {name}", f"It has no volume yet; its class is {told}.", f"boxship why pvc/{name}")


def _node(pod: Object, node: Object | None) -> Iterator[Finding]:
    name = pod["spec"]["nodeName"]
    if node is None:
        yield Finding(f"node {name}", "There is no such node any more.", "the pod is taken away within a minute")
        return
    ready = _condition(node, "Ready")
    if ready.get("status") != "True":
        said = ready.get("message") or ready.get("reason") or "it has never said that it is ready"
        since = f" since {ready['lastTransitionTime']}" if ready.get("lastTransitionTime") else ""
        text = f"It is not ready{since}: {said}"
        yield Finding(f"node {name}", text, f"look after the node agent there; boxship describe node {name}")


def _setup(pod: Object, events: Sequence[Object]) -> Iterator[Finding]:
    """Before any container runs."""
    statuses = _statuses(pod)
    if statuses and not any(_waits(one) in STARTING for one in statuses if not one.get("started")):
        return
    if any((one.get("state") or {}).get("running") for one in statuses):
        return
    for about, reasons, next in (
        ("volumes", MOUNTS, "make what the message names, or take the volume from the pod"),
        ("sandbox", SANDBOXES, "it is tried again; boxship describe node shows what its node is short of"),
    ):
        event = _last(events, reasons)
        if event is not None:
            yield Finding(about, str(event.get("message", "")).strip(), next)


def _statuses(pod: Object) -> list[Object]:
    status = pod.get("status") or {}
    return [*(status.get("initContainerStatuses") or []), *(status.get("containerStatuses") or [])]


def _waits(one: Object) -> str | None:
    waiting = (one.get("state") or {}).get("waiting")
    return None if waiting is None else str(waiting.get("reason") or "")


def _containers(pod: Object, events: Sequence[Object]) -> Iterator[Finding]:
    status, spec = pod.get("status") or {}, pod.get("spec") or {}
    specs = {one["name"]: one for key in ("initContainers", "containers") for one in spec.get(key) or []}
    running_before = False
    for kind, key in (("init container", "initContainerStatuses"), ("container", "containerStatuses")):
        for one in status.get(key) or []:
            name = one.get("name", "")
            about = f"{kind} {name}"
            waits = _waits(one)
            if waits is not None:
                if not running_before or waits not in STARTING:
                    yield from _waiting(pod, about, name, waits, one, events)
            elif (one.get("state") or {}).get("terminated"):
                yield from _ended(pod, about, name, one["state"]["terminated"], kind)
            else:
                yield from _running(pod, about, specs.get(name) or {}, one, events, kind)
            running_before |= kind == "init container" and not one.get("ready")


def _waiting(
    pod: Object, about: str, name: str, reason: str, one: Object, events: Sequence[Object]
) -> Iterator[Finding]:
    message = str(((one.get("state") or {}).get("waiting") or {}).get("message") or "").strip()
    image = one.get("image") or ""
    if reason in PULLING:
        why = message or str((_last(events, {"Failed"}) or {}).get("message") or reason)
        if reason == "ErrImageNeverPull":
            next = f"boxship build -t {image} . (or pull it) on the pod's node, or another imagePullPolicy"
        elif reason == "InvalidImageName":
            next = "correct the image's name"
        else:
            next = f"boxship build -t {image} . makes it here; else check the name, the registry and imagePullSecrets"
        yield Finding(about, f"Its image {image} cannot be had ({reason}): {why}", next)
    elif reason == "CrashLoopBackOff":
        last = (one.get("lastState") or {}).get("terminated") or {}
        text = (
            f"It ends again and again ({one.get('restartCount') or 0} restarts so far), and waits before the next try."
        )
        yield Finding(about, f"{text} {_exit(last)}".strip(), _logs(pod, name, previous=True))
    elif reason in NOT_MADE:
        next = "make what the message names, in the pod's namespace; it is tried again by itself"
        yield Finding(about, f"It cannot be made ({reason}): {message or 'no reason is told'}", next)
    elif reason in STARTING:
        event = _last(events, {"Pulling"})
        if event is not None and _last(events, {"Pulled", "Failed"}) is None:
            yield Finding(about, f"Its image is on the way: {event.get('message', '')}")
    else:
        yield Finding(about, f"It waits: {reason}{': ' + message if message else ''}.")


def _ended(pod: Object, about: str, name: str, ended: Object, kind: str) -> Iterator[Finding]:
    if ended.get("exitCode") == 0:
        return
    yield Finding(about, _exit(ended), _logs(pod, name))


def _running(
    pod: Object, about: str, spec: Object, one: Object, events: Sequence[Object], kind: str
) -> Iterator[Finding]:
    name = one.get("name", "")
    restarts = one.get("restartCount") or 0
    last = (one.get("lastState") or {}).get("terminated") or {}
    if kind == "init container" and spec.get("restartPolicy") != "Always":
        since = ((one.get("state") or {}).get("running") or {}).get("startedAt") or "now"
        text = f"It runs since {since}; the containers after it start when it has ended."
        yield Finding(about, text, _logs(pod, name))
    elif not one.get("started", True):
        said = _probe(events, "Startup", name)
        text = f"Its startup probe has not passed yet{said}."
        yield Finding(about, text, f"{_logs(pod, name)}; is the probe's port or command right?")
    elif not one.get("ready"):
        said = _probe(events, "Readiness", name)
        text = (
            f"It runs, but its readiness probe does not pass{said}."
            if spec.get("readinessProbe")
            else "It is not ready."
        )
        yield Finding(about, text, f"{_logs(pod, name)}; is the probe's port, path or command right?")
    killing, since = _last(events, {"Killing"}), ((one.get("state") or {}).get("running") or {}).get("startedAt") or ""
    if killing is not None and f"ontainer {name} " in str(killing.get("message")) and _time(killing) > since:
        yield Finding(about, str(killing["message"]).strip() + ".", _logs(pod, name))
    if restarts and last:
        times = "once" if restarts == 1 else f"{restarts} times"
        killed = _probe(events, "Liveness", name)
        text = f"It was restarted {times}. The last time: {_exit(last)}"
        yield Finding(
            about,
            f"{text}{' Its liveness probe failed' + killed + '.' if killed else ''}",
            _logs(pod, name, previous=True),
        )


def _probe(events: Sequence[Object], word: str, container: str) -> str:
    """What was said last of that container's probe; events that name no container may be about any."""
    found = [one for one in events if one.get("reason") == "Unhealthy" and str(one.get("message", "")).startswith(word)]
    fields = [str((one.get("involvedObject") or {}).get("fieldPath") or "") for one in found]
    found = [one for one, field in zip(found, fields, strict=True) if not field or f"{{{container}}}" in field]
    return f": {str(found[-1].get('message')).strip()}" if found else ""


def _exit(ended: Object) -> str:
    if not ended:
        return ""
    code = ended.get("exitCode")
    if ended.get("reason") == "OOMKilled":
        return "It was killed because it used more memory than its limit: raise the limit, or let it use less."
    known = f": {SIGNALS[code]}" if code in SIGNALS else ""
    said = str(ended.get("message") or "").strip()
    return f"It ended with exit code {code}{known}.{' It said: ' + said[-200:] if said else ''}"


def _logs(pod: Object, container: str, *, previous: bool = False) -> str:
    metadata = pod["metadata"]
    where = f" --namespace {metadata['namespace']}" if metadata.get("namespace", "default") != "default" else ""
    return f"boxship logs pod/{metadata['name']}{where} -c {container}{' --previous' if previous else ''}"


def _gates(pod: Object) -> Iterator[Finding]:
    for gate in (pod.get("spec") or {}).get("readinessGates") or []:
        type = gate.get("conditionType", "")
        if _condition(pod, type).get("status") != "True":
            yield Finding(
                "readiness gate", f"The condition {type} is not True yet.", "whoever sets this condition has to"
            )


def _budgets(budgets: Sequence[Object]) -> Iterator[Finding]:
    for budget in budgets:
        status = budget.get("status") or {}
        if status.get("disruptionsAllowed"):
            continue
        healthy, wanted = status.get("currentHealthy") or 0, status.get("desiredHealthy") or 0
        text = f"None of its pods may be evicted now: {healthy} are healthy, {wanted} have to be."
        yield Finding(f"budget {budget['metadata']['name']}", text)


def _time(event: Object) -> str:
    return str(event.get("lastTimestamp") or event.get("eventTime") or "")


def _last(events: Sequence[Object], reasons: set[str]) -> Object | None:
    """The newest event with one of the reasons; events come oldest first."""
    found = [one for one in events if one.get("reason") in reasons]
    return found[-1] if found else None
