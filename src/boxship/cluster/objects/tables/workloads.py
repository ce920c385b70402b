"""What runs pods, as table rows: controllers of replicas, jobs, autoscalers, disruption budgets."""

from typing import Any

from boxship.cluster.objects import Object
from boxship.cluster.objects.tables.columns import AGE, CONTAINERS, IMAGES, NAME, Column, View, plain
from boxship.cluster.objects.tables.text import (
    NONE,
    UNKNOWN,
    UNSET,
    age,
    condition,
    containers_text,
    duration,
    items,
    labels_text,
    moment,
    name_of,
    number,
    part,
    selector_string,
    selector_text,
    since,
    text,
)

DESIRED = Column("Desired", "integer", "The number of replicas that are asked for.")
CURRENT = Column("Current", "integer", "The number of replicas that there are.")
READY = Column("Ready", "integer", "The number of replicas that are ready.")
READY_OF = Column("Ready", description="Number of the pod with ready state")
SELECTOR = Column("Selector", description="The labels of the pods that belong to it.", priority=1)


def _template(object: Object) -> tuple[str, str]:
    return containers_text(part(object, "spec", "template", "spec"))


def _replicas(object: Object) -> list[Any]:
    wanted, there = number(object, "spec", "replicas"), number(object, "status", "replicas")
    return [name_of(object), wanted, there, number(object, "status", "readyReplicas")]


def controller_cells(object: Object, now: float) -> list[Any]:
    return [
        *_replicas(object),
        age(object, now),
        *_template(object),
        labels_text(part(object, "spec").get("selector")),
    ]


def replica_set_cells(object: Object, now: float) -> list[Any]:
    return [*_replicas(object), age(object, now), *_template(object), selector_text(part(object, "spec", "selector"))]


def deployment_cells(object: Object, now: float) -> list[Any]:
    status = part(object, "status")
    return [
        name_of(object),
        f"{number(status, 'readyReplicas')}/{number(object, 'spec', 'replicas')}",
        number(status, "updatedReplicas"),
        number(status, "availableReplicas"),
        age(object, now),
        *_template(object),
        selector_string(part(object, "spec", "selector")),
    ]


def stateful_set_cells(object: Object, now: float) -> list[Any]:
    ready = f"{number(object, 'status', 'readyReplicas')}/{number(object, 'spec', 'replicas')}"
    return [name_of(object), ready, age(object, now), *_template(object)]


DAEMON_COUNTS = (
    "desiredNumberScheduled",
    "currentNumberScheduled",
    "numberReady",
    "updatedNumberScheduled",
    "numberAvailable",
)


def daemon_set_cells(object: Object, now: float) -> list[Any]:
    return [
        name_of(object),
        *(number(object, "status", count) for count in DAEMON_COUNTS),
        labels_text(part(object, "spec", "template", "spec").get("nodeSelector")),
        age(object, now),
        *_template(object),
        selector_text(part(object, "spec", "selector")),
    ]


def _completions(job: Object) -> str:
    spec, succeeded = part(job, "spec"), number(job, "status", "succeeded")
    if "completions" in spec:
        return f"{succeeded}/{number(spec, 'completions')}"
    parallelism = number(spec, "parallelism")
    return f"{succeeded}/1 of {parallelism}" if parallelism > 1 else f"{succeeded}/1"


def _job_status(job: Object) -> str:
    def holds(kind: str) -> bool:
        return condition(job, kind).get("status") == "True"

    if holds("Complete"):
        return "Complete"
    if holds("Failed"):
        return "Failed"
    if part(job, "metadata").get("deletionTimestamp"):
        return "Terminating"
    if holds("Suspended"):
        return "Suspended"
    return "FailureTarget" if holds("FailureTarget") else "Running"


def _job_duration(job: Object, now: float) -> str:
    started = moment(part(job, "status").get("startTime"))
    if started is None:
        return ""
    ended = moment(part(job, "status").get("completionTime"))
    return duration((now if ended is None else ended) - started)


def job_cells(job: Object, now: float) -> list[Any]:
    return [
        name_of(job),
        _job_status(job),
        _completions(job),
        _job_duration(job, now),
        age(job, now),
        *_template(job),
        selector_text(part(job, "spec", "selector")),
    ]


def cron_job_cells(object: Object, now: float) -> list[Any]:
    spec, last = part(object, "spec"), part(object, "status").get("lastScheduleTime")
    suspend = spec.get("suspend")
    return [
        name_of(object),
        text(spec, "schedule"),
        text(spec, "timeZone") or NONE,
        UNSET if suspend is None else str(bool(suspend)),
        len(items(object, "status", "active")),
        since(last, now) if last is not None else NONE,
        age(object, now),
        *containers_text(part(spec, "jobTemplate", "spec", "template", "spec")),
        selector_text(part(spec, "jobTemplate", "spec", "selector")),
    ]


# What a metric's source is called in a MetricSpec, and whether its cell begins with the resource's name.
SOURCES = {
    "External": ("external", False),
    "Pods": ("pods", False),
    "Object": ("object", False),
    "Resource": ("resource", True),
    "ContainerResource": ("containerResource", True),
}


def _metric(spec: Any, status: Any) -> str:
    kind = text(spec, "type")
    if kind not in SOURCES:
        return "<unknown type>"
    source, named = SOURCES[kind]
    target, current = part(spec, source, "target"), part(status, source, "current")
    before = f"{text(spec, source, 'name')}: " if named else ""
    if target.get("averageValue") is not None or kind == "Pods":
        after = " (avg)" if kind in ("External", "Object") else ""
        return f"{before}{text(current, 'averageValue') or UNKNOWN}/{text(target, 'averageValue')}{after}"
    if not named:
        return f"{text(current, 'value') or UNKNOWN}/{text(target, 'value')}"
    now, wanted = current.get("averageUtilization"), target.get("averageUtilization")
    return f"{before}{UNKNOWN if now is None else f'{now}%'}/{'<auto>' if wanted is None else f'{wanted}%'}"


def metrics_text(object: Object) -> str:
    """What an autoscaler aims at: "cpu: 20%/80%"."""
    specs, statuses = items(object, "spec", "metrics"), items(object, "status", "currentMetrics")
    if not specs:
        return NONE
    shown = [_metric(spec, statuses[i] if i < len(statuses) else None) for i, spec in enumerate(specs)]
    joined = ", ".join(shown[:2])
    return f"{joined} + {len(shown) - 2} more..." if len(shown) > 2 else joined


def autoscaler_cells(object: Object) -> list[Any]:
    spec = part(object, "spec")
    least = spec.get("minReplicas")
    return [
        f"{text(spec, 'scaleTargetRef', 'kind')}/{text(spec, 'scaleTargetRef', 'name')}",
        metrics_text(object),
        UNSET if least is None else str(least),
        number(spec, "maxReplicas"),
        number(object, "status", "currentReplicas"),
    ]


def budget_cells(object: Object) -> list[Any]:
    spec = part(object, "spec")
    limits = [str(spec.get(limit, "N/A")) for limit in ("minAvailable", "maxUnavailable")]
    return [*limits, number(object, "status", "disruptionsAllowed")]


def revision_cells(object: Object) -> list[Any]:
    owners = items(object, "metadata", "ownerReferences")
    owner = next((found for found in owners if part(found).get("controller") is True), None)
    shown = NONE
    if owner is not None:
        group = text(owner, "apiVersion").rpartition("/")[0]
        kind = text(owner, "kind").lower()
        shown = f"{kind}.{group}/{text(owner, 'name')}" if group else f"{kind}/{text(owner, 'name')}"
    return [shown, number(object, "revision")]


def scale_cells(object: Object) -> list[Any]:
    return [number(object, "spec", "replicas"), number(object, "status", "replicas")]


REPLICAS = (NAME, DESIRED, CURRENT, READY, AGE, CONTAINERS, IMAGES, SELECTOR)
DEPLOYMENT = View(
    (
        NAME,
        READY_OF,
        Column("Up-to-date", description="The number of pods that have the desired template."),
        Column("Available", description="The number of pods that are ready for long enough."),
        AGE,
        CONTAINERS,
        IMAGES,
        SELECTOR,
    ),
    deployment_cells,
)
DAEMON_SET = View(
    (
        NAME,
        Column("Desired", "integer", "The number of nodes that should run the pod."),
        Column("Current", "integer", "The number of nodes that run the pod and should."),
        Column("Ready", "integer", "The number of nodes whose pod is ready."),
        Column("Up-to-date", "integer", "The number of nodes whose pod has the desired template."),
        Column("Available", "integer", "The number of nodes whose pod is ready for long enough."),
        Column("Node Selector", description="The labels of the nodes that should run the pod."),
        AGE,
        CONTAINERS,
        IMAGES,
        SELECTOR,
    ),
    daemon_set_cells,
)
JOB = View(
    (
        NAME,
        Column("Status", description="Status of the job."),
        Column("Completions", description="The number of pods that have succeeded, of those that should."),
        Column("Duration", description="Time required to complete the job."),
        AGE,
        CONTAINERS,
        IMAGES,
        SELECTOR,
    ),
    job_cells,
)
CRON_JOB = View(
    (
        NAME,
        Column("Schedule", description="When jobs are started, in cron's form."),
        Column("Timezone", description="The time zone of the schedule."),
        Column("Suspend", "boolean", "Whether no further jobs are started."),
        Column("Active", "integer", "The jobs that run."),
        Column("Last Schedule", description="When a job was last started."),
        AGE,
        CONTAINERS,
        IMAGES,
        SELECTOR,
    ),
    cron_job_cells,
)
AUTOSCALER = plain(
    Column("Reference", description="What is scaled."),
    Column("Targets", description="What is measured, and the value that is aimed at."),
    Column("MinPods", description="The lower limit of replicas."),
    Column("MaxPods", description="The upper limit of replicas."),
    Column("Replicas", description="The number of replicas that there are."),
    between=autoscaler_cells,
)
BUDGET = plain(
    Column("Min Available", description="The minimum number of pods that must be available."),
    Column("Max Unavailable", description="The maximum number of pods that may be unavailable."),
    Column("Allowed Disruptions", "integer", "Calculated number of pods that may be disrupted at this time."),
    between=budget_cells,
)
REVISION = plain(
    Column("Controller", description="Controller of the object"),
    Column("Revision", description="The number of the state that is kept here."),
    between=revision_cells,
)
SCALE = plain(DESIRED, Column("Available", "integer", "The number of replicas that there are."), between=scale_cells)

VIEWS = {
    ("", "ReplicationController"): View(REPLICAS, controller_cells),
    ("apps", "ReplicaSet"): View(REPLICAS, replica_set_cells),
    ("apps", "Deployment"): DEPLOYMENT,
    ("apps", "StatefulSet"): View((NAME, READY_OF, AGE, CONTAINERS, IMAGES), stateful_set_cells),
    ("apps", "DaemonSet"): DAEMON_SET,
    ("apps", "ControllerRevision"): REVISION,
    ("batch", "Job"): JOB,
    ("batch", "CronJob"): CRON_JOB,
    ("autoscaling", "HorizontalPodAutoscaler"): AUTOSCALER,
    ("autoscaling", "Scale"): SCALE,
    ("policy", "PodDisruptionBudget"): BUDGET,
}
