"""Properties of the rules of the other groups, on well-typed objects at random."""

import json
import random
from typing import Any

import pytest
from rules_kit import GROUPS, SCHEMAS, made, read

from boxship.cluster.objects import catalog
from boxship.cluster.objects.copies import copied
from boxship.cluster.objects.failure import Failure
from boxship.cluster.objects.kinds import MODULES, rules_in, rules_of
from boxship.cluster.objects.resource import Resource

ROUNDS = 200
KINDS = [
    resource
    for resource in catalog.RESOURCES
    if resource.group not in GROUPS and (resource.api_version == resource.storage_version or not resource.stored)
]


def test_every_built_in_kind_has_rules() -> None:
    assert {resource.group for resource in catalog.RESOURCES} <= set(MODULES)
    without = [resource.kind for resource in catalog.RESOURCES if resource.kind not in rules_in(resource.group)]
    assert without == []


def without_schemas(object: dict[str, Any]) -> dict[str, Any]:
    """JSON schemas in a definition are `custom`'s, and hardly any random one can be read."""
    spec = object.get("spec")
    for version in spec.get("versions") or () if isinstance(spec, dict) else ():
        if isinstance(version, dict):
            version.pop("schema", None)
    return object


@pytest.mark.parametrize("resource", KINDS, ids=lambda resource: str(resource.qualified))
def test_rules_never_raise_and_defaults_settle(resource: Resource) -> None:
    group, version, kind = resource.group, resource.version, resource.kind
    rules = rules_of(group, kind)
    type_ = SCHEMAS.type_of(group, version, kind)
    chance = random.Random(f"{group}/{kind}")
    for _ in range(ROUNDS):
        object, old = (read(group, version, kind, without_schemas(made(type_, chance))) for _ in range(2))
        for each in (object, old):
            rules.default(each)
        once = copied(object)
        rules.default(object)
        assert object == once, "a default of a default is another"
        before = json.dumps(object, sort_keys=True)
        try:
            causes = [*rules.validate(object), *rules.validate_create(object)]
        except Failure as refused:  # reviews without a question are bad requests
            assert refused.code == 400 and not resource.stored
            causes = []
        causes += rules.validate_update(object, old)
        causes += rules.validate_status(object, old)
        assert list(rules.validate_update(object, copied(object))) == [], "an update without a change is refused"
        for cause in causes:
            assert cause.reason.startswith("FieldValue") and cause.message and cause.field, cause
        assert all(isinstance(text, str) for text in rules.warnings(object))
        assert all(isinstance(text, str) for text in rules.fields(object).values())
        assert json.dumps(object, sort_keys=True) == before, "looking changed the object"
        new = copied(object)
        rules.prepare_update(new, old)
        rules.prepare_status(copied(object), old)
        rules.prepare_create(new)
        rules.default(new)
