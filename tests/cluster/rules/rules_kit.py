"""For the tests of rules: well-typed objects at random, and short ways to ask the rules of a kind."""

import random
from typing import Any

from boxship.cluster.objects import catalog, validation
from boxship.cluster.objects.copies import copied
from boxship.cluster.objects.kinds import rules_of
from boxship.cluster.objects.schema.builtin import load
from boxship.cluster.objects.schema.types import Form, Type

SCHEMAS = load(None)
TEXTS = (
    "",
    "a",
    "x",
    "web",
    "a.b/c",
    "A_b",
    "-",
    "10.0.0.1",
    "fe80::1",
    "25%",
    "http",
    "None",
    "1.5",
    "日本",
    "kubernetes.io/x",
)
AMOUNTS = ("0", "1", "100m", "1Gi", "2", "-1", "1500m", "3n")
GROUPS = ("", "apps", "batch", "autoscaling", "policy")
# Texts that come from rules' tables often make them go further than any random ones.
WORDS = (
    "Always Never OnFailure IfNotPresent TCP UDP ClusterIP NodePort LoadBalancer ExternalName ClientIP Cluster Local "
    "In NotIn Exists DoesNotExist Equal NoSchedule NoExecute RollingUpdate OnDelete Recreate Retain Delete Indexed "
    "NonIndexed Allow Forbid FailJob Ignore Pods Resource Utilization Localhost RuntimeDefault Container Pod "
    "ReadWriteOnce Filesystem Block SingleStack PreferDualStack IPv4 IPv6 linux windows Default v1 metadata.name "
    "limits.cpu cpu memory hugepages-2Mi example.com/gpu kubernetes.io/tls Opaque Terminating BestEffort true"
).split()


def made(type_: Type, chance: random.Random, depth: int = 0) -> Any:
    """A value of the type: any shape that decoding lets through."""
    form = type_.form
    if form is Form.OBJECT:
        keep = 0.5 if depth < 4 else 0.25
        return {
            key: made(field, chance, depth + 1)
            for key, field in type_.fields.items()
            if depth < 14 and (key in type_.required or chance.random() < keep)
        }
    if form is Form.MAP:
        items = type_.items or Type(Form.STRING)
        return {chance.choice((*TEXTS, *WORDS)): made(items, chance, depth + 1) for _ in range(chance.randrange(3))}
    if form is Form.LIST:
        items = type_.items or Type(Form.STRING)
        return [made(items, chance, depth + 1) for _ in range(chance.choice((0, 1, 1, 2, 3)))]
    if form is Form.INTEGER:
        return chance.choice((0, 1, 2, -1, 80, 420, 65535, 65536, 2**31 - 1, 100_001))
    if form is Form.NUMBER:
        return chance.choice((0, 1.5, -1))
    if form is Form.BOOLEAN:
        return chance.random() < 0.5
    if form is Form.INT_OR_STRING:
        return chance.choice((0, 1, 80, -1, "25%", "101%", "http", "", "x%"))
    if form is Form.QUANTITY:
        return chance.choice(AMOUNTS)
    if form in (Form.TIME, Form.MICRO_TIME):
        return chance.choice(("2026-01-02T03:04:05Z", "2026-01-02T03:04:06Z"))
    if form is Form.BYTES:
        return chance.choice(("", "e30=", "YQ==", "bm90IGpzb24="))
    if form is Form.ANY:
        return chance.choice(({}, {"a": 1}, [], "x"))
    return chance.choice(type_.choices or (*TEXTS, *WORDS, *WORDS))


def kinds() -> list[tuple[str, str, str]]:
    """(group, version, kind) of everything that these rules are for, in the version that is kept."""
    found = []
    for resource in catalog.RESOURCES:
        if resource.group in GROUPS and resource.stored and resource.api_version == resource.storage_version:
            found.append((resource.group, resource.version, resource.kind))
    return sorted(set(found))


def defaulted(group: str, kind: str, object: dict[str, Any]) -> dict[str, Any]:
    object = copied(object)
    rules_of(group, kind).default(object)
    return object


def created(group: str, kind: str, object: dict[str, Any]) -> dict[str, Any]:
    """As a create leaves it, before validation."""
    object = copied(object)
    rules = rules_of(group, kind)
    rules.default(object)
    rules.prepare_create(object)
    return object


def causes(group: str, kind: str, object: dict[str, Any], *, new: bool = True) -> list[str]:
    """What is wrong, as "PATH: MESSAGE"."""
    rules = rules_of(group, kind)
    found = list(rules.validate(object))
    if new:
        found += rules.validate_create(object)
    return [f"{cause.field}: {cause.message}" for cause in found]


def refused(group: str, kind: str, object: dict[str, Any]) -> list[str]:
    """The causes of a create of the object."""
    return causes(group, kind, created(group, kind, object))


def updated(group: str, kind: str, old: dict[str, Any], new: dict[str, Any]) -> list[str]:
    """The causes of an update of one to the other, both as clients write them."""
    rules = rules_of(group, kind)
    before = created(group, kind, old)
    after = copied(new)
    rules.default(after)
    rules.prepare_update(after, before)
    found = [*rules.validate(after), *rules.validate_update(after, before)]
    return [f"{cause.field}: {cause.message}" for cause in found]


def read(group: str, version: str, kind: str, object: dict[str, Any]) -> dict[str, Any]:
    """As the API reads it: pruned, coerced."""
    result, _, _ = validation.read(copied(object), SCHEMAS.type_of(group, version, kind), "Ignore")
    return result


def changed(object: dict[str, Any], path: str, value: Any) -> dict[str, Any]:
    """A copy with `value` at `path` ("spec.containers.0.image"); None takes away."""
    copy: Any = copied(object)
    place = copy
    *keys, last = path.split(".")
    for key in keys:
        if isinstance(place, list):
            while len(place) <= int(key):
                place.append({})
            place = place[int(key)]
        else:
            if place.get(key) is None:
                place[key] = {}
            place = place[key]
    if isinstance(place, list):
        place[int(last) : int(last) + 1] = [value]
    elif value is None:
        place.pop(last, None)
    else:
        place[last] = value
    return copy
