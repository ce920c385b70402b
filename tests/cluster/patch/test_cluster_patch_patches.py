"""The three patches: documented examples, the original's refusals, and properties."""

import json
import time
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from boxship.cluster.objects.failure import Failure
from boxship.cluster.objects.patch import json_patch, merge, strategic
from boxship.cluster.objects.schema.builtin import load
from boxship.cluster.objects.schema.types import Type

SCHEMAS = load(None)


def deployment_type() -> Type:
    return SCHEMAS.type_of("apps", "v1", "Deployment")


def pod_type() -> Type:
    return SCHEMAS.type_of("", "v1", "Pod")


def containers(*names: str, **more: Any) -> dict[str, Any]:
    return {"spec": {"containers": [{"name": name, "image": f"{name}:1", **more} for name in names]}}


VALUES = st.recursive(
    st.one_of(st.booleans(), st.integers(-5, 5), st.sampled_from(["", "a", "b"])),
    lambda inner: st.one_of(st.lists(inner, max_size=3), st.dictionaries(st.sampled_from("abcd"), inner, max_size=3)),
    max_leaves=8,
)
OBJECTS = st.dictionaries(st.sampled_from("abcd"), VALUES, max_size=4)


def difference(before: dict[str, Any], after: dict[str, Any]) -> dict[str, Any]:
    """The merge patch that leads from one object to the other."""
    patch: dict[str, Any] = {key: None for key in before if key not in after}
    for key, value in after.items():
        old = before.get(key)
        if isinstance(old, dict) and isinstance(value, dict):
            patch[key] = difference(old, value)
        elif key not in before or json.dumps(old) != json.dumps(value):
            patch[key] = value
    return patch


@settings(deadline=None)
@given(OBJECTS, OBJECTS)
def test_a_merge_patch_leads_from_any_object_to_any_other(before: dict[str, Any], after: dict[str, Any]) -> None:
    kept = json.dumps(before)
    assert merge(before, difference(before, after)) == after
    assert strategic(before, difference(before, after), Type(pod_type().form)) == after
    assert json.dumps(before) == kept


@settings(deadline=None)
@given(OBJECTS, OBJECTS)
def test_merging_twice_is_merging_once(before: dict[str, Any], patch: dict[str, Any]) -> None:
    once = merge(before, patch)
    assert merge(once, patch) == once


def test_a_merge_patch_must_be_an_object() -> None:
    with pytest.raises(Failure, match="cannot unmarshal array into Go value of type map") as refused:
        merge({}, [1])
    assert refused.value.code == 400


def test_results_share_nothing_with_the_object() -> None:
    before = containers("a")
    for after in (merge(before, {}), strategic(before, {}, pod_type()), json_patch(before, [])):
        after["spec"]["containers"][0]["image"] = "x"
    assert before == containers("a")


DOCUMENT = {"a": {"b": [1, 2, 3], "c~/d": 1}, "e": None}


@pytest.mark.parametrize(
    ("operations", "result"),
    [
        ([{"op": "add", "path": "/a/b/1", "value": 9}], {"b": [1, 9, 2, 3]}),
        ([{"op": "add", "path": "/a/b/-", "value": 9}], {"b": [1, 2, 3, 9]}),
        ([{"op": "add", "path": "/a/b/-1", "value": 9}], {"b": [1, 2, 3, 9]}),
        ([{"op": "remove", "path": "/a/b/0"}], {"b": [2, 3]}),
        ([{"op": "replace", "path": "/a/b/2", "value": {"x": 1}}], {"b": [1, 2, {"x": 1}]}),
        ([{"op": "replace", "path": "/a/c~0~1d", "value": 2}], {"c~/d": 2}),
        ([{"op": "replace", "path": "/a/new", "value": 2}], {"new": 2}),
        ([{"op": "move", "from": "/a/b/0", "path": "/a/x"}], {"b": [2, 3], "x": 1}),
        ([{"op": "copy", "from": "/a/b", "path": "/a/x"}], {"x": [1, 2, 3]}),
        ([{"op": "test", "path": "/a/b", "value": [1, 2, 3]}], {}),
        ([{"op": "test", "path": "/nothing", "value": None}], {}),
        ([{"op": "test", "path": "/a/b/0", "value": 1.0}], {}),
    ],
)
def test_operations(operations: list[Any], result: dict[str, Any]) -> None:
    assert json_patch(DOCUMENT, operations)["a"] == {**DOCUMENT["a"], **result}  # type: ignore[dict-item]


@pytest.mark.parametrize(
    ("operation", "why", "code"),
    [
        ({"op": "add", "path": "/x/y", "value": 1}, 'add operation does not apply: doc is missing path: "/x/y"', 422),
        ({"op": "add", "path": "/a/b/7", "value": 1}, "Unable to access invalid index: 7", 422),
        ({"op": "add", "path": "/a/b/x", "value": 1}, "value was not a proper array index: 'x'", 422),
        ({"op": "remove", "path": "/x"}, "error in remove for path: '/x': unable to remove nonexistent key: x", 422),
        ({"op": "replace", "path": "/x/y", "value": 1}, "doc is missing path: /x/y: missing value", 422),
        ({"op": "test", "path": "/a/b/0", "value": True}, "testing value /a/b/0 failed: test failed", 422),
        ({"op": "move", "from": "/a", "path": "/a/b"}, "lies in", 422),
        ({"op": "copy", "from": "/x", "path": "/y"}, "copy operation does not apply", 422),
        ({"op": "add", "path": "/x"}, "missing value", 422),
        ({"op": "jump", "path": "/x"}, "Unexpected kind: jump", 422),
        ({"path": "/x"}, "Unexpected kind: unknown", 422),
        ({"op": "remove"}, "failed to decode path", 422),
        ({"op": "add", "path": "x", "value": 1}, "doc is missing path", 422),
        ("remove", "cannot unmarshal string", 400),
    ],
)
def test_operations_that_cannot_be_done(operation: Any, why: str, code: int) -> None:
    with pytest.raises(Failure) as refused:
        json_patch(DOCUMENT, [operation])
    assert why in str(refused.value)
    assert refused.value.code == code
    assert DOCUMENT["a"]["b"] == [1, 2, 3]  # type: ignore[index]


def test_operations_have_limits() -> None:
    with pytest.raises(Failure, match="The allowed maximum operations in a JSON patch is 10000, got 10001") as refused:
        json_patch({}, [{}] * 10_001)
    assert refused.value.code == 413
    doubling = [{"op": "copy", "from": "/a", "path": "/a/-"}] * 40
    with pytest.raises(Failure, match="the accumulated size increase of copy") as refused:
        json_patch({"a": ["x" * 1000]}, doubling)
    assert refused.value.code == 413
    with pytest.raises(Failure, match="cannot unmarshal object"):
        json_patch({}, {})


@settings(deadline=None)
@given(
    OBJECTS,
    st.lists(
        st.fixed_dictionaries(
            {
                "op": st.sampled_from(["add", "remove", "replace", "move", "copy", "test"]),
                "path": st.sampled_from(["/a", "/b/a", "/c/0", "/d/-", "", "/", "/a/b/c"]),
                "from": st.sampled_from(["/a", "/b", "/c/0", ""]),
                "value": VALUES,
            }
        ),
        max_size=6,
    ),
)
def test_any_operations_end_in_an_object_or_a_refusal(document: dict[str, Any], operations: list[Any]) -> None:
    kept = json.dumps(document)
    try:
        assert isinstance(json_patch(document, operations), dict)
    except Failure as refused:
        assert refused.code in (400, 413, 422)
    assert json.dumps(document) == kept


def test_deep_patches_are_refused() -> None:
    deep: dict[str, Any] = {}
    for _ in range(100_000):
        deep = {"a": deep}
    for call in (lambda: merge(deep, deep), lambda: strategic(deep, deep, pod_type()), lambda: json_patch(deep, [])):
        with pytest.raises(Failure, match="nested too deeply"):
            call()
    while deep:
        deep = deep.popitem()[1]


@pytest.mark.parametrize(
    ("patch", "names"),
    [
        ({"spec": {"containers": [{"name": "b", "image": "b:2"}]}}, ["a:1", "b:2", "c:1"]),
        ({"spec": {"containers": [{"name": "d", "image": "d:1"}]}}, ["d:1", "a:1", "b:1", "c:1"]),
        ({"spec": {"containers": [{"name": "b", "$patch": "delete"}]}}, ["a:1", "c:1"]),
        ({"spec": {"containers": [{"name": "x", "image": "x:1"}, {"$patch": "replace"}]}}, ["x:1"]),
        ({"spec": {"$setElementOrder/containers": [{"name": "c"}, {"name": "a"}]}}, ["b:1", "c:1", "a:1"]),
        (
            {
                "spec": {
                    "$setElementOrder/containers": [{"name": "c"}, {"name": "x"}, {"name": "a"}],
                    "containers": [{"name": "x", "image": "x:1"}, {"name": "b", "$patch": "delete"}],
                }
            },
            ["c:1", "x:1", "a:1"],
        ),
        ({"spec": {"$patch": "replace", "containers": [{"name": "z", "image": "z:1"}]}}, ["z:1"]),
        (
            {"spec": {"$retainKeys": ["containers"], "containers": [{"name": "a", "image": "a:2"}]}},
            ["a:2", "b:1", "c:1"],
        ),
    ],
)
def test_lists_merge_by_their_key(patch: dict[str, Any], names: list[str]) -> None:
    after = strategic(containers("a", "b", "c"), patch, pod_type())
    listed = [item["image"] for item in after["spec"]["containers"]]
    assert listed == names


def test_plain_lists_merge_and_lose_items_by_directive() -> None:
    before = {"metadata": {"finalizers": ["a", "b"]}}
    after = strategic(before, {"metadata": {"finalizers": ["c", "a"]}}, pod_type())
    assert sorted(after["metadata"]["finalizers"]) == ["a", "b", "c"]
    patch = {
        "metadata": {
            "$deleteFromPrimitiveList/finalizers": ["a"],
            "$setElementOrder/finalizers": ["c", "b"],
            "finalizers": ["c"],
        }
    }
    assert strategic(before, patch, pod_type())["metadata"]["finalizers"] == ["c", "b"]
    args = strategic(
        containers("a", args=["1", "2"]), {"spec": {"containers": [{"name": "a", "args": ["3"]}]}}, pod_type()
    )
    assert args["spec"]["containers"][0]["args"] == ["3"]


def test_maps_merge_and_null_takes_away() -> None:
    before = {"metadata": {"labels": {"a": "1", "b": "2"}, "annotations": {"x": "y"}}}
    after = strategic(
        before, {"metadata": {"labels": {"a": None, "c": "3"}, "annotations": {"$patch": "delete"}}}, pod_type()
    )
    assert after == {"metadata": {"labels": {"b": "2", "c": "3"}, "annotations": {}}}
    assert strategic({}, {"metadata": {"labels": {"a": None}, "name": None}}, pod_type()) == {
        "metadata": {"labels": {}}
    }


def test_fields_that_replace_and_retain() -> None:
    volumes = {"spec": {"volumes": [{"name": "v", "emptyDir": {}}]}}
    patch = {"spec": {"volumes": [{"$retainKeys": ["name", "hostPath"], "name": "v", "hostPath": {"path": "/x"}}]}}
    assert strategic(volumes, patch, pod_type())["spec"]["volumes"] == [{"name": "v", "hostPath": {"path": "/x"}}]
    strategy = {"spec": {"strategy": {"type": "RollingUpdate", "rollingUpdate": {"maxSurge": 1}}}}
    after = strategic(
        strategy, {"spec": {"strategy": {"$retainKeys": ["type"], "type": "Recreate"}}}, deployment_type()
    )
    assert after == {"spec": {"strategy": {"type": "Recreate"}}}


def test_directives_never_stay_in_new_parts() -> None:
    patch = {
        "spec": {
            "$setElementOrder/containers": [{"name": "a"}],
            "containers": [{"name": "a", "x": {"$patch": "replace", "y": 1}}],
        }
    }
    patch["spec"]["containers"].append({"name": "b", "$patch": "delete"})  # type: ignore[union-attr]
    assert strategic({}, patch, pod_type()) == {"spec": {"containers": [{"name": "a", "x": {"y": 1}}]}}
    nested = {"metadata": {"$deleteFromPrimitiveList/finalizers": ["a"], "$retainKeys": ["name"], "name": "n"}}
    assert strategic({}, nested, pod_type()) == {"metadata": {"name": "n"}}


@pytest.mark.parametrize(
    ("patch", "why", "code"),
    [
        ({"spec": {"containers": [{"image": "x"}]}}, "does not contain declared merge key: name", 422),
        ({"spec": {"containers": [["x"]]}}, "lists of lists are not supported", 422),
        ({"spec": {"containers": ["x"]}}, "list element types are not identical", 422),
        ({"spec": {"containers": [{"$patch": "merge", "name": "a"}]}}, "merging lists cannot yet be specified", 422),
        ({"spec": {"$patch": "jump"}}, "unknown patch type: jump", 422),
        ({"spec": {"$retainKeys": "a"}}, "invalid patch format of retainKeys", 400),
        ({"spec": {"$retainKeys": ["a"], "b": 1}}, "invalid patch format of retainKeys", 400),
        ({"metadata": {"$deleteFromPrimitiveList/finalizers": "a"}}, "invalid patch format of primitive list", 400),
        ({"spec": {"$setElementOrder/containers": "a"}}, "invalid patch format of setElementOrder list", 400),
        (
            {"spec": {"$setElementOrder/containers": [{"name": "b"}], "containers": [{"name": "a"}]}},
            "doesn't match $setElementOrder list",
            422,
        ),
        (["a"], "cannot unmarshal array", 400),
    ],
)
def test_wrong_strategic_patches(patch: Any, why: str, code: int) -> None:
    with pytest.raises(Failure) as refused:
        strategic(containers("a", "b"), patch, pod_type())
    assert why in str(refused.value)
    assert refused.value.code == code


def test_custom_resources_have_no_strategic_patch() -> None:
    with pytest.raises(Failure, match="application/apply-patch\\+yaml") as refused:
        strategic({}, {}, None)
    assert refused.value.code == 415


JSON = st.one_of(
    VALUES, st.just({"$patch": "delete"}), st.just({"$patch": "replace"}), st.just({"name": "a", "$patch": "delete"})
)
PATCHES = st.recursive(
    JSON,
    lambda inner: st.one_of(
        st.lists(inner, max_size=3),
        st.dictionaries(
            st.sampled_from(
                [
                    "spec",
                    "containers",
                    "name",
                    "ports",
                    "$setElementOrder/containers",
                    "$retainKeys",
                    "$patch",
                    "$deleteFromPrimitiveList/finalizers",
                    "metadata",
                    "finalizers",
                    "labels",
                ]
            ),
            inner,
            max_size=4,
        ),
    ),
    max_leaves=12,
)


@settings(deadline=None)
@given(PATCHES)
def test_any_patch_ends_in_an_object_without_directives_or_a_refusal(patch: Any) -> None:
    before = {
        "metadata": {"finalizers": ["a"], "labels": {"a": "b"}},
        **containers("a", "b", ports=[{"containerPort": 1}]),
    }
    kept = json.dumps([before, patch])
    try:
        after = strategic(before, patch, pod_type())
    except Failure as refused:
        assert refused.code in (400, 422)
    else:
        assert "$" not in json.dumps(after)
    assert json.dumps([before, patch]) == kept


def test_long_lists_take_no_longer_than_they_are() -> None:
    many = [{"name": f"c{number}", "image": "a"} for number in range(20_000)]
    before = {"metadata": {"finalizers": [f"f{number}" for number in range(20_000)]}, "spec": {"containers": many}}
    patch = {
        "metadata": {"$deleteFromPrimitiveList/finalizers": before["metadata"]["finalizers"][1:]},  # type: ignore[index]
        "spec": {"containers": [{**item, "image": "b"} for item in reversed(many)]},
    }
    patch["spec"]["containers"] += [{"name": f"c{number}", "$patch": "delete"} for number in range(0, 20_000, 2)]
    started = time.process_time()
    after = strategic(before, patch, pod_type())
    assert time.process_time() - started < 3
    assert after["metadata"]["finalizers"] == ["f0"]
    assert {item["image"] for item in after["spec"]["containers"]} == {"b"}
