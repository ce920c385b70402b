"""StatefulSets beyond the list: claims and who they go with, first ordinals, several at a time, adoption."""

import pytest
from conformance_apps_kit import Object, names, owner, pod, pods_of, settles, workload
from conformance_kit import Space
from test_cluster_conformance_apps_stateful import HASH, PATH, hashes, new_template, set_ready, stateful, until_members

pytestmark = pytest.mark.slow

CLAIMS: Object = {
    "volumeClaimTemplates": [
        {
            "metadata": {"name": "data"},
            "spec": {"accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": "1Mi"}}},
        }
    ]
}


def claims(space: Space) -> list[str]:
    return names(space.read("persistentvolumeclaims")["items"])


def with_claims(space: Space, scaled: str, deleted: str, replicas: int) -> None:
    policy = {"whenScaled": scaled, "whenDeleted": deleted}
    pods = {"container": {"volumeMounts": [{"name": "data", "mountPath": "/data"}]}}
    spec = {"replicas": replicas, "serviceName": "db", "persistentVolumeClaimRetentionPolicy": policy, **CLAIMS}
    space.made(PATH, workload("StatefulSet", "db", pods=pods, podManagementPolicy="Parallel", **spec))
    settles(space, f"{PATH}/db", readyReplicas=replicas)


def test_members_keep_their_data(space: Space) -> None:
    with_claims(space, "Retain", "Retain", 2)
    assert claims(space) == ["data-db-0", "data-db-1"]
    space.shell("db-0", "echo words > /data/file")
    uid = space.pod("db-0")["metadata"]["uid"]
    space.request("DELETE", "pods/db-0")
    space.until(lambda: not space.is_gone("pods/db-0") and space.pod("db-0")["metadata"]["uid"] != uid, "it is anew")
    space.until_ready("db-0")
    assert space.shell("db-0", "cat /data/file; hostname") == "words\ndb-0\n"
    space.patched(f"{PATH}/db/scale", {"spec": {"replicas": 0}})
    space.until(lambda: not pods_of(space, "db"), "the members are gone")
    space.kubectl("delete", "sts", "db")
    assert claims(space) == ["data-db-0", "data-db-1"]
    assert not any("ownerReferences" in one["metadata"] for one in space.read("persistentvolumeclaims")["items"])


def test_a_claim_that_was_deleted_is_made_anew(space: Space) -> None:
    with_claims(space, "Retain", "Retain", 1)
    old = space.read("persistentvolumeclaims/data-db-0")["metadata"]["uid"]
    space.kubectl("delete", "pvc", "data-db-0", "--wait=false")  # it stays as long as the member uses it
    space.kubectl("delete", "pod", "db-0", "--wait=false")

    def is_anew() -> bool:
        answer = space.request("GET", "persistentvolumeclaims/data-db-0")  # in between there is none
        return answer.status == 200 and answer.object["metadata"]["uid"] != old

    space.until(is_anew, "there is another claim")
    settles(space, f"{PATH}/db", readyReplicas=1)


def test_claims_go_with_members_that_are_scaled_away(space: Space) -> None:
    with_claims(space, "Delete", "Retain", 3)
    space.patched(f"{PATH}/db/scale", {"spec": {"replicas": 1}})
    space.until(lambda: claims(space) == ["data-db-0"], "their claims go with them")
    space.request("DELETE", "pods/db-0")
    settles(space, f"{PATH}/db", readyReplicas=1)
    space.patched(f"{PATH}/db/scale", {"spec": {"replicas": 2}})
    settles(space, f"{PATH}/db", readyReplicas=2)
    space.kubectl("delete", "sts", "db")
    space.until(lambda: not pods_of(space, "db"), "the members are gone")
    assert claims(space) == ["data-db-0", "data-db-1"]


def test_claims_go_with_the_set(space: Space) -> None:
    with_claims(space, "Retain", "Delete", 2)
    uid = space.read(f"{PATH}/db")["metadata"]["uid"]
    space.until(lambda: {owner(one) for one in space.read("persistentvolumeclaims")["items"]} == {uid}, "they are its")
    space.patched(f"{PATH}/db/scale", {"spec": {"replicas": 1}})
    settles(space, f"{PATH}/db", replicas=1)
    assert claims(space) == ["data-db-0", "data-db-1"]
    space.kubectl("delete", "sts", "db", "--cascade=foreground", "--timeout=40s")
    space.until(lambda: not claims(space), "the claims go with it")


def test_a_policy_may_change_meanwhile(space: Space) -> None:
    with_claims(space, "Retain", "Retain", 2)
    policy = {"whenScaled": "Retain", "whenDeleted": "Delete"}
    space.patched(f"{PATH}/db", {"spec": {"persistentVolumeClaimRetentionPolicy": policy}})
    space.until(lambda: all(map(owner, space.read("persistentvolumeclaims")["items"])), "the claims are the set's")
    policy["whenDeleted"] = "Retain"
    space.patched(f"{PATH}/db", {"spec": {"persistentVolumeClaimRetentionPolicy": policy}})
    space.until(lambda: not any(map(owner, space.read("persistentvolumeclaims")["items"])), "and nobody's")


def test_the_first_ordinal_may_be_another(space: Space) -> None:
    stateful(space, replicas=2, ordinals={"start": 2})
    until_members(space, "23")
    space.patched(f"{PATH}/db", {"spec": {"ordinals": {"start": 4}}})
    until_members(space, "45")
    space.patched(f"{PATH}/db", {"spec": {"ordinals": {"start": 3}}})
    until_members(space, "34")
    space.patched(f"{PATH}/db", {"spec": {"ordinals": None}})
    until_members(space, "01")
    assert space.pod("db-1")["metadata"]["labels"]["apps.kubernetes.io/pod-index"] == "1"


def test_several_members_at_a_time(space: Space) -> None:
    rolling = {"type": "RollingUpdate", "rollingUpdate": {"maxUnavailable": 2}}
    stateful(space, replicas=4, gated=True, podManagementPolicy="Parallel", updateStrategy=rolling)
    until_members(space, "", "0123")
    for one in "0123":
        space.until_phase(f"db-{one}", "Running")
    set_ready(space, "0123", True)
    until_members(space, "0123")
    old = hashes(space)["db-0"]
    new_template(space, "1")

    def later(*ordinals: str) -> bool:
        found = hashes(space)
        return len(found) == 4 and {name[-1] for name, value in found.items() if value != old} == set(ordinals)

    space.until(lambda: later("2", "3"), "the upper two are replaced at once")
    for one in "23":
        space.until_phase(f"db-{one}", "Running")
    settles(space, f"{PATH}/db", updatedReplicas=2, readyReplicas=2)
    set_ready(space, "23", True)
    space.until(lambda: later("0", "1", "2", "3"), "then the lower two")


def test_updates_wait_for_deletions(space: Space) -> None:
    stateful(space, updateStrategy={"type": "OnDelete"})
    until_members(space, "012")
    old = hashes(space)["db-0"]
    new_template(space, "1")
    space.until(lambda: space.read(f"{PATH}/db")["status"]["updateRevision"] != old, "the revision is known")
    assert set(hashes(space).values()) == {old}
    uid = space.pod("db-1")["metadata"]["uid"]
    space.request("DELETE", "pods/db-1")
    space.until(
        lambda: not space.is_gone("pods/db-1") and space.pod("db-1")["metadata"]["uid"] != uid, "it is made anew"
    )
    until_members(space, "012")
    new = space.read(f"{PATH}/db")["status"]["updateRevision"]
    assert hashes(space) == {"db-0": old, "db-1": new, "db-2": old}


def test_orphans_with_its_names_are_taken(space: Space) -> None:
    made = stateful(space, replicas=2)
    until_members(space, "01")
    uids = [space.pod(name)["metadata"]["uid"] for name in ("db-0", "db-1")]
    space.kubectl("delete", "sts", "db", "--cascade=orphan")
    space.until(lambda: not any(map(owner, pods_of(space, "db"))), "the members are nobody's")
    space.made("pods", pod("stray", "db"))
    again = {key: made[key] for key in ("apiVersion", "kind", "spec")}
    uid = space.made(PATH, {**again, "metadata": {"name": "db"}})["metadata"]["uid"]
    settles(space, f"{PATH}/db", readyReplicas=2, updatedReplicas=2, observedGeneration=1)
    assert [space.pod(name)["metadata"]["uid"] for name in ("db-0", "db-1")] == uids
    assert {owner(space.pod(name)) for name in ("db-0", "db-1")} == {uid} and not owner(space.pod("stray"))
    space.patched("pods/db-1", {"metadata": {"labels": {"app": "else"}}})
    space.until(lambda: not owner(space.pod("db-1")), "a member that is not its own any more is let go")
    space.request("DELETE", "pods/db-1")
    settles(space, f"{PATH}/db", readyReplicas=2)
    assert space.pod("db-1")["metadata"]["labels"][HASH]


def test_a_member_is_available_when_it_was_ready_for_a_while(space: Space) -> None:
    stateful(space, replicas=2, minReadySeconds=1, podManagementPolicy="Parallel")
    found = settles(space, f"{PATH}/db", readyReplicas=2, availableReplicas=2)
    space.patched(f"{PATH}/db", {"spec": {"minReadySeconds": 3600}})
    settles(space, f"{PATH}/db", readyReplicas=2, availableReplicas=0)
    assert found["status"]["replicas"] == 2
