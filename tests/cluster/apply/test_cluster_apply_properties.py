"""Server-side apply: what must hold after any writes in any order."""

import copy
import json
from typing import Any

import apply_kit as kit
from apply_kit import applied, owners, thing, updated
from hypothesis import given, settings
from hypothesis import strategies as st

from boxship.cluster.objects.apply import entries, extent, fields
from boxship.cluster.objects.failure import Failure
from boxship.cluster.objects.patch import merge

TEXTS = st.sampled_from(["p", "q", "r"])
KEYS = st.sampled_from(["k", "l", "m"])


def some(**parts: st.SearchStrategy[Any]) -> st.SearchStrategy[dict[str, Any]]:
    return st.fixed_dictionaries({}, optional=parts)


SETS = st.lists(TEXTS, min_size=1, max_size=3, unique=True)
ITEMS = st.lists(
    st.builds(lambda key, rest: {"key": key, **rest}, KEYS, some(value=TEXTS, count=st.integers(0, 2), tags=SETS)),
    min_size=1,
    max_size=3,
    unique_by=lambda item: str(item["key"]),
)
FREE = st.dictionaries(
    KEYS, st.one_of(TEXTS, SETS, st.dictionaries(KEYS, TEXTS, min_size=1, max_size=2)), min_size=1, max_size=2
)
SPECS = some(
    text=TEXTS,
    number=st.integers(0, 2),
    set=SETS,
    items=ITEMS,
    atomic=st.lists(some(key=TEXTS), min_size=1, max_size=2),
    whole=st.fixed_dictionaries({"a": TEXTS}),
    map=st.dictionaries(KEYS, TEXTS, min_size=1, max_size=2),
    struct=st.fixed_dictionaries({"a": TEXTS}, optional={"b": TEXTS}),
    free=FREE,
)
MANAGERS = st.sampled_from(["one", "two", "three"])
STEPS = st.lists(
    st.tuples(st.sampled_from(["apply", "force", "update", "merge"]), MANAGERS, SPECS), min_size=1, max_size=7
)


def plain(value: Any) -> Any:
    """The value with lists in one order."""
    if isinstance(value, dict):
        return {key: plain(part) for key, part in value.items()}
    if isinstance(value, list):
        return sorted((plain(part) for part in value), key=lambda part: json.dumps(part, sort_keys=True))
    return value


def all_owned(object: Any) -> fields.Fields:
    found: fields.Fields = {}
    for spec in owners(object).values():
        found = fields.union(found, spec)
    return found


def leaves(node: fields.Fields) -> fields.Fields:
    """The set without the maps and lists on the way."""
    return {key: leaves(below) for key, below in node.items() if key != fields.SELF}


def run(steps: list[tuple[str, str, dict[str, Any]]]) -> Any:
    live = None
    for at, (kind, manager, spec) in enumerate(steps):
        kept = json.dumps(live)
        before = live
        try:
            if kind in ("apply", "force"):
                live = applied(live, spec or None, manager, at, force=kind == "force")
            elif kind == "update":
                live = updated(live, spec, f"w-{manager}", at)
            else:
                patched = merge(live or thing(), {"spec": {**spec, "number": None}})
                live = updated(live, patched, f"w-{manager}", at)
        except Failure as refused:
            assert kind == "apply"
            assert refused.code == 409
        assert json.dumps(before) == kept
        check(live)
    return live


def check(live: Any) -> None:
    """Every leaf has an owner, nobody owns what is not there, entries are canonical. Where nobody is left, nothing is
    noted before the next apply."""
    if live is None or "managedFields" not in live["metadata"]:
        return
    spec = live.get("spec", {})
    there = extent.all_fields(spec, kit.THING.fields["spec"])
    owned = all_owned(live)
    missing = fields.difference(leaves(there), owned)
    assert not missing or not spec, (missing, live)
    assert not fields.difference(leaves(owned), with_parents(there)), (owned, live)
    for entry in live["metadata"].get("managedFields", ()):
        assert entry["fieldsV1"] == fields.checked(entry["fieldsV1"])
        assert json.dumps(entry["fieldsV1"]) == json.dumps(fields.ordered(entry["fieldsV1"]))
        assert entry["fieldsV1"]
    assert entries.written(entries.read(live["metadata"].get("managedFields", []))) == live["metadata"].get(
        "managedFields", []
    )


def with_parents(node: fields.Fields) -> fields.Fields:
    return {key: {fields.SELF: {}, **with_parents(below)} if below else below for key, below in node.items()}


@settings(max_examples=150, deadline=None)
@given(STEPS)
def test_ownership_holds_after_any_writes(steps: list[tuple[str, str, dict[str, Any]]]) -> None:
    run(steps)


@settings(max_examples=100, deadline=None)
@given(STEPS, MANAGERS, SPECS)
def test_a_forced_apply_is_in_force_and_idempotent(steps: Any, manager: str, spec: dict[str, Any]) -> None:
    live = run(steps)
    once = applied(live, spec, manager, 20, force=True)
    config = extent.applied_fields(thing(**spec), kit.THING)
    assert fields.contains(extent.all_fields(once, kit.THING), config)
    merged = applied(copy.deepcopy(once), spec, manager, 21)
    assert merged == once
    entry = next(
        one for one in once["metadata"]["managedFields"] if (one["manager"], one["operation"]) == (manager, "Apply")
    )
    assert entry["fieldsV1"] == fields.difference(
        config, {"f:apiVersion": {}, "f:kind": {}, "f:metadata": config["f:metadata"]}
    )


@settings(max_examples=100, deadline=None)
@given(st.lists(SPECS, min_size=1, max_size=4))
def test_a_single_manager_gets_what_it_applied_last(specs: list[dict[str, Any]]) -> None:
    live = None
    for at, spec in enumerate(specs):
        live = applied(live, spec or None, at=at)
    assert live is not None
    assert plain(live.get("spec", {})) == plain(specs[-1])
    assert json.dumps(live.get("spec", {}).get("set")) == json.dumps(specs[-1].get("set"))


@settings(max_examples=100, deadline=None)
@given(SPECS, SPECS)
def test_two_managers_may_apply_in_any_order(one: dict[str, Any], two: dict[str, Any]) -> None:
    results = []
    for first, second in ((("one", one), ("two", two)), (("two", two), ("one", one))):
        try:
            live = applied(None, first[1], first[0], 1)
            live = applied(live, second[1], second[0], 1)
        except Failure as refused:
            assert refused.code == 409
            results.append("conflict")
        else:
            results.append(json.dumps([plain(live["spec"]), owners(live)], sort_keys=True))
    assert results[0] == results[1]


@settings(max_examples=100, deadline=None)
@given(SPECS, SPECS)
def test_leaving_gives_back_what_the_other_has(one: dict[str, Any], two: dict[str, Any]) -> None:
    try:
        live = applied(applied(None, one or None, "one"), two or None, "two", 1)
    except Failure:
        return
    left = applied(live, None, "one", 2)
    alone = applied(None, two or None, "two", 1)
    assert plain(left.get("spec", {})) == plain(alone.get("spec", {}))


SETS_OF_FIELDS = st.recursive(
    st.just({}),
    lambda inner: st.dictionaries(st.sampled_from([".", "f:a", "f:b", 'k:{"k":1}', 'v:"x"']), inner, max_size=3).map(
        lambda node: {key: {} if key == "." else below for key, below in node.items()} if set(node) != {"."} else {}
    ),
    max_leaves=8,
)


def listed(node: fields.Fields) -> set[str]:
    return set(fields.paths({key: below for key, below in node.items() if key != "."}))


@settings(deadline=None)
@given(SETS_OF_FIELDS, SETS_OF_FIELDS)
def test_sets_of_fields_are_sets_of_paths(one: fields.Fields, other: fields.Fields) -> None:
    one, other = ({key: below for key, below in node.items() if key != "."} for node in (one, other))
    assert listed(fields.union(one, other)) == listed(one) | listed(other)
    assert listed(fields.intersection(one, other)) == listed(one) & listed(other)
    assert listed(fields.difference(one, other)) == listed(one) - listed(other)
    assert fields.contains(one, other) == (listed(one) >= listed(other))
    below = {
        path
        for path in listed(one)
        if not any(path == gone or path.startswith((f"{gone}.", f"{gone}[")) for gone in listed(other))
    }
    assert listed(fields.without(one, other)) == below
    assert fields.ordered(one) == one
