"""Names and amounts of resources: what a container or a pod may ask for, and a pod's class of service.

Source: "Resource Management for Pods and Containers", "Extended Resources", "Pod Quality of Service Classes",
"Assign Pod-level CPU and memory resources"; k8s.io/kubernetes, apis/core/validation and apis/core/v1/helper.
"""

from collections.abc import Collection, Iterable, Iterator, Mapping
from typing import Any

from boxship.cluster.objects import names, quantity
from boxship.cluster.objects.kinds.checking import NOT_NEGATIVE, Found, quote
from boxship.cluster.objects.quantity import Quantity
from boxship.errors import Invalid

ResourceList = dict[str, str]
CONTAINER = frozenset(("cpu", "memory", "ephemeral-storage"))
POD_LEVEL = frozenset(("cpu", "memory"))
INTEGERS = frozenset(
    (
        "pods",
        "services",
        "replicationcontrollers",
        "resourcequotas",
        "secrets",
        "configmaps",
        "persistentvolumeclaims",
        "services.nodeports",
        "services.loadbalancers",
    )
)
STANDARD = frozenset(
    (
        *CONTAINER,
        *INTEGERS,
        "requests.cpu",
        "requests.memory",
        "requests.ephemeral-storage",
        "limits.cpu",
        "limits.memory",
        "limits.ephemeral-storage",
        "storage",
        "requests.storage",
    )
)
HUGEPAGES = "hugepages-"
REQUESTS_PREFIX = "requests."
NOT_INTEGER = "must be an integer"


def is_hugepages(name: str) -> bool:
    return name.startswith(HUGEPAGES)


def is_native(name: str) -> bool:
    """Of Kubernetes itself: without a domain, or with kubernetes.io."""
    return "/" not in name or "kubernetes.io/" in name


def is_extended(name: str) -> bool:
    """Of a device: with a domain of its own, whole numbers only."""
    if is_native(name) or name.startswith(REQUESTS_PREFIX):
        return False
    return not names.qualified(REQUESTS_PREFIX + name)


def is_overcommitted(name: str) -> bool:
    return is_native(name) and not is_hugepages(name)


def is_pod_level(name: str) -> bool:
    return name in POD_LEVEL or is_hugepages(name)


def is_integer(name: str) -> bool:
    return name in INTEGERS or is_extended(name)


def parsed(text: str | float | None) -> Quantity:
    """The amount; nothing for what is no amount, which the schema has refused already."""
    try:
        return quantity.parse(text if text is not None else "0")
    except Invalid:
        return Quantity()


def validate_name(found: Found, name: str, path: str) -> bool:
    """The name of any resource."""
    before = len(found.causes)
    found.because(path, name, names.qualified(name))
    if len(found.causes) == before and "/" not in name and name not in STANDARD and not is_hugepages(name):
        found.invalid(path, name, "must be a standard resource type or fully qualified")
    return len(found.causes) == before


def validate_container_name(found: Found, name: str, path: str) -> None:
    """The name of what a container may ask for."""
    if not validate_name(found, name, path) and "/" in name:
        return
    if "/" not in name:
        if name not in CONTAINER and not is_hugepages(name):
            found.invalid(path, name, "must be a standard resource for containers")
    elif not is_native(name) and not is_extended(name):
        found.invalid(path, name, "doesn't follow extended resource name standard")


def validate_pod_name(found: Found, name: str, path: str) -> None:
    """The name of what a pod as a whole may ask for."""
    if validate_name(found, name, path) and not is_pod_level(name):
        found.unsupported(path, name, ("cpu", "hugepages-", "memory"))


def validate_amount(found: Found, name: str, amount: Quantity, path: str) -> None:
    if amount.nanos < 0:
        found.invalid(path, amount.text, NOT_NEGATIVE)
    if amount.nanos % quantity.NANO and is_integer(name):
        found.invalid(path, amount.text, NOT_INTEGER)


def validate_requirements(
    found: Found,
    resources: Mapping[str, Any] | None,
    path: str,
    *,
    pod_level: bool = False,
    claims: Collection[str] = (),
) -> None:
    """Limits and requests of a container, or of a whole pod."""
    if not resources:
        return
    limits = _amounts(found, resources.get("limits"), f"{path}.limits", pod_level)
    requests = _amounts(found, resources.get("requests"), f"{path}.requests", pod_level)
    huge = False
    exact = False  # cpu or memory, which huge pages need beside them
    for name, amount in requests.items():
        limit = limits.get(name)
        if limit is not None:
            if amount != limit and not is_overcommitted(name):
                found.invalid(f"{path}.requests", amount.text, f"must be equal to {name} limit of {limit.text}")
            elif amount > limit:
                found.invalid(
                    f"{path}.requests", amount.text, f"must be less than or equal to {name} limit of {limit.text}"
                )
        elif not is_overcommitted(name):
            found.required(f"{path}.limits", "Limit must be set for non overcommitable resources")
    for name in (*limits, *requests):
        huge = huge or is_hugepages(name)
        exact = exact or name in ("cpu", "memory")
    if huge and not exact:
        found.forbidden(path, "HugePages require cpu or memory")
    if resources.get("claims"):
        if pod_level:
            found.forbidden(f"{path}.claims", "claims cannot be set for Resources at pod-level")
        else:
            _validate_claims(found, resources["claims"], claims, f"{path}.claims")


def _amounts(found: Found, listed: Mapping[str, str] | None, path: str, pod_level: bool) -> dict[str, Quantity]:
    amounts = {}
    for name, text in (listed or {}).items():
        amount = parsed(text)
        amounts[name] = amount
        plain = name in POD_LEVEL
        if not plain:
            (validate_pod_name if pod_level else validate_container_name)(found, name, f"{path}[{name}]")
        if amount.nanos < 0 or not plain:
            validate_amount(found, name, amount, f"{path}[{name}]")
            if is_hugepages(name):
                _validate_pages(found, name, amount, f"{path}[{name}]")
    return amounts


def _validate_pages(found: Found, name: str, amount: Quantity, path: str) -> None:
    try:
        size = quantity.parse(name.removeprefix(HUGEPAGES))
    except Invalid:
        return
    if size.nanos > 0 and amount.nanos % size.nanos:
        found.invalid(path, amount.text, f"{amount.text} is not positive integer multiple of {name}")


def _validate_claims(found: Found, listed: Iterable[Mapping[str, Any]], known: Collection[str], path: str) -> None:
    seen: set[str] = set()
    for index, claim in enumerate(listed):
        name = claim.get("name") or ""
        request = claim.get("request") or ""
        at = f"{path}[{index}]"
        if not name:
            found.required(at)
            continue
        key = f"{name}/{request}" if request else name
        if name in seen:
            found.duplicate(at, name)
        else:
            if request:
                found.because(f"{at}.request", request, names.label(request))
            if key in seen or (not request and any(other.startswith(f"{name}/") for other in seen)):
                found.duplicate(at, key)
            seen.add(key)
        if name not in known:
            listed_names = f": {', '.join(sorted(known))}" if known else " which is empty"
            why = f"must be one of the names in pod.spec.resourceClaims{listed_names}"
            found.add("FieldValueNotFound", at, f"Not found: {quote(name)}: {why}")


def amounts_of(container: Mapping[str, Any], key: str) -> dict[str, Quantity]:
    listed = (container.get("resources") or {}).get(key) or {}
    return {name: parsed(text) for name, text in listed.items()}


def aggregate(spec: Mapping[str, Any], key: str) -> dict[str, Quantity]:
    """What the containers ask for together: all that run side by side, or the largest step of the start."""
    total: dict[str, Quantity] = {}
    for container in spec.get("containers") or ():
        _add(total, amounts_of(container, key))
    beside: dict[str, Quantity] = {}  # sidecars that run by now
    peak: dict[str, Quantity] = {}
    for container in spec.get("initContainers") or ():
        amounts = amounts_of(container, key)
        if container.get("restartPolicy") == "Always":
            _add(total, amounts)
            _add(beside, amounts)
            amounts = dict(beside)
        else:
            _add(amounts, beside)
        for name, amount in amounts.items():
            peak[name] = max(peak.get(name, amount), amount)
    for name, amount in peak.items():
        total[name] = max(total.get(name, amount), amount)
    return total


def _add(total: dict[str, Quantity], amounts: Mapping[str, Quantity]) -> None:
    for name, amount in amounts.items():
        total[name] = total[name] + amount if name in total else amount


def _parts(spec: Mapping[str, Any]) -> Iterator[Mapping[str, Any]]:
    resources = spec.get("resources")
    if resources and (resources.get("limits") or resources.get("requests")):
        yield spec
        return
    yield from spec.get("containers") or ()
    yield from spec.get("initContainers") or ()


def qos_class(spec: Mapping[str, Any]) -> str:
    """Guaranteed where limits of cpu and memory equal the requests everywhere, BestEffort where there are none."""
    requests: dict[str, Quantity] = {}
    limits: dict[str, Quantity] = {}
    guaranteed = True
    for part in _parts(spec):
        for total, key in ((requests, "requests"), (limits, "limits")):
            positive = {
                name: amount for name, amount in amounts_of(part, key).items() if name in POD_LEVEL and amount.nanos > 0
            }
            _add(total, positive)
            if key == "limits" and len(positive) < len(POD_LEVEL):
                guaranteed = False
    if not requests and not limits:
        return "BestEffort"
    return "Guaranteed" if guaranteed and requests == limits else "Burstable"
