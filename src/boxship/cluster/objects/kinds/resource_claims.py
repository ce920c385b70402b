"""ResourceClaim, ResourceClaimTemplate and DeviceClass: which devices somebody asks for, and got.

Source: pkg/apis/resource (defaults, validation), documentation "Dynamic Resource Allocation". Selectors are compiled by
`cel` when devices are chosen; here they are only there or not.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

import msgspec

from boxship.cluster.objects import Object, names
from boxship.cluster.objects.failure import Cause
from boxship.cluster.objects.kinds.checking import NOT_POSITIVE, Found, immutable, kept, unique
from boxship.cluster.objects.kinds.core_placement import validate_node_selector
from boxship.cluster.objects.kinds.core_resources import is_extended
from boxship.cluster.objects.kinds.core_volume_sources import validate_driver
from boxship.cluster.objects.kinds.metadata import validate_annotations, validate_labels
from boxship.cluster.objects.rules import Rules, take_status_only

REQUESTS = CONSTRAINTS = CONFIGS = SELECTORS = RESULTS = 32
ALTERNATIVES = 8
RESERVED = 256
DATA_LIMIT_BYTES = EXPRESSION_LIMIT_BYTES = 10 * 1024
POOL_LIMIT = 253
IDENTIFIER_LIMIT = 32
MODES = ("All", "ExactCount")
EFFECTS = ("NoExecute", "NoSchedule")
NO_SUCH_REQUEST = (
    "must be the name of a request in the claim or the name of a request and a subrequest separated by '/'"
)
Item = Mapping[str, Any]


def _limited(found: Found, items: Sequence[Any], path: str, limit: int) -> bool:
    if len(items) > limit:
        found.too_many(path, len(items), limit)
        return False
    return True


def validate_pool(found: Found, name: str, path: str) -> None:
    if not name:
        found.required(path)
        return
    if len(name) > POOL_LIMIT:
        found.too_long(path, POOL_LIMIT)
    for part in name.split("/"):
        found.because(path, part, names.subdomain(part))


def validate_qualified(found: Found, name: str, path: str, *, full: bool = False) -> None:
    """DOMAIN/IDENTIFIER, or an identifier alone where `full` does not forbid it."""
    domain, slash, rest = name.partition("/")
    identifier = rest if slash else domain
    if slash and not domain:
        found.invalid(path, "", "the domain must not be empty")
    elif slash:
        validate_driver(found, domain, path)
    if slash and not rest:
        found.invalid(path, "", "the name must not be empty")
    else:
        if len(identifier) > IDENTIFIER_LIMIT:
            found.too_long(path, IDENTIFIER_LIMIT)
        found.because(path, identifier, names.c_identifier(identifier))
    if full and not slash:
        found.invalid(path, name, "a fully qualified name must be a domain and a name separated by a slash")


def default_requests(devices: Item | None) -> None:
    for request in (devices or {}).get("requests") or ():
        parts = [request.get("exactly"), *(request.get("firstAvailable") or ())]
        for part in parts:
            if part is None:
                continue
            if not part.get("allocationMode"):
                part["allocationMode"] = "ExactCount"
            if part["allocationMode"] == "ExactCount" and not part.get("count"):
                part["count"] = 1
            for toleration in part.get("tolerations") or ():
                if not toleration.get("operator"):
                    toleration["operator"] = "Equal"


def _validate_selectors(found: Found, selectors: Sequence[Item], path: str) -> None:
    if not _limited(found, selectors, path, SELECTORS):
        return
    for index, selector in enumerate(selectors):
        expression = selector.get("cel")
        if expression is None:
            found.required(f"{path}[{index}].cel")
        elif len((expression.get("expression") or "").encode()) > EXPRESSION_LIMIT_BYTES:
            found.too_long(f"{path}[{index}].cel.expression", EXPRESSION_LIMIT_BYTES)


def _validate_tolerations(found: Found, tolerations: Iterable[Item], path: str) -> None:
    for index, toleration in enumerate(tolerations):
        at = f"{path}[{index}]"
        key, value, operator = (toleration.get(name) or "" for name in ("key", "value", "operator"))
        if key:
            found.because(f"{at}.key", key, names.qualified(key))
        if operator == "Exists":
            if value:
                found.invalid(f"{at}.value", value, "must be empty for operator `Exists`")
        elif operator == "Equal":
            found.because(f"{at}.value", value, names.label_value(value))
        elif operator:
            found.unsupported(f"{at}.operator", operator, ("Equal", "Exists"))
        else:
            found.required(f"{at}.operator")
        effect = toleration.get("effect")
        if effect and effect not in EFFECTS:
            found.unsupported(f"{at}.effect", effect, EFFECTS)


def _validate_exact(found: Found, request: Item, path: str) -> None:
    name = request.get("deviceClassName") or ""
    if name:
        found.because(f"{path}.deviceClassName", name, names.subdomain(name))
    else:
        found.required(f"{path}.deviceClassName")
    _validate_selectors(found, request.get("selectors") or (), f"{path}.selectors")
    mode, count = request.get("allocationMode") or "", request.get("count") or 0
    if mode == "All":
        if count:
            found.invalid(f"{path}.count", count, f"must not be specified when allocationMode is '{mode}'")
    elif mode == "ExactCount":
        if count <= 0:
            found.invalid(f"{path}.count", count, NOT_POSITIVE)
    else:
        found.unsupported(f"{path}.allocationMode", mode, MODES)
    if request.get("adminAccess"):
        found.forbidden(f"{path}.adminAccess", "unsupported: adminAccess")
    _validate_tolerations(found, request.get("tolerations") or (), f"{path}.tolerations")


def _validate_request(found: Found, request: Item, path: str) -> None:
    name, exactly, first = request.get("name") or "", request.get("exactly"), request.get("firstAvailable") or ()
    found.because(f"{path}.name", name, names.label(name))
    one = "exactly one of `exactly` or `firstAvailable` is required"
    if exactly is not None and first:
        found.invalid(path, None, f"{one}, but multiple fields are set")
    elif exactly is not None:
        _validate_exact(found, exactly, f"{path}.exactly")
    elif not first:
        found.required(path, one)
    elif _limited(found, first, f"{path}.firstAvailable", ALTERNATIVES):
        for index, part in enumerate(first):
            at = f"{path}.firstAvailable[{index}]"
            found.because(f"{at}.name", part.get("name") or "", names.label(part.get("name") or ""))
            _validate_exact(found, part, at)
        unique(found, first, f"{path}.firstAvailable", "name")


def request_names(devices: Item | None) -> set[str]:
    """Every request by name, and every alternative by "REQUEST/NAME"."""
    known = set()
    for request in (devices or {}).get("requests") or ():
        name = request.get("name") or ""
        known.add(name)
        known |= {f"{name}/{part.get('name') or ''}" for part in request.get("firstAvailable") or ()}
    return known


def _validate_references(found: Found, listed: Sequence[str], path: str, known: set[str]) -> None:
    if not _limited(found, listed, path, REQUESTS):
        return
    for index, name in enumerate(listed):
        _validate_reference(found, name, f"{path}[{index}]", known)
        if name in listed[:index]:
            found.duplicate(f"{path}[{index}]", name)


def _validate_reference(found: Found, name: str, path: str, known: set[str]) -> None:
    if name.count("/") <= 1:
        for part in name.split("/"):
            found.because(path, part, names.label(part))
    if name not in known:
        found.invalid(path, name, NO_SUCH_REQUEST)


def _validate_raw(found: Found, value: Any, path: str) -> None:
    if value is None:
        found.required(path)
    elif len(msgspec.json.encode(value)) > DATA_LIMIT_BYTES:
        found.too_long(path, DATA_LIMIT_BYTES)
    elif not isinstance(value, dict):
        found.invalid(path, "<value omitted>", "must be a valid JSON object")


def _validate_configs(found: Found, configs: Sequence[Item], path: str, known: set[str] | None, limit: int) -> None:
    """`known`: the requests that a configuration may name; None: it names none (a class)."""
    if not _limited(found, configs, path, limit):
        return
    for index, config in enumerate(configs):
        at = f"{path}[{index}]"
        if known is not None:
            _validate_references(found, config.get("requests") or (), f"{at}.requests", known)
        opaque = config.get("opaque")
        if opaque is None:
            found.required(f"{at}.opaque")
            continue
        validate_driver(found, opaque.get("driver") or "", f"{at}.opaque.driver")
        _validate_raw(found, opaque.get("parameters"), f"{at}.opaque.parameters")


def _validate_devices(found: Found, devices: Item, path: str) -> None:
    requests, constraints = devices.get("requests") or (), devices.get("constraints") or ()
    known = request_names(devices)
    if _limited(found, requests, f"{path}.requests", REQUESTS):
        for index, request in enumerate(requests):
            _validate_request(found, request, f"{path}.requests[{index}]")
        unique(found, requests, f"{path}.requests", "name")
    if _limited(found, constraints, f"{path}.constraints", CONSTRAINTS):
        for index, constraint in enumerate(constraints):
            at = f"{path}.constraints[{index}]"
            _validate_references(found, constraint.get("requests") or (), f"{at}.requests", known)
            keys = [key for key in ("matchAttribute", "distinctAttribute") if constraint.get(key) is not None]
            if not keys:
                need = 'exactly one of "matchAttribute" or "distinctAttribute" is required'
                found.required(at, f"{need}, but multiple fields are set")  # the original's words
            else:
                validate_qualified(found, constraint[keys[0]], f"{at}.{keys[0]}", full=True)
    _validate_configs(found, devices.get("config") or (), f"{path}.config", known, CONFIGS)


def _default_claim(claim: Object) -> None:
    default_requests((claim.get("spec") or {}).get("devices"))


def _default_template(template: Object) -> None:
    default_requests(((template.get("spec") or {}).get("spec") or {}).get("devices"))


def _validate_new(check: Callable[[Found, Object], None]) -> Callable[[Object], Sequence[Cause]]:
    """The spec never changes, so it is only looked at when it comes."""

    def validate(object: Object) -> Sequence[Cause]:
        found = Found()
        check(found, object)
        return found.causes

    return validate


def _check_claim(found: Found, claim: Object) -> None:
    _validate_devices(found, (claim.get("spec") or {}).get("devices") or {}, "spec.devices")


def _check_template(found: Found, template: Object) -> None:
    spec = template.get("spec") or {}
    metadata = spec.get("metadata") or {}
    validate_labels(found, metadata.get("labels") or {}, "spec.metadata.labels")
    validate_annotations(found, metadata.get("annotations") or {}, "spec.metadata.annotations")
    _validate_devices(found, (spec.get("spec") or {}).get("devices") or {}, "spec.spec.devices")


def _validate_spec_update(new: Object, old: Object) -> Sequence[Cause]:
    found = Found()
    immutable(found, new.get("spec"), old.get("spec"), "spec")
    return found.causes


def _validate_result(found: Found, result: Item, path: str, known: set[str]) -> None:
    _validate_reference(found, result.get("request") or "", f"{path}.request", known)
    validate_driver(found, result.get("driver") or "", f"{path}.driver")
    validate_pool(found, result.get("pool") or "", f"{path}.pool")
    device = result.get("device") or ""
    found.because(f"{path}.device", device, names.label(device))


def _validate_allocation(found: Found, allocation: Item, known: set[str]) -> None:
    path = "status.allocation.devices"
    devices = allocation.get("devices") or {}
    results, configs = devices.get("results") or (), devices.get("config") or ()
    if _limited(found, results, f"{path}.results", RESULTS):
        for index, result in enumerate(results):
            _validate_result(found, result, f"{path}.results[{index}]", known)
    for index, config in enumerate(configs):
        source = config.get("source") or ""
        if not source:
            found.required(f"{path}.config[{index}].source")
        elif source not in ("FromClaim", "FromClass"):
            found.unsupported(f"{path}.config[{index}].source", source, ("FromClaim", "FromClass"))
    _validate_configs(found, configs, f"{path}.config", known, 2 * CONFIGS)
    if allocation.get("nodeSelector") is not None:
        validate_node_selector(found, allocation["nodeSelector"], "status.allocation.nodeSelector")


def _device(result: Item) -> tuple[Any, ...]:
    return tuple(result.get(key) or "" for key in ("driver", "pool", "device", "shareID"))


def _devices_of(claim: Object) -> set[tuple[Any, ...]]:
    allocation = (claim.get("status") or {}).get("allocation") or {}
    return {_device(result) for result in (allocation.get("devices") or {}).get("results") or ()}


def _validate_status(new: Object, old: Object) -> Sequence[Cause]:
    found = Found()
    status, before = new.get("status") or {}, old.get("status") or {}
    reserved, path = status.get("reservedFor") or [], "status.reservedFor"
    if _limited(found, reserved, path, RESERVED):
        for index, user in enumerate(reserved):
            for key in ("resource", "name", "uid"):
                if not user.get(key):
                    found.required(f"{path}[{index}].{key}")
            if user.get("uid") in [other.get("uid") for other in reserved[:index]]:
                found.duplicate(f"{path}[{index}]", user.get("uid"))
    allocation = status.get("allocation")
    if reserved and allocation is None:
        found.forbidden(path, "may not be specified when `allocated` is not set")
    leaving = bool(new.get("metadata", {}).get("deletionTimestamp"))
    if leaving and any(user not in (before.get("reservedFor") or []) for user in reserved):
        why = "new entries may not be added while `deallocationRequested` or `deletionTimestamp` are set"
        found.forbidden(path, why)
    given = _devices_of(new)
    for index, device in enumerate(status.get("devices") or ()):
        if _device(device) not in given:
            shown = "/".join(filter(None, _device(device)))
            found.invalid(f"status.devices[{index}]", shown, "must be an allocated device in the claim")
    if before.get("allocation") is not None and allocation is not None:
        immutable(found, allocation, before["allocation"], "status.allocation")
    elif allocation is not None:
        _validate_allocation(found, allocation, request_names((new.get("spec") or {}).get("devices")))
    return found.causes


def _prepare_status(new: Object, old: Object) -> None:
    """What is told of a device goes with its allocation."""
    take_status_only(new, old)
    status = new.get("status") or {}
    gone = _devices_of(old) - _devices_of(new)
    if status.get("devices") and gone:
        left = [device for device in status["devices"] if _device(device) not in gone]
        new["status"] = {**status, "devices": left}
        if not left:
            del new["status"]["devices"]


def _validate_class(object: Object) -> Sequence[Cause]:
    found = Found()
    spec = object.get("spec") or {}
    _validate_selectors(found, spec.get("selectors") or (), "spec.selectors")
    _validate_configs(found, spec.get("config") or (), "spec.config", None, CONFIGS)
    name = spec.get("extendedResourceName")
    if name is not None and not is_extended(name):
        found.invalid("spec.extendedResourceName", name, "must be a valid extended resource name")
    return found.causes


def _drop_status(object: Object) -> None:
    object["status"] = {}


def _keep_status(new: Object, old: Object) -> None:
    kept(new, old, "status")


CLAIM = Rules(
    default=_default_claim,
    prepare_create=_drop_status,
    prepare_update=_keep_status,
    prepare_status=_prepare_status,
    validate_create=_validate_new(_check_claim),
    validate_update=_validate_spec_update,
    validate_status=_validate_status,
)
TEMPLATE = Rules(
    default=_default_template, validate_create=_validate_new(_check_template), validate_update=_validate_spec_update
)
CLASS = Rules(validate=_validate_class, generation=True)
