"""What objects count against a ResourceQuota, which quotas they count against, and whether they still fit.

Source: kubernetes.io, "Resource Quotas". Pure; admission charges with it, and the controller counts again with it.
"""

from collections.abc import Callable, Iterable, Mapping
from datetime import datetime, timedelta

from boxship.cluster.objects import Object
from boxship.cluster.objects.pod_resources import Amounts, add, is_best_effort, pod_amounts
from boxship.cluster.objects.quantity import Quantity, of, parse
from boxship.cluster.objects.resource import Resource
from boxship.cluster.objects.times import moment

ONE = of(1)
ZERO = of(0)
# Resources whose number has a name of its own, besides count/RESOURCE.GROUP.
PLAIN_COUNTS = {
    "pods", "services", "replicationcontrollers", "resourcequotas", "secrets", "configmaps", "persistentvolumeclaims",
}  # fmt: skip
POD_SCOPES = {
    "Terminating", "NotTerminating", "BestEffort", "NotBestEffort", "PriorityClass", "CrossNamespacePodAffinity",
}  # fmt: skip
STORAGE_CLASS = ".storageclass.storage.k8s.io/"


def usage_of(resource: Resource, made: Object, now: datetime | None = None) -> Amounts:
    """All that the object uses, by the names that a quota's `hard` may have; at that time, if one is given."""
    used: Amounts = {f"count/{resource.qualified}": ONE}
    if now is not None and resource.path == "v1/pods" and (end := overdue_at(made)) is not None and end < now:
        return used
    if resource.group == "" and resource.plural in PLAIN_COUNTS:
        used[resource.plural] = ONE
    special = _SPECIAL.get(resource.path)
    if special is not None:
        special(made, used)
    return used


def _pod(pod: Object, used: Amounts) -> None:
    if pod.get("status", {}).get("phase") in ("Succeeded", "Failed"):
        del used["pods"]  # it holds nothing any more, but is there
        return
    for name, amount in pod_amounts(pod.get("spec", {}), "requests").items():
        used[f"requests.{name}"] = amount
        if name in ("cpu", "memory", "ephemeral-storage") or name.startswith("hugepages-"):
            used[name] = amount
    for name, amount in pod_amounts(pod.get("spec", {}), "limits").items():
        used[f"limits.{name}"] = amount


def overdue_at(pod: Object) -> datetime | None:
    """When a pod that is to go should have gone, twice its grace after it was told: what is stuck on a lost node holds
    nothing from then on, so that others can be made in its place."""
    metadata = pod.get("metadata") or {}
    told, grace = metadata.get("deletionTimestamp"), metadata.get("deletionGracePeriodSeconds")
    return moment(told) + timedelta(seconds=grace) if told and grace is not None else None


def _service(service: Object, used: Amounts) -> None:
    spec = service.get("spec", {})
    kind = spec.get("type", "ClusterIP")
    ports = spec.get("ports") or ()
    if kind == "NodePort" or (kind == "LoadBalancer" and spec.get("allocateLoadBalancerNodePorts", True)):
        used["services.nodeports"] = of(len(ports))
    elif kind == "LoadBalancer":
        used["services.nodeports"] = of(sum(1 for port in ports if port.get("nodePort")))
    if kind == "LoadBalancer":
        used["services.loadbalancers"] = ONE


def _claim(claim: Object, used: Amounts) -> None:
    spec = claim.get("spec", {})
    text = ((spec.get("resources") or {}).get("requests") or {}).get("storage")
    amount = parse(text) if text is not None else ZERO
    held = (claim.get("status", {}).get("allocatedResources") or {}).get("storage")
    if held is not None and parse(held) > amount:
        amount = parse(held)
    used["requests.storage"] = amount
    name = spec.get("storageClassName") or claim.get("metadata", {}).get("annotations", {}).get(
        "volume.beta.kubernetes.io/storage-class"
    )
    if name:
        used[f"{name}{STORAGE_CLASS}requests.storage"] = amount
        used[f"{name}{STORAGE_CLASS}persistentvolumeclaims"] = ONE


_SPECIAL: dict[str, Callable[[Object, Amounts], None]] = {
    "v1/pods": _pod,
    "v1/services": _service,
    "v1/persistentvolumeclaims": _claim,
}


def matches(quota: Object, resource: Resource, made: Object) -> bool:
    """Whether the object is in all scopes of the quota."""
    spec = quota.get("spec", {})
    terms = [{"scopeName": scope, "operator": "Exists"} for scope in spec.get("scopes") or ()]
    terms += list((spec.get("scopeSelector") or {}).get("matchExpressions") or ())
    return all(_in_scope(term, resource, made) for term in terms)


def _in_scope(term: Mapping[str, object], resource: Resource, made: Object) -> bool:
    scope = term["scopeName"]
    spec = made.get("spec", {})
    if scope == "VolumeAttributesClass":
        return resource.path == "v1/persistentvolumeclaims" and _chosen(term, spec.get("volumeAttributesClassName"))
    if resource.path != "v1/pods":
        return False
    if scope in ("Terminating", "NotTerminating"):
        return (spec.get("activeDeadlineSeconds") is not None) == (scope == "Terminating")
    if scope in ("BestEffort", "NotBestEffort"):
        return is_best_effort(spec) == (scope == "BestEffort")
    if scope == "PriorityClass":
        return _chosen(term, spec.get("priorityClassName"))
    return scope == "CrossNamespacePodAffinity" and _crosses_namespaces(spec)


def _chosen(term: Mapping[str, object], value: str | None) -> bool:
    values = term.get("values") or ()
    assert isinstance(values, (list, tuple))
    match term.get("operator"):
        case "Exists":
            return bool(value)
        case "DoesNotExist":
            return not value
        case "In":
            return value in values
        case _:
            return value not in values


def _crosses_namespaces(spec: Object) -> bool:
    affinity = spec.get("affinity") or {}
    for side in ("podAffinity", "podAntiAffinity"):
        part = affinity.get(side) or {}
        terms = list(part.get("requiredDuringSchedulingIgnoredDuringExecution") or ())
        preferred = part.get("preferredDuringSchedulingIgnoredDuringExecution") or ()
        terms += [weighted.get("podAffinityTerm") or {} for weighted in preferred]
        if any(term.get("namespaces") or term.get("namespaceSelector") is not None for term in terms):
            return True
    return False


def counted(quota: Object, used: Amounts) -> Amounts:
    """The part of a usage that the quota has limits for."""
    hard = quota.get("spec", {}).get("hard") or {}
    return {name: amount for name, amount in used.items() if name in hard}


def missing(quota: Object, resource: Resource, made: Object) -> list[str]:
    """Compute resources that the quota limits, with the containers that say nothing about them ("cpu for: web"): such a
    pod is refused."""
    if resource.path != "v1/pods":
        return []
    hard = quota.get("spec", {}).get("hard") or {}
    computed = {"cpu", "memory", "requests.cpu", "requests.memory", "limits.cpu", "limits.memory"}
    silent = {name: _silent(made, name) for name in sorted(hard) if name in computed}
    return [f"{name} for: {','.join(sorted(containers))}" for name, containers in silent.items() if containers]


def _silent(pod: Object, name: str) -> list[str]:
    """The containers of a pod that say nothing about a resource, where the pod itself does not either."""
    side, _, plain = name.rpartition(".")
    side = side or "requests"
    spec = pod.get("spec", {})
    if plain in ((spec.get("resources") or {}).get(side) or {}):
        return []
    containers = [*(spec.get("initContainers") or ()), *(spec.get("containers") or ())]
    return [str(each["name"]) for each in containers if plain not in ((each.get("resources") or {}).get(side) or {})]


def exceeded(quota: Object, change: Amounts) -> list[str]:
    """The names in `change`, what a write would add, that do not fit any more; only growth can be too much."""
    hard = quota.get("spec", {}).get("hard") or {}
    used = quota.get("status", {}).get("used") or {}
    return sorted(
        name
        for name, more in change.items()
        if more > ZERO and name in hard and parse(used.get(name, "0")) + more > parse(hard[name])
    )


def difference(new: Amounts, old: Amounts) -> Amounts:
    """What is used more (or less, below zero) by `new`."""
    change: dict[str, Quantity] = {}
    for name in new.keys() | old.keys():
        more = new.get(name, ZERO) - old.get(name, ZERO)
        if more != ZERO:
            change[name] = more
    return change


def total_usage(
    quota: Object, objects: Iterable[tuple[Resource, Object]], now: datetime | None = None
) -> dict[str, str]:
    """`status.used` counted from all objects of the namespace; each name of `hard` is there."""
    total: Amounts = dict.fromkeys(quota.get("spec", {}).get("hard") or {}, ZERO)
    for resource, made in objects:
        if matches(quota, resource, made):
            add(total, counted(quota, usage_of(resource, made, now)))
    return {name: amount.text for name, amount in total.items()}
