"""Properties of the rules of core, apps, batch, autoscaling and policy, on well-typed objects at random."""

import json
import random

import pytest
from rules_kit import SCHEMAS, kinds, made, read

from boxship.cluster.objects.copies import copied
from boxship.cluster.objects.kinds import rules_of
from boxship.cluster.objects.kinds.metadata import validate_metadata, validate_metadata_update

ROUNDS = 120


@pytest.mark.parametrize(("group", "version", "kind"), kinds())
def test_rules_never_raise_and_defaults_settle(group: str, version: str, kind: str) -> None:
    rules = rules_of(group, kind)
    type_ = SCHEMAS.type_of(group, version, kind)
    chance = random.Random(f"{group}/{kind}")
    for _ in range(ROUNDS):
        object = made(type_, chance)
        object.update({"apiVersion": f"{group}/{version}" if group else version, "kind": kind})
        object = read(group, version, kind, object)
        old = read(group, version, kind, made(type_, chance))
        for each in (object, old):
            rules.default(each)
        once = copied(object)
        rules.default(object)
        assert object == once, "a default of a default is another"
        before = json.dumps(object, sort_keys=True)
        for found in (
            rules.validate(object),
            rules.validate_create(object),
            rules.validate_update(object, old),
            rules.validate_update(object, object),
            rules.validate_status(object, old),
            validate_metadata(object, namespaced=True),
            validate_metadata_update(object, old),
        ):
            for cause in found:
                assert cause.reason.startswith("FieldValue"), cause
                assert cause.message, cause
                assert isinstance(cause.field, str), cause
        assert all(isinstance(text, str) for text in rules.warnings(object))
        assert all(isinstance(text, str) for text in rules.fields(object).values())
        assert json.dumps(object, sort_keys=True) == before, "looking changed the object"
        if rules.grace is not None:
            assert rules.grace(object, None) >= 0
        new = copied(object)
        rules.prepare_update(new, old)
        rules.prepare_status(copied(object), old)
        rules.prepare_create(new)
        rules.default(new)
