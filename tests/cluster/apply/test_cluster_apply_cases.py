"""Server-side apply: the documented cases, one by one."""

import copy
import json
import time
from typing import Any

import apply_kit as kit
import msgspec
import pytest
from apply_kit import applied, owners, thing, updated

from boxship.cluster.objects.apply import apply, ignored_fields, update_managed
from boxship.cluster.objects.catalog import built_in
from boxship.cluster.objects.failure import Failure


def test_a_first_apply_makes_the_object_and_owns_its_fields() -> None:
    made = applied(None, {"text": "a", "items": [{"key": "k", "value": "v"}], "set": ["x"], "whole": {"a": "1"}})
    assert made["spec"] == {"text": "a", "items": [{"key": "k", "value": "v"}], "set": ["x"], "whole": {"a": "1"}}
    assert made["metadata"]["managedFields"] == [
        {
            "manager": "one",
            "operation": "Apply",
            "apiVersion": kit.VERSION,
            "time": kit.TIMES[0],
            "fieldsType": "FieldsV1",
            "fieldsV1": {
                "f:spec": {
                    "f:items": {'k:{"key":"k"}': {".": {}, "f:key": {}, "f:value": {}}},
                    "f:set": {'v:"x"': {}},
                    "f:text": {},
                    "f:whole": {},
                }
            },
        }
    ]


def test_what_is_no_longer_applied_goes() -> None:
    live = applied(
        None, {"text": "a", "number": 1, "set": ["x", "y"], "items": [{"key": "k"}, {"key": "l", "value": "v"}]}
    )
    live = applied(live, {"text": "a", "set": ["y"], "items": [{"key": "l"}]}, at=1)
    assert live["spec"] == {"text": "a", "set": ["y"], "items": [{"key": "l"}]}
    live = applied(live, {"text": "a"}, at=2)
    assert live["spec"] == {"text": "a"}


def test_what_others_have_put_there_stays() -> None:
    live = applied(None, {"text": "a", "items": [{"key": "k", "value": "v"}], "map": {"x": "1"}})
    live = updated(
        live, {**live["spec"], "items": [{"key": "k", "value": "v", "count": 2}], "map": {"x": "1", "y": "2"}}, at=1
    )
    live = applied(live, {"text": "b"}, at=2)
    assert live["spec"] == {"text": "b", "map": {"y": "2"}}
    assert "f:map" in owners(live)["writer"]


def test_a_field_that_another_owns_is_a_conflict() -> None:
    live = applied(None, {"text": "a", "number": 1})
    with pytest.raises(Failure) as refused:
        applied(live, {"text": "b"}, "two", at=1)
    assert refused.value.status() == {
        "kind": "Status",
        "apiVersion": "v1",
        "metadata": {},
        "status": "Failure",
        "message": 'Apply failed with 1 conflict: conflict with "one": .spec.text',
        "reason": "Conflict",
        "details": {
            "causes": [{"reason": "FieldManagerConflict", "message": 'conflict with "one"', "field": ".spec.text"}]
        },
        "code": 409,
    }
    forced = applied(live, {"text": "b"}, "two", at=1, force=True)
    assert forced["spec"] == {"text": "b", "number": 1}
    assert owners(forced) == {"one": {"f:number": {}}, "two": {"f:text": {}}}


def test_several_conflicts_are_told_by_manager() -> None:
    live = updated(
        applied(None, {"text": "a", "items": [{"key": "k", "value": "v"}]}),
        {"text": "a", "number": 3, "items": [{"key": "k", "value": "v", "count": 1}]},
        "kubectl",
        at=1,
    )
    with pytest.raises(Failure) as refused:
        applied(live, {"text": "b", "number": 4, "items": [{"key": "k", "value": "w", "count": 2}]}, "two", at=2)
    assert str(refused.value) == (
        'Apply failed with 4 conflicts: conflicts with "kubectl" using example.com/v1:\n- .spec.number\n'
        '- .spec.items[key="k"].count\nconflicts with "one":\n- .spec.text\n- .spec.items[key="k"].value'
    )


def test_equal_values_are_owned_together_and_stay_until_the_last_owner_goes() -> None:
    live = applied(applied(None, {"text": "a", "set": ["x"]}), {"text": "a", "set": ["x", "y"]}, "two", at=1)
    assert owners(live) == {
        "one": {"f:text": {}, "f:set": {'v:"x"': {}}},
        "two": {"f:text": {}, "f:set": {'v:"x"': {}, 'v:"y"': {}}},
    }
    live = applied(live, None, at=2)
    assert live["spec"] == {"text": "a", "set": ["x", "y"]}
    assert set(owners(live)) == {"two"}
    assert "spec" not in applied(live, None, "two", at=3)
    assert applied(live, {}, "two", at=3)["metadata"]["managedFields"][0]["fieldsV1"] == {"f:spec": {}}


def test_an_update_takes_over_what_it_changes() -> None:
    live = applied(None, {"text": "a", "number": 1})
    live = updated(live, {"text": "b", "number": 1}, at=1)
    assert owners(live) == {"one": {"f:number": {}}, "writer": {"f:text": {}}}
    assert [entry["operation"] for entry in live["metadata"]["managedFields"]] == ["Apply", "Update"]
    again = updated(live, {"text": "b", "number": 2}, at=2)
    assert owners(again) == {"writer": {"f:number": {}, "f:text": {}}}
    assert again["metadata"]["managedFields"][0]["time"] == kit.TIMES[2]
    gone = updated(again, {"number": 2}, at=3)
    assert owners(gone) == {"writer": {"f:number": {}}}
    assert gone["metadata"]["managedFields"][0]["time"] == kit.TIMES[2]


def test_what_changes_nothing_changes_nothing() -> None:
    live = applied(None, {"text": "a", "items": [{"key": "k"}]})
    assert applied(live, {"text": "a", "items": [{"key": "k"}]}, at=5) == live
    assert updated(live, live["spec"], at=5) == live
    live["metadata"]["uid"] = "u"
    live = updated(live, {**live["spec"], "number": 1}, at=6)
    assert updated(live, live["spec"], "other", at=7) == live


def test_atomic_lists_and_structs_are_owned_as_a_whole() -> None:
    live = applied(None, {"atomic": [{"key": "a"}], "whole": {"a": "1"}})
    with pytest.raises(Failure, match=r"- \.spec\.atomic\n- \.spec\.whole"):
        applied(live, {"atomic": [{"key": "b"}], "whole": {"b": "1"}}, "two")
    forced = applied(live, {"atomic": [{"key": "b"}], "whole": {"b": "1"}}, "two", force=True)
    assert forced["spec"] == {"atomic": [{"key": "b"}], "whole": {"b": "1"}}
    assert set(owners(forced)) == {"two"}


def test_free_content_is_owned_by_its_keys() -> None:
    live = applied(None, {"free": {"a": {"x": 1}, "list": [1, 2]}})
    assert owners(live)["one"] == {"f:free": {"f:a": {".": {}, "f:x": {}}, "f:list": {}}}
    live = applied(live, {"free": {"b": "2"}}, "two", at=1)
    assert live["spec"]["free"] == {"a": {"x": 1}, "list": [1, 2], "b": "2"}
    assert applied(live, {"free": {"list": [1, 2]}}, at=2)["spec"]["free"] == {"list": [1, 2], "b": "2"}
    changed = updated(live, {"free": {"a": "now text", "list": [1, 2], "b": "2"}}, at=3)
    assert owners(changed)["one"] == {"f:free": {"f:list": {}}}


def test_the_order_of_lists_is_what_was_applied_with_others_between() -> None:
    live = updated(None, thing(items=[{"key": key} for key in "axb"]))
    merged = applied(live, {"items": [{"key": "b"}, {"key": "n"}, {"key": "a"}]}, at=1)
    assert [item["key"] for item in merged["spec"]["items"]] == ["x", "b", "n", "a"]
    assert applied(updated(None, thing(set=["a", "x"])), {"set": ["b", "a"]})["spec"]["set"] == ["b", "a", "x"]


@pytest.mark.parametrize(
    ("spec", "why"),
    [
        ({"txt": "a"}, '.spec.txt: field not declared in schema, did you mean ".spec.text"?'),
        ({"number": "1"}, '.spec.number: expected numeric (int or float), got &value.valueUnstructured{Value:"1"}'),
        ({"items": [{"key": "a"}, {"key": "a"}]}, '.spec.items: duplicate entries for key [key="a"]'),
        ({"set": ["a", "a"]}, '.spec.set: duplicate entries for key [="a"]'),
        ({"items": [{"value": "a"}]}, "element 0: associative list with keys has an element that omits all key fields"),
        ({"items": {"a": 1}}, ".spec.items: expected list, got map"),
        ({"map": ["a"]}, ".spec.map: expected map, got list"),
        ({"items": [{"key": "a", "count": "x"}]}, '.spec.items[key="a"].count: expected numeric'),
    ],
)
def test_what_cannot_be_applied(spec: dict[str, Any], why: str) -> None:
    with pytest.raises(Failure) as refused:
        applied(None, spec)
    assert str(refused.value).startswith("failed to create typed patch object (n/t; example.com/v1, Kind=Thing): ")
    assert why in str(refused.value)
    assert refused.value.code == 400


def test_wrong_versions_kinds_and_managed_fields_are_refused() -> None:
    live = applied(None, {"text": "a"})
    for change, why in (
        ({"apiVersion": "example.com/v2"}, "Incorrect version specified in apply patch. Specified patch version: "),
        ({"kind": "Other"}, "invalid object type: example.com/v1, Kind=Other"),
        ({"metadata": {"name": "t", "managedFields": []}}, "metadata.managedFields must be nil"),
    ):
        with pytest.raises(Failure, match=why) as refused:
            apply(
                live, {**thing(text="b"), **change}, kit.THING, manager="one", api_version=kit.VERSION, now=kit.TIMES[1]
            )
        assert refused.value.code == 400


def test_keys_have_defaults() -> None:
    service = {
        "apiVersion": "v1",
        "kind": "Service",
        "metadata": {"name": "s"},
        "spec": {"ports": [{"port": 80, "name": "a"}]},
    }
    live = apply(None, service, kit.SERVICE, manager="m", api_version="v1", now=kit.TIMES[0])
    live["spec"]["ports"][0].update(protocol="TCP", targetPort=80)  # the API's defaults
    again = apply(live, service, kit.SERVICE, manager="m", api_version="v1", now=kit.TIMES[1])
    assert again == live
    assert list(again["metadata"]["managedFields"][0]["fieldsV1"]["f:spec"]["f:ports"]) == [
        'k:{"port":80,"protocol":"TCP"}'
    ]
    more = copy.deepcopy(service)
    more["spec"]["ports"].append({"port": 80, "name": "b", "protocol": "UDP"})  # type: ignore[index]
    grown = apply(live, more, kit.SERVICE, manager="m", api_version="v1", now=kit.TIMES[2])
    assert [port["protocol"] for port in grown["spec"]["ports"]] == ["TCP", "UDP"]
    with pytest.raises(Failure, match=r'\.spec\.ports\[port=80,protocol="TCP"\]\.name'):
        other = copy.deepcopy(service)
        other["spec"]["ports"][0]["name"] = "c"  # type: ignore[index]
        apply(live, other, kit.SERVICE, manager="n", api_version="v1", now=kit.TIMES[2])


def test_duplicates_that_are_there_already_do_not_hinder() -> None:
    live = updated(None, thing(items=[{"key": "a", "value": "1"}, {"key": "a", "value": "2"}, {"key": "b"}]))
    assert 'k:{"key":"a"}' in owners(live)["writer"]["f:items"]
    merged = applied(live, {"items": [{"key": "b", "count": 1}]}, at=1)
    assert [item.get("value") for item in merged["spec"]["items"]] == ["1", "2", None]
    merged = applied(live, {"items": [{"key": "a", "value": "3"}]}, at=1, force=True)
    assert merged["spec"]["items"] == [{"key": "a", "value": "3"}, {"key": "b"}]


def test_an_object_without_managers_gets_one_at_the_first_apply() -> None:
    live = thing(text="a", number=1)
    after = applied(live, {"text": "a"}, at=1)
    assert owners(after)["before-first-apply"] == {".": {}, "f:number": {}, "f:text": {}}
    with pytest.raises(Failure, match=r'conflict with "before-first-apply" using example.com/v1: .spec.number'):
        applied(live, {"number": 2}, at=1)


def client_side(**spec: Any) -> dict[str, Any]:
    """An object as client-side apply leaves it."""
    live = thing(**spec)
    live["metadata"]["annotations"] = {"kubectl.kubernetes.io/last-applied-configuration": json.dumps(thing(**spec))}
    return updated(None, live, "kubectl-client-side-apply")


def test_kubectl_goes_over_from_client_side_apply_without_conflicts() -> None:
    live = client_side(text="a", number=1)
    with pytest.raises(Failure, match=r'conflict with "kubectl-client-side-apply" using example.com/v1: .spec.text'):
        applied(live, {"text": "b", "number": 1}, "somebody", at=1)
    after = applied(live, {"text": "b", "number": 1}, "kubectl", at=1)
    assert after["spec"] == {"text": "b", "number": 1}
    kept = json.loads(after["metadata"]["annotations"]["kubectl.kubernetes.io/last-applied-configuration"])
    assert kept["spec"] == {"text": "b", "number": 1}
    changed = updated(live, {"text": "x", "number": 1}, "edit", at=1)
    with pytest.raises(Failure, match=r'1 conflict: conflict with "edit" using example.com/v1: .spec.text'):
        applied(changed, {"text": "b", "number": 2}, "kubectl", at=2)


def test_managed_fields_may_be_reset_and_set() -> None:
    live = applied(None, {"text": "a"})
    for reset in ([], [{}]):
        sent = copy.deepcopy(live)
        sent["metadata"]["managedFields"] = reset
        forgotten = updated(live, sent, at=1)
        assert "managedFields" not in forgotten["metadata"]
        assert "managedFields" not in updated(forgotten, {"text": "b"}, at=2)["metadata"]
    sent = copy.deepcopy(live)
    del sent["metadata"]["managedFields"]
    assert updated(live, sent, at=1) == live
    sent["metadata"]["managedFields"] = [{**live["metadata"]["managedFields"][0], "manager": "new"}]
    assert set(owners(updated(live, sent, at=1))) == {"new"}
    for wrong in ({"operation": "Jump"}, {"fieldsType": "V2"}, {"fieldsV1": {"x:y": {}}}, {"apiVersion": ""}):
        sent["metadata"]["managedFields"] = [{**live["metadata"]["managedFields"][0], **wrong}]
        assert updated(live, sent, at=1) == live
    sent["metadata"]["managedFields"] = []
    assert updated(live, sent, at=1, subresource="status") == live


def test_at_most_ten_updates_are_kept_apart() -> None:
    live = updated(None, thing(map={}))
    for number in range(15):
        live = updated(live, {"map": {**live["spec"]["map"], f"k{number}": "v"}}, f"m{number}", at=number + 1)
    entries = live["metadata"]["managedFields"]
    assert len(entries) == 10
    assert entries[0]["manager"] == "ancient-changes"
    assert set(entries[0]["fieldsV1"]["f:spec"]["f:map"]) == {".", *(f"f:k{number}" for number in range(6))} or set(
        entries[0]["fieldsV1"]["f:spec"]["f:map"]
    ) == {f"f:k{number}" for number in range(6)}
    assert entries[0]["time"] == kit.TIMES[6]


def test_status_is_owned_by_who_writes_it_there() -> None:
    resource = built_in("apps", "v1", "deployments")
    assert resource is not None
    live = {"apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": "d"}, "spec": {"replicas": 1}}
    new = copy.deepcopy({**live, "spec": {"replicas": 2}, "status": {"replicas": 3}})

    def entry(subresource: str) -> dict[str, Any]:
        written = copy.deepcopy(new)
        ignored = ignored_fields(resource, subresource, written)
        update_managed(
            None,
            written,
            kit.DEPLOYMENT,
            manager="m",
            api_version="apps/v1",
            subresource=subresource,
            now=kit.TIMES[0],
            ignored=ignored,
        )
        found: dict[str, Any] = written["metadata"]["managedFields"][0]  # type: ignore[index]
        return found

    assert entry("")["fieldsV1"] == {"f:spec": {"f:replicas": {}}}
    assert entry("status")["fieldsV1"] == {"f:status": {"f:replicas": {}}}
    assert entry("status")["subresource"] == "status"


def test_a_create_is_owned_as_in_the_original() -> None:
    """Taken from what a real cluster writes for `kubectl create deployment`."""
    new = {
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": {"name": "web", "labels": {"app": "web"}},
        "spec": {
            "replicas": 1,
            "selector": {"matchLabels": {"app": "web"}},
            "strategy": {"type": "RollingUpdate", "rollingUpdate": {"maxSurge": "25%"}},
            "template": {
                "metadata": {"labels": {"app": "web"}},
                "spec": {
                    "containers": [
                        {
                            "name": "nginx",
                            "image": "nginx",
                            "resources": {},
                            "ports": [{"containerPort": 80, "protocol": "TCP"}],
                        }
                    ],
                    "securityContext": {},
                },
            },
        },
    }
    update_managed(None, new, kit.DEPLOYMENT, manager="kubectl-create", api_version="apps/v1", now=kit.TIMES[0])
    assert new["metadata"]["managedFields"][0]["fieldsV1"] == {  # type: ignore[index]
        "f:metadata": {"f:labels": {".": {}, "f:app": {}}},
        "f:spec": {
            "f:replicas": {},
            "f:selector": {},
            "f:strategy": {"f:rollingUpdate": {".": {}, "f:maxSurge": {}}, "f:type": {}},
            "f:template": {
                "f:metadata": {"f:labels": {".": {}, "f:app": {}}},
                "f:spec": {
                    "f:containers": {
                        'k:{"name":"nginx"}': {
                            ".": {},
                            "f:image": {},
                            "f:name": {},
                            "f:ports": {
                                ".": {},
                                'k:{"containerPort":80,"protocol":"TCP"}': {
                                    ".": {},
                                    "f:containerPort": {},
                                    "f:protocol": {},
                                },
                            },
                            "f:resources": {},
                        }
                    },
                    "f:securityContext": {},
                },
            },
        },
    }


def test_what_is_always_there_is_not_owned_for_being_empty() -> None:
    """Else who stops to send it takes away what the server has put below: the labels of a Job's pods."""
    new = {"metadata": {"name": "n"}, "spec": {"template": {"metadata": {}, "spec": {"containers": [{"name": "a"}]}}}}
    update_managed(None, new, kit.DEPLOYMENT, manager="kubectl", api_version="apps/v1", now=kit.TIMES[0])
    owned: dict[str, Any] = new["metadata"]["managedFields"][0]["fieldsV1"]  # type: ignore[index]
    assert owned["f:spec"]["f:template"] == {
        "f:spec": {"f:containers": {'k:{"name":"a"}': {".": {}, "f:name": {}}}},
    }


def test_what_becomes_atomic_is_owned_as_a_whole() -> None:
    live = applied(None, {"struct": {"a": "1"}, "items": [{"key": "k"}]})
    spec = kit.THING.fields["spec"]
    whole = msgspec.structs.replace(spec.fields["struct"], atomic=True)
    listed = msgspec.structs.replace(spec.fields["items"], list_type="atomic")
    later = msgspec.structs.replace(spec, fields={**spec.fields, "struct": whole, "items": listed})
    type_ = msgspec.structs.replace(kit.THING, fields={**kit.THING.fields, "spec": later})
    with pytest.raises(Failure, match=r"2 conflicts: conflicts with .one.:\n- \.spec\.items\n- \.spec\.struct"):
        applied(live, {"struct": {"b": "2"}, "items": []}, "two", type_=type_)
    again = applied(live, {"struct": {"b": "2"}, "items": []}, at=1, type_=type_)
    assert again["spec"] == {"struct": {"b": "2"}, "items": []}
    assert owners(again) == {"one": {"f:items": {}, "f:struct": {}}}


def test_long_lists_are_merged_in_time() -> None:
    items = [{"key": f"k{number}", "value": "a"} for number in range(5_000)]
    live = updated(None, thing(items=items, set=[f"s{number}" for number in range(5_000)]))
    started = time.process_time()
    merged = applied(live, {"items": [{"key": f"k{number}", "count": 1} for number in reversed(range(5_000))]}, at=1)
    assert time.process_time() - started < 2
    assert [item["key"] for item in merged["spec"]["items"]] == [item["key"] for item in reversed(items)]
    assert merged["spec"]["items"][0] == {"key": "k4999", "value": "a", "count": 1}
