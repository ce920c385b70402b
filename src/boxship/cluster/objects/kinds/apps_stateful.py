"""The rules of StatefulSet.

Source: documentation "StatefulSets"; API reference StatefulSetSpec; k8s.io/kubernetes, apis/apps and
registry/apps/statefulset.
"""

from collections.abc import Sequence

from boxship.cluster.objects import Object, names
from boxship.cluster.objects.failure import Cause
from boxship.cluster.objects.kinds.apps_templates import (
    amount,
    validate_amount,
    validate_collisions,
    validate_running_template,
    validate_selected,
    validate_share,
    validate_status_counts,
    warnings_of,
)
from boxship.cluster.objects.kinds.checking import Found, child, fill, non_negative
from boxship.cluster.objects.kinds.comparing import keep_status, path_of, same, take_spec_back
from boxship.cluster.objects.kinds.core_claims import validate_claim_spec
from boxship.cluster.objects.kinds.core_pod_defaults import default_template
from boxship.cluster.objects.rules import Rules

CHANGEABLE = (
    "replicas",
    "ordinals",
    "template",
    "updateStrategy",
    "revisionHistoryLimit",
    "persistentVolumeClaimRetentionPolicy",
    "minReadySeconds",
)
FORBIDDEN_TEXT = (
    "updates to statefulset spec for fields other than 'replicas', 'ordinals', 'template', 'updateStrategy', "
    "'revisionHistoryLimit', 'persistentVolumeClaimRetentionPolicy' and 'minReadySeconds' are forbidden"
)


def _default(stateful: Object) -> None:
    spec = child(stateful, "spec")
    default_template(spec)
    if not spec.get("podManagementPolicy"):
        spec["podManagementPolicy"] = "OrderedReady"
    strategy = child(spec, "updateStrategy")
    if not strategy.get("type"):
        strategy["type"] = "RollingUpdate"
        child(strategy, "rollingUpdate")
    if strategy["type"] == "RollingUpdate" and strategy.get("rollingUpdate") is not None:
        fill(strategy["rollingUpdate"], {"partition": 0})
    retention = child(spec, "persistentVolumeClaimRetentionPolicy")
    for key in ("whenDeleted", "whenScaled"):
        if not retention.get(key):
            retention[key] = "Retain"
    fill(spec, {"replicas": 1, "revisionHistoryLimit": 10})
    for claim in spec.get("volumeClaimTemplates") or ():
        fill(claim, {"kind": "PersistentVolumeClaim", "apiVersion": "v1"})
        fill(child(claim, "spec"), {"volumeMode": "Filesystem"})
        fill(child(claim, "status"), {"phase": "Pending"})


def _prepare_create(stateful: Object) -> None:
    stateful["status"] = {"replicas": 0, "availableReplicas": 0}


def _validate(stateful: Object) -> Sequence[Cause]:
    found = Found()
    spec = stateful.get("spec") or {}
    policy = spec.get("podManagementPolicy")
    if not policy:
        found.required("spec.podManagementPolicy")
    elif policy not in ("OrderedReady", "Parallel"):
        found.invalid("spec.podManagementPolicy", policy, "must be 'OrderedReady' or 'Parallel'")
    _validate_strategy(found, spec.get("updateStrategy") or {})
    for key, value in (spec.get("persistentVolumeClaimRetentionPolicy") or {}).items():
        if value not in ("Retain", "Delete"):
            found.unsupported(f"spec.persistentVolumeClaimRetentionPolicy.{key}", value, ("Retain", "Delete"))
    non_negative(found, spec, "spec", "replicas", "minReadySeconds")
    start = path_of(spec, "ordinals", "start") or 0
    if start < 0:
        found.invalid("spec.ordinals.start", start, "must be greater than or equal to 0")
    service = spec.get("serviceName")
    if service:
        found.because("spec.serviceName", service, names.label(service))
    validate_selected(found, spec, "statefulset")
    claims = spec.get("volumeClaimTemplates") or ()
    for index, claim in enumerate(claims):
        at = f"spec.volumeClaimTemplates[{index}]"
        name = path_of(claim, "metadata", "name")
        if not name:
            found.required(f"{at}.metadata.name")
        else:
            found.because(f"{at}.metadata.name", name, names.subdomain(name))
        validate_claim_spec(found, claim.get("spec") or {}, f"{at}.spec")
    validate_running_template(found, _with_claims(spec.get("template") or {}, claims), "StatefulSet")
    return found.causes


def _with_claims(template: Object, claims: Sequence[Object]) -> Object:
    """The template as its pods are: each claim is a volume, and takes the place of one with its name."""
    claimed = {path_of(claim, "metadata", "name") or "" for claim in claims} - {""}
    if not claimed:
        return template
    spec = template.get("spec") or {}
    # A claim's name may be longer than a volume's; what it is called is asked above.
    made = [{"name": name, "persistentVolumeClaim": {"claimName": name}} for name in claimed if not names.label(name)]
    # The template's own come first, so that what is wrong with one stands at its own place.
    kept = [volume for volume in spec.get("volumes") or () if volume.get("name") not in claimed]
    return {**template, "spec": {**spec, "volumes": [*kept, *made]}}


def _validate_strategy(found: Found, strategy: Object) -> None:
    kind, rolling = strategy.get("type"), strategy.get("rollingUpdate")
    path = "spec.updateStrategy.rollingUpdate"
    if not kind:
        found.required("spec.updateStrategy")
    elif kind == "OnDelete":
        if rolling is not None:
            found.invalid(path, rolling, "only allowed for updateStrategy 'RollingUpdate'")
    elif kind != "RollingUpdate":
        found.invalid("spec.updateStrategy", strategy, "must be 'RollingUpdate' or 'OnDelete'")
    elif rolling is not None:
        non_negative(found, rolling, path, "partition")
        away = rolling.get("maxUnavailable")
        if away is not None:
            validate_amount(found, away, f"{path}.maxUnavailable")
            if amount(away) == 0:
                found.invalid(f"{path}.maxUnavailable", away, "cannot be 0")
            validate_share(found, away, f"{path}.maxUnavailable")


def _validate_update(new: Object, old: Object) -> Sequence[Cause]:
    found = Found()
    fixed = [
        {key: value for key, value in (stateful.get("spec") or {}).items() if key not in CHANGEABLE}
        for stateful in (new, old)
    ]
    if not same(*fixed):
        found.forbidden("spec", FORBIDDEN_TEXT)
    return found.causes


def _validate_status(new: Object, old: Object) -> Sequence[Cause]:
    found = Found()
    counts = ("readyReplicas", "currentReplicas", "updatedReplicas", "availableReplicas")
    keys = ("replicas", *counts, "observedGeneration", "collisionCount")
    validate_status_counts(found, new.get("status") or {}, keys, counts, "status.readyReplicas")
    validate_collisions(found, new, old)
    return found.causes


RULES = {
    "StatefulSet": Rules(
        default=_default,
        prepare_create=_prepare_create,
        prepare_update=keep_status,
        prepare_status=take_spec_back,
        validate=_validate,
        validate_update=_validate_update,
        validate_status=_validate_status,
        validate_name=names.label,
        warnings=warnings_of("spec", "template"),
        generation=True,
    ),
}
