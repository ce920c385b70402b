"""A pod's status: what it is when a pod is made, and what a node may write.

Source: documentation "Pod Lifecycle", API reference PodStatus; k8s.io/kubernetes, registry/core/pod.
"""

from collections.abc import Sequence

from boxship.cluster.objects import Object, names
from boxship.cluster.objects.failure import Cause
from boxship.cluster.objects.kinds.checking import IMMUTABLE, Found
from boxship.cluster.objects.kinds.comparing import take_spec_back
from boxship.cluster.objects.kinds.core_addresses import validate_pair
from boxship.cluster.objects.kinds.core_pod_updates import validate_annotation_updates
from boxship.cluster.objects.kinds.core_resources import qos_class
from boxship.cluster.objects.kinds.core_security import ID_TEXT, LARGEST_ID

RESTART_ALL = "RestartAllContainers"  # by one container's rule all may be started again
SYSTEM_CONDITIONS = ("PodScheduled", "Ready", "Initialized")


def first_status(pod: Object) -> Object:
    spec = pod.get("spec") or {}
    status: Object = {"phase": "Pending", "qosClass": qos_class(spec)}
    if spec.get("schedulingGates"):
        status["conditions"] = [
            {
                "type": "PodScheduled",
                "status": "False",
                "reason": "SchedulingGated",
                "message": "Scheduling is blocked due to non-empty scheduling gates",
                "lastProbeTime": None,
            }
        ]
    return status


def prepare_status(new: Object, old: Object) -> None:
    take_spec_back(new, old)
    metadata, had = new.setdefault("metadata", {}), old.get("metadata") or {}
    for key in ("deletionTimestamp", "deletionGracePeriodSeconds", "ownerReferences"):
        if key in had:
            metadata[key] = had[key]
        else:
            metadata.pop(key, None)
    status, was = new.setdefault("status", {}), old.get("status") or {}
    if not status.get("qosClass") and was.get("qosClass"):
        status["qosClass"] = was["qosClass"]
    if not status.get("observedGeneration") and was.get("observedGeneration"):
        status["observedGeneration"] = was["observedGeneration"]
    seen: dict[str, list[int]] = {}
    for condition in was.get("conditions") or ():
        seen.setdefault(condition.get("type") or "", []).append(condition.get("observedGeneration") or 0)
    for condition in status.get("conditions") or ():
        known = seen.get(condition.get("type") or "")
        generation = known.pop(0) if known else 0
        if not condition.get("observedGeneration") and generation:
            condition["observedGeneration"] = generation


def validate_status(new: Object, old: Object) -> Sequence[Cause]:
    found = Found()
    validate_annotation_updates(found, new, old)
    status, was = new.get("status") or {}, old.get("status") or {}
    spec = old.get("spec") or {}
    for index, condition in enumerate(status.get("conditions") or ()):
        kind = condition.get("type") or ""
        if kind not in SYSTEM_CONDITIONS:
            found.because(f"metadata.conditions[{index}].Type", kind, names.qualified(kind))
    nominated = status.get("nominatedNodeName")
    if nominated and nominated != was.get("nominatedNodeName"):
        found.because("status.nominatedNodeName", nominated, names.subdomain(nominated))
    if was.get("qosClass") and status.get("qosClass") != was["qosClass"]:
        found.invalid("status.qosClass", status.get("qosClass") or "", IMMUTABLE)
    restart = spec.get("restartPolicy") or "Always"
    sidecars = {each.get("name") for each in spec.get("initContainers") or () if each.get("restartPolicy") == "Always"}
    containers = [each for key in ("containers", "initContainers") for each in spec.get(key) or ()]
    own = {each.get("name") for each in containers if each.get("restartPolicy") or each.get("restartPolicyRules")}
    if any(rule.get("action") == RESTART_ALL for each in containers for rule in each.get("restartPolicyRules") or ()):
        own = {each.get("name") for each in containers}
    _validate_transitions(found, status, was, "containerStatuses", restart, own)
    _validate_transitions(found, status, was, "initContainerStatuses", restart, sidecars | own)
    _validate_transitions(found, status, was, "ephemeralContainerStatuses", "Never", set())
    _validate_claims(found, status, spec)
    validate_pair(
        found, [each.get("ip") or "" for each in status.get("podIPs") or ()], "status.podIPs", status.get("podIPs")
    )
    hosts = status.get("hostIPs") or []
    if hosts:
        if (status.get("hostIP") or "") != (hosts[0].get("ip") or ""):
            found.invalid("status.hostIPs[0].ip", hosts[0].get("ip") or "", "must be equal to `hostIP`")
        validate_pair(found, [each.get("ip") or "" for each in hosts], "status.hostIPs", hosts)
    _validate_users(found, status)
    return found.causes


def _validate_transitions(
    found: Found, status: Object, was: Object, key: str, restart: str, exempt: set[str | None]
) -> None:
    """What has ended stays ended, unless it is started again by its policy."""
    if restart == "Always":
        return
    now = {each.get("name"): each for each in status.get(key) or ()}
    for index, old in enumerate(was.get(key) or ()):
        ended = (old.get("state") or {}).get("terminated")
        if ended is None or old.get("name") in exempt or old.get("name") not in now:
            continue
        if ended.get("exitCode") and restart == "OnFailure":
            continue
        if (now[old.get("name")].get("state") or {}).get("terminated") is None:
            why = "may not be transitioned to non-terminated state"
            found.forbidden(f"status.{key}[{index}].state", why)


def _validate_claims(found: Found, status: Object, spec: Object) -> None:
    known = {claim.get("name") for claim in spec.get("resourceClaims") or ()}
    seen: set[str] = set()
    for index, claim in enumerate(status.get("resourceClaimStatuses") or ()):
        at = f"status.resourceClaimStatuses[{index}].name"
        name = claim.get("name") or ""
        if name not in known:
            found.invalid(at, name, "must match the name of an entry in `spec.resourceClaims`")
        if name in seen:
            found.duplicate(at, name)
        seen.add(name)
        made = claim.get("resourceClaimName")
        if made is not None:
            found.because(at, made, names.subdomain(made))


def _validate_users(found: Found, status: Object) -> None:
    for key in ("containerStatuses", "initContainerStatuses", "ephemeralContainerStatuses"):
        for index, each in enumerate(status.get(key) or ()):
            user = (each.get("user") or {}).get("linux")
            if not user:
                continue
            at = f"status.{key}[{index}].linux"
            numbers = [(user.get("uid") or 0, f"{at}.uid"), (user.get("gid") or 0, f"{at}.gid")]
            groups = user.get("supplementalGroups") or ()
            numbers += [(number, f"{at}.supplementalGroups[{place}]") for place, number in enumerate(groups)]
            for number, path in numbers:
                if not 0 <= number <= LARGEST_ID:
                    found.invalid(path, number, ID_TEXT)
