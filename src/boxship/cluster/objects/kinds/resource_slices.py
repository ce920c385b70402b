"""ResourceSlice: the devices that a driver has.

Source: pkg/apis/resource/validation, documentation "Dynamic Resource Allocation".
"""

import re
from collections.abc import Mapping, Sequence
from typing import Any

from boxship.cluster.objects import Object, names
from boxship.cluster.objects.failure import Cause
from boxship.cluster.objects.kinds.checking import NOT_POSITIVE, Found, immutable, unique
from boxship.cluster.objects.kinds.core_placement import validate_node_selector
from boxship.cluster.objects.kinds.core_resources import parsed
from boxship.cluster.objects.kinds.core_volume_sources import validate_driver
from boxship.cluster.objects.kinds.resource_claims import validate_pool, validate_qualified
from boxship.cluster.objects.quantity import Quantity
from boxship.cluster.objects.rules import Rules

DEVICES, DEVICES_WITH_EXTRAS, COUNTER_SETS, COUNTERS, CONSUMPTIONS = 128, 64, 8, 32, 2
ATTRIBUTES, TAINTS, BINDING_CONDITIONS = 32, 16, 4
VALUE_LIMIT = 64
POLICY_VALUES = 10
EFFECTS = ("NoExecute", "NoSchedule", "None")
VALUES = ("bool", "int", "string", "version")
_NUMBER, _PART = r"(0|[1-9]\d*)", r"(0|[1-9]\d*|\d*[a-zA-Z-][0-9a-zA-Z-]*)"
SEMANTIC = re.compile(
    rf"{_NUMBER}\.{_NUMBER}\.{_NUMBER}(-{_PART}(\.{_PART})*)?(\+[0-9a-zA-Z-]+(\.[0-9a-zA-Z-]+)*)?", re.ASCII
)
ONE_PLACE = "exactly one of `nodeName`, `nodeSelector`, `allNodes`, `perDeviceNodeSelection` is required"
ONE_PER_DEVICE = (
    "exactly one of `nodeName`, `nodeSelector`, or `allNodes` is required when `perDeviceNodeSelection` is set to true "
    "in the ResourceSlice spec"
)
Item = Mapping[str, Any]


def _places(found: Found, part: Item, path: str, empty: str, switches: Sequence[str]) -> list[str]:
    """Which of the ways to say the nodes are used."""
    used = []
    name, selector = part.get("nodeName"), part.get("nodeSelector")
    if name:
        used.append("`nodeName`")
        found.because(f"{path}.nodeName", name, names.subdomain(name))
    elif name is not None:
        found.invalid(f"{path}.nodeName", name, empty)
    if selector is not None:
        used.append("`nodeSelector`")
        validate_node_selector(found, selector, f"{path}.nodeSelector")
    for key in switches:
        if part.get(key) is True:
            used.append(f"`{key}`")
        elif part.get(key) is not None:
            found.invalid(f"{path}.{key}", part[key], "must be either unset or set to true")
    return used


def _validate_attributes(found: Found, device: Item, path: str) -> None:
    attributes, capacity = device.get("attributes") or {}, device.get("capacity") or {}
    count = len(attributes) + len(capacity)
    if count > ATTRIBUTES:
        found.invalid(path, count, f"the total number of attributes and capacities must not exceed {ATTRIBUTES}")
    for key, attribute in attributes.items():
        at = f"{path}.attributes[{key}]"
        validate_qualified(found, key, at)
        given = [name for name in VALUES if attribute.get(name) is not None]
        for name in ("string", "version"):
            if len((attribute.get(name) or "").encode()) > VALUE_LIMIT:
                found.too_long(f"{at}.{name}", VALUE_LIMIT)
        version = attribute.get("version")
        if version is not None and not SEMANTIC.fullmatch(version):
            found.invalid(f"{at}.version", version, "must be a string compatible with semver.org spec 2.0.0")
        if len(given) != 1:
            found.invalid(at, attribute if given else "", "exactly one value must be specified")
    for key, amount in capacity.items():
        at = f"{path}.capacity[{key}]"
        validate_qualified(found, key, at)
        policy = amount.get("requestPolicy")
        if policy is not None and not device.get("allowMultipleAllocations"):
            found.forbidden(f"{at}.requestPolicy", "allowMultipleAllocations must be true")
        elif policy is not None:
            _validate_policy(found, policy, parsed(amount.get("value")), f"{at}.requestPolicy")


def _validate_policy(found: Found, policy: Item, whole: Quantity, path: str) -> None:
    """How much of a capacity may be asked for: one of some amounts, or an amount in a range."""
    values, span, default = policy.get("validValues") or [], policy.get("validRange"), policy.get("default")
    if values and span is not None:
        one = "exactly one policy can be specified"
        found.forbidden(path, f'{one}, cannot specify "validValues" and "validRange" at the same time')
        return
    key = "validValues" if values else "validRange" if span is not None else ""
    if key and default is None:
        found.required(f"{path}.default", f"required when {key} is defined")
    elif values:
        _validate_values(found, values, parsed(default), whole, f"{path}.validValues")
    elif span is not None:
        _validate_span(found, span, parsed(default), whole, f"{path}.validRange")


def _validate_values(found: Found, values: Sequence[Any], default: Quantity, whole: Quantity, path: str) -> None:
    if len(values) > POLICY_VALUES:
        found.too_many(path, len(values), POLICY_VALUES)
        return
    amounts = [parsed(value) for value in values]
    for index, amount in enumerate(amounts):
        if index and amount < amounts[index - 1]:
            found.invalid(f"{path}[{index}]", amount.text, "values must be sorted in ascending order")
        if amount > whole:
            found.invalid(f"{path}[{index}]", amount.text, f"option is larger than capacity value: {whole.text}")
        if amount in amounts[:index]:
            found.duplicate(f"{path}[{index}]", amount.text)
    if default not in amounts:
        found.invalid(path, default.text, "default value is not valid according to the requestPolicy")


def _validate_span(found: Found, span: Item, default: Quantity, whole: Quantity, path: str) -> None:
    if span.get("min") is None:
        found.required(f"{path}.min", "required when validRange is defined")
        return
    least = parsed(span["min"])
    if least > whole:
        found.invalid(f"{path}.min", least.text, f"min is larger than capacity value: {whole.text}")
    if default < least:
        found.invalid(f"{path}.min", default.text, f"default is less than min: {least.text}")
    ends = [default]
    if span.get("max") is not None:
        most = parsed(span["max"])
        ends.append(most)
        if least > most:
            found.invalid(f"{path}.max", least.text, f"min is larger than max: {most.text}")
        if most > whole:
            found.invalid(f"{path}.max", most.text, f"max is larger than capacity value: {whole.text}")
        if default > most:
            found.invalid(f"{path}.max", default.text, f"default is more than max: {most.text}")
    if span.get("step") is None:
        return
    step = parsed(span["step"])
    if least + step > whole:
        why = f"one step {(least + step).text} is larger than capacity value: {whole.text}"
        found.invalid(f"{path}.step", step.text, why)
    for end in ends:
        if not step.value or (end.value - least.value) % step.value:
            why = f"value is not a multiple of a given step ({step.text}) from ({least.text})"
            found.invalid(f"{path}.step", end.text, why)


def _validate_taints(found: Found, taints: Sequence[Item], path: str) -> None:
    if len(taints) > TAINTS:
        found.too_many(path, len(taints), TAINTS)
        return
    for index, taint in enumerate(taints):
        at = f"{path}[{index}]"
        key, value, effect = (taint.get(name) or "" for name in ("key", "value", "effect"))
        found.because(f"{at}.key", key, names.qualified(key))
        if value:
            found.because(f"{at}.value", value, names.label_value(value))
        if not effect:
            found.required(f"{at}.effect")
        elif effect not in EFFECTS:
            found.unsupported(f"{at}.effect", effect, EFFECTS)


def _validate_counters(found: Found, part: Item, key: str, path: str) -> None:
    name, counters = part.get(key) or "", part.get("counters") or {}
    if name:
        found.because(f"{path}.{key}", name, names.label(name))
    else:
        found.required(f"{path}.{key}")
    if not counters:
        found.required(f"{path}.counters")
    elif len(counters) > COUNTERS:
        found.too_many(f"{path}.counters", len(counters), COUNTERS)
    for counter in counters:
        found.because(f"{path}.counters[{counter}]", counter, names.label(counter))


def _validate_device(found: Found, device: Item, path: str, per_device: bool) -> None:
    name = device.get("name") or ""
    found.because(f"{path}.name", name, names.label(name))
    _validate_attributes(found, device, path)
    _validate_taints(found, device.get("taints") or (), f"{path}.taints")
    consumed = device.get("consumesCounters") or ()
    if len(consumed) > CONSUMPTIONS:
        found.too_many(f"{path}.consumesCounters", len(consumed), CONSUMPTIONS)
    for index, part in enumerate(consumed):
        _validate_counters(found, part, "counterSet", f"{path}.consumesCounters[{index}]")
    unique(found, consumed, f"{path}.consumesCounters", "counterSet")
    places = ("nodeName", "nodeSelector", "allNodes")
    if per_device:
        used = _places(found, device, path, "must not be empty", ("allNodes",))
        if not used:
            found.required(path, ONE_PER_DEVICE)
        elif len(used) > 1:
            found.invalid(path, f"{{{', '.join(used)}}}", ONE_PER_DEVICE)
    elif any(device.get(key) is not None for key in places):
        listed = "`nodeName`, `nodeSelector` and `allNodes` can only be set if `perDeviceNodeSelection` is set to true"
        found.invalid(path, None, f"{listed} in the ResourceSlice spec")
    for key in ("bindingConditions", "bindingFailureConditions"):
        conditions = device.get(key) or ()
        if len(conditions) > BINDING_CONDITIONS:
            found.too_many(f"{path}.{key}", len(conditions), BINDING_CONDITIONS)
        for index, condition in enumerate(conditions):
            found.because(f"{path}.{key}[{index}]", condition, names.qualified(condition))


def _validate_pool(found: Found, pool: Item) -> None:
    validate_pool(found, pool.get("name") or "", "spec.pool.name")
    count, generation = pool.get("resourceSliceCount") or 0, pool.get("generation") or 0
    if count <= 0:
        found.invalid("spec.pool.resourceSliceCount", count, NOT_POSITIVE)
    if generation < 0:
        found.invalid("spec.pool.generation", generation, "must be greater than or equal to zero")


def _validate(object: Object) -> Sequence[Cause]:
    found = Found()
    spec = object.get("spec") or {}
    validate_driver(found, spec.get("driver") or "", "spec.driver")
    _validate_pool(found, spec.get("pool") or {})
    empty = "must be either unset or set to a non-empty string"
    used = _places(found, spec, "spec", empty, ("allNodes", "perDeviceNodeSelection"))
    terms = (spec.get("nodeSelector") or {}).get("nodeSelectorTerms") or []
    if spec.get("nodeSelector") is not None and len(terms) != 1:
        why = "must have exactly one node selector term"
        found.invalid("spec.nodeSelector.nodeSelectorTerms", terms, why)
    if not used:
        found.required("spec", ONE_PLACE)
    elif len(used) > 1:
        found.invalid("spec", f"{{{', '.join(used)}}}", f"{ONE_PLACE}, but multiple fields are set")
    devices, shared = spec.get("devices"), spec.get("sharedCounters")
    if devices is not None and shared is not None:
        found.invalid("spec", "", "only one of `sharedCounters` or `devices` is allowed")
    devices, shared = devices or (), shared or ()
    extras = any(device.get("taints") or device.get("consumesCounters") for device in devices)
    limit = DEVICES_WITH_EXTRAS if extras else DEVICES
    if len(devices) > limit:
        found.too_many("spec.devices", len(devices), limit)
        return found.causes
    for index, device in enumerate(devices):
        _validate_device(found, device, f"spec.devices[{index}]", spec.get("perDeviceNodeSelection") is True)
    unique(found, devices, "spec.devices", "name")
    if len(shared) > COUNTER_SETS:
        found.too_many("spec.sharedCounters", len(shared), COUNTER_SETS)
    for index, part in enumerate(shared):
        _validate_counters(found, part, "name", f"spec.sharedCounters[{index}]")
    unique(found, shared, "spec.sharedCounters", "name")
    return found.causes


def _validate_update(new: Object, old: Object) -> Sequence[Cause]:
    found = Found()
    after, before = new.get("spec") or {}, old.get("spec") or {}
    pools = [(spec.get("pool") or {}).get("name") for spec in (after, before)]
    immutable(found, pools[0], pools[1], "spec.pool.name")
    for key in ("driver", "nodeName"):
        immutable(found, after.get(key), before.get(key), f"spec.{key}")
    return found.causes


def _fields(object: Object) -> dict[str, str]:
    spec = object.get("spec") or {}
    return {f"spec.{key}": spec.get(key) or "" for key in ("driver", "nodeName")}


SLICE = Rules(validate=_validate, validate_update=_validate_update, fields=_fields, generation=True)
