"""The rules of Deployment, ReplicaSet, DaemonSet and ControllerRevision.

Source: documentation "Deployments", "ReplicaSet", "DaemonSet", "Perform a Rolling Update on a DaemonSet"; API reference
of apps/v1; k8s.io/kubernetes, apis/apps and registry/apps. StatefulSet: `apps_stateful`.
"""

from collections.abc import Sequence

from boxship.cluster.objects import Object
from boxship.cluster.objects.failure import Cause
from boxship.cluster.objects.kinds.apps_templates import (
    amount,
    selector_stays,
    validate_amount,
    validate_collisions,
    validate_running_template,
    validate_selected,
    validate_share,
    validate_status_counts,
    warnings_of,
)
from boxship.cluster.objects.kinds.checking import Found, child, fill, immutable, kept, non_negative
from boxship.cluster.objects.kinds.comparing import (
    empty_status,
    field_table,
    keep_status,
    path_of,
    same,
    take_spec_back,
)
from boxship.cluster.objects.kinds.core_endpoints import validate_replica_status
from boxship.cluster.objects.kinds.core_pod_defaults import default_template
from boxship.cluster.objects.rules import Rules

QUARTER = "25%"
# DaemonSets once counted the versions of their template in the spec; it lives on in an annotation.
TEMPLATE_GENERATION = "deprecated.daemonset.template.generation"
DAEMON_COUNTS = (
    "currentNumberScheduled",
    "numberMisscheduled",
    "desiredNumberScheduled",
    "numberReady",
    "observedGeneration",
    "updatedNumberScheduled",
    "numberAvailable",
    "numberUnavailable",
    "collisionCount",
)


def _default_deployment(deployment: Object) -> None:
    spec = child(deployment, "spec")
    default_template(spec)
    fill(spec, {"replicas": 1, "revisionHistoryLimit": 10, "progressDeadlineSeconds": 600})
    strategy = child(spec, "strategy")
    if not strategy.get("type"):
        strategy["type"] = "RollingUpdate"
    if strategy["type"] == "RollingUpdate":
        fill(child(strategy, "rollingUpdate"), {"maxUnavailable": QUARTER, "maxSurge": QUARTER})


def _validate_deployment(deployment: Object) -> Sequence[Cause]:
    found = Found()
    spec = deployment.get("spec") or {}
    non_negative(found, spec, "spec", "replicas")
    validate_selected(found, spec, "deployment")
    validate_running_template(found, spec.get("template") or {}, "ReplicaSet")
    _validate_strategy(found, spec.get("strategy") or {})
    non_negative(found, spec, "spec", "minReadySeconds", "revisionHistoryLimit", "progressDeadlineSeconds")
    deadline = spec.get("progressDeadlineSeconds")
    if deadline is not None and deadline <= (spec.get("minReadySeconds") or 0):
        found.invalid("spec.progressDeadlineSeconds", deadline, "must be greater than minReadySeconds")
    return found.causes


def _validate_strategy(found: Found, strategy: Object) -> None:
    kind, rolling = strategy.get("type"), strategy.get("rollingUpdate")
    path = "spec.strategy.rollingUpdate"
    if kind == "Recreate":
        if rolling is not None:
            found.forbidden(path, "may not be specified when strategy `type` is 'Recreate'")
    elif kind != "RollingUpdate":
        found.unsupported("spec.strategy", strategy, ("Recreate", "RollingUpdate"))
    elif rolling is None:
        found.required(path, "this should be defaulted and never be nil")
    else:
        away, more = rolling.get("maxUnavailable"), rolling.get("maxSurge")
        validate_amount(found, away, f"{path}.maxUnavailable")
        validate_amount(found, more, f"{path}.maxSurge")
        if amount(away) == 0 and amount(more) == 0:
            found.invalid(f"{path}.maxUnavailable", away, "may not be 0 when `maxSurge` is 0")
        validate_share(found, away, f"{path}.maxUnavailable")


def _deployment_status(new: Object, old: Object) -> Sequence[Cause]:
    found = Found()
    counts = ("updatedReplicas", "readyReplicas", "availableReplicas")
    keys = ("observedGeneration", "replicas", *counts, "unavailableReplicas", "collisionCount", "terminatingReplicas")
    validate_status_counts(found, new.get("status") or {}, keys, counts, "readyReplicas")
    validate_collisions(found, new, old)
    return found.causes


def _default_replicas(replicas: Object) -> None:
    spec = child(replicas, "spec")
    default_template(spec)
    fill(spec, {"replicas": 1})


def _create_replicas(replicas: Object) -> None:
    replicas["status"] = {"replicas": 0}


def _validate_replicas(replicas: Object) -> Sequence[Cause]:
    found = Found()
    spec = replicas.get("spec") or {}
    non_negative(found, spec, "spec", "replicas", "minReadySeconds")
    validate_selected(found, spec, "deployment")
    validate_running_template(found, spec.get("template") or {}, "ReplicaSet")
    return found.causes


def _default_daemons(daemons: Object) -> None:
    spec = child(daemons, "spec")
    default_template(spec)
    fill(spec, {"revisionHistoryLimit": 10})
    strategy = child(spec, "updateStrategy")
    if not strategy.get("type"):
        strategy["type"] = "RollingUpdate"
    if strategy["type"] == "RollingUpdate":
        fill(child(strategy, "rollingUpdate"), {"maxUnavailable": 1, "maxSurge": 0})


def _count_template(daemons: Object, number: int) -> None:
    child(child(daemons, "metadata"), "annotations")[TEMPLATE_GENERATION] = str(max(number, 1))


def _create_daemons(daemons: Object) -> None:
    daemons["status"] = dict.fromkeys(
        ("currentNumberScheduled", "desiredNumberScheduled", "numberMisscheduled", "numberReady"), 0
    )
    _count_template(daemons, 1)


def _update_daemons(new: Object, old: Object) -> None:
    keep_status(new, old)
    had = path_of(old, "metadata", "annotations", TEMPLATE_GENERATION) or "1"
    number = int(had) if had.isascii() and had.isdigit() else 1
    changed = not same(path_of(new, "spec", "template"), path_of(old, "spec", "template"))
    _count_template(new, number + changed)


def _validate_daemons(daemons: Object) -> Sequence[Cause]:
    found = Found()
    spec = daemons.get("spec") or {}
    validate_selected(found, spec, "daemonset", strict=False)
    validate_running_template(found, spec.get("template") or {}, "DaemonSet")
    non_negative(found, spec, "spec", "minReadySeconds")
    strategy = spec.get("updateStrategy") or {}
    kind, rolling = strategy.get("type"), strategy.get("rollingUpdate")
    path = "spec.updateStrategy.rollingUpdate"
    if kind not in ("OnDelete", "RollingUpdate"):
        found.unsupported("spec.updateStrategy", strategy, ("RollingUpdate", "OnDelete"))
    elif kind == "RollingUpdate" and not rolling:
        found.required(path)
    elif rolling and kind == "RollingUpdate":
        away, more = rolling.get("maxUnavailable"), rolling.get("maxSurge")
        for check in (validate_amount, validate_share):
            check(found, away, f"{path}.maxUnavailable")
            check(found, more, f"{path}.maxSurge")
        if amount(away) and amount(more):
            found.invalid(f"{path}.maxSurge", more, "may not be set when maxUnavailable is non-zero")
        elif not amount(away) and not amount(more):
            found.required(f"{path}.maxUnavailable", "cannot be 0 when maxSurge is 0")
    non_negative(found, spec, "spec", "revisionHistoryLimit")
    return found.causes


def _daemon_status(new: Object, old: Object) -> Sequence[Cause]:
    found = Found()
    non_negative(found, new.get("status") or {}, "status", *DAEMON_COUNTS)
    validate_collisions(found, new, old)
    return found.causes


def _validate_revision(revision: Object) -> Sequence[Cause]:
    found = Found()
    if revision.get("data") is None:
        found.required("data", "data is mandatory")
    non_negative(found, revision, "", "revision")
    return found.causes


def _update_revision(new: Object, old: Object) -> Sequence[Cause]:
    found = Found()
    immutable(found, new.get("data"), old.get("data"), "data")
    return found.causes


def _take_deployment_status(new: Object, old: Object) -> None:
    """Of what is beside the status, annotations may be changed, labels may not."""
    take_spec_back(new, old)
    kept(new.setdefault("metadata", {}), old.get("metadata") or {}, "labels")


RULES = {
    "Deployment": Rules(
        default=_default_deployment,
        prepare_create=empty_status,
        prepare_update=keep_status,
        prepare_status=_take_deployment_status,
        validate=_validate_deployment,
        validate_update=selector_stays,
        validate_status=_deployment_status,
        warnings=warnings_of("spec", "template"),
        generation=True,
    ),
    "ReplicaSet": Rules(
        default=_default_replicas,
        prepare_create=_create_replicas,
        prepare_update=keep_status,
        prepare_status=take_spec_back,
        validate=_validate_replicas,
        validate_update=selector_stays,
        validate_status=validate_replica_status,
        fields=field_table(status_replicas="0")("status.replicas"),
        warnings=warnings_of("spec", "template"),
        generation=True,
    ),
    "DaemonSet": Rules(
        default=_default_daemons,
        prepare_create=_create_daemons,
        prepare_update=_update_daemons,
        prepare_status=take_spec_back,
        validate=_validate_daemons,
        validate_update=selector_stays,
        validate_status=_daemon_status,
        warnings=warnings_of("spec", "template"),
        generation=True,
    ),
    "ControllerRevision": Rules(validate=_validate_revision, validate_update=_update_revision),
}
