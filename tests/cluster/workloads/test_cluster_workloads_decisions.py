"""What replica sets, deployments, stateful sets and daemon sets decide, without any I/O."""

import random
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from boxship.cluster.controllers.workloads.amounts import amount_of, fences
from boxship.cluster.controllers.workloads.claiming import decide as claims_of
from boxship.cluster.controllers.workloads.claiming import finalizers_of
from boxship.cluster.controllers.workloads.daemons import deciding as daemons
from boxship.cluster.controllers.workloads.daemons.places import Node, Place, place
from boxship.cluster.controllers.workloads.daemons.places import make_pod as daemon_pod
from boxship.cluster.controllers.workloads.deployments import progress, scaling, sets
from boxship.cluster.controllers.workloads.hashing import hash_of
from boxship.cluster.controllers.workloads.pods import Owner, Pod, facts_of, first_to_go
from boxship.cluster.controllers.workloads.replicas import deciding as replicas
from boxship.cluster.controllers.workloads.revisions import HASH
from boxship.cluster.controllers.workloads.stateful import claims, identity
from boxship.cluster.controllers.workloads.stateful import deciding as stateful
from boxship.cluster.objects import Object
from boxship.cluster.objects.selectors import of_set

NOW = 1_800_000_000.0


def pod(name: str, **facts: Any) -> Pod:
    known = {"namespace": "n", "uid": f"u-{name}", "labels": {"app": "a"}, "created": NOW - 100, "phase": "Running"}
    return Pod(**{**known, "name": name, **facts})


def workload(kind: str = "ReplicaSet", **spec: Any) -> Object:
    made = {"template": {"metadata": {"labels": {"app": "a"}}, "spec": {"containers": [{"name": "c"}]}}}
    metadata = {"name": "a", "namespace": "n", "uid": "u", "generation": 1}
    return {"apiVersion": "apps/v1", "kind": kind, "metadata": metadata, "spec": {**made, **spec}}


def test_pods_that_are_worth_least_go_first() -> None:
    good: dict[str, Any] = {"node": "x", "ready": True, "ready_since": NOW - 90, "created": NOW - 100}
    cheap = {"controller.kubernetes.io/pod-deletion-cost": "-5"}
    ordered = [
        pod("unassigned", phase="Pending"),
        pod("pending", node="x", phase="Pending"),
        pod("unknown", node="x", phase="Unknown"),
        pod("unready", node="x"),
        pod("cheap", **{**good, "annotations": cheap}),
        pod("doubled", **{**good, "node": "y"}),
        pod("fresh", **{**good, "ready_since": NOW - 1}),
        pod("restarted", **{**good, "restarts": 3}),
        pod("young", **{**good, "created": NOW - 2}),
        pod("old", **good),
    ]
    shuffled = random.Random(1).sample(ordered, len(ordered))
    assert [one.name for one in first_to_go(shuffled, {"x": 1, "y": 2}, NOW)] == [one.name for one in ordered]


def test_a_replica_set_creates_or_deletes_what_differs() -> None:
    assert replicas.plan(workload(replicas=3), [pod("a")], [], NOW).create == 2
    assert replicas.plan(workload(replicas=9999), [], [], NOW).create == 500
    surplus = [pod("a", node="x", ready=True, ready_since=NOW - 9), pod("b", phase="Pending")]
    assert [one.name for one in replicas.plan(workload(replicas=1), surplus, surplus, NOW).delete] == ["b"]
    assert len(replicas.plan(workload(replicas=0), surplus, surplus, NOW).delete) == 2


def test_the_status_of_a_replica_set() -> None:
    owner = workload(replicas=3, minReadySeconds=10)
    pods = [
        pod("a", ready=True, ready_since=NOW - 60),
        pod("b", ready=True, ready_since=NOW - 4, labels={"app": "a", "more": "x"}),
        pod("c", phase="Failed"),
        pod("d", deleted=NOW),
    ]
    status = replicas.status_of(owner, pods, "no quota", False, NOW)
    counts = {key: value for key, value in status.items() if key != "conditions"}
    assert counts == {
        "replicas": 2,
        "readyReplicas": 2,
        "availableReplicas": 1,
        "fullyLabeledReplicas": 2,
        "observedGeneration": 1,
        "terminatingReplicas": 1,
    }
    [condition] = status["conditions"]
    assert (condition["type"], condition["reason"], condition["message"]) == (
        "ReplicaFailure",
        "FailedCreate",
        "no quota",
    )
    assert 5.9 < replicas.next_look(owner, pods[:2], NOW) < 6.2
    assert "conditions" not in replicas.status_of({**owner, "status": status}, pods, "", False, NOW)


def test_children_are_adopted_and_released() -> None:
    mine = Owner("ReplicaSet", "a", "u")
    kept, changed = pod("kept", controller=mine), pod("changed", controller=mine, labels={"app": "b"})
    orphans = [pod("free"), pod("other", labels={"app": "b"}), pod("ending", deleted=NOW)]
    decided = claims_of(workload(), of_set({"app": "a"}), [kept, changed], orphans)
    assert [[one.name for one in each] for each in (decided.mine, decided.adopt, decided.release)] == [
        ["kept"],
        ["free"],
        ["changed"],
    ]
    ending = workload()
    ending["metadata"]["deletionTimestamp"] = "2026-01-01T00:00:00Z"
    decided = claims_of(ending, of_set({"app": "a"}), [kept, changed], orphans)
    assert not decided.adopt and not decided.release


def test_finalizers_come_with_adoption_and_go_with_release() -> None:
    own = pod("own", finalizers=("own/one",))
    assert finalizers_of(own, "job/tracking", "") == ["own/one", "job/tracking"]
    tracked = pod("tracked", finalizers=("job/tracking", "own/one"))
    assert finalizers_of(tracked, "job/tracking", "") == ["own/one", "job/tracking"]
    assert finalizers_of(tracked, "", "job/tracking") == ["own/one"]
    assert finalizers_of(tracked, "", "") == ["job/tracking", "own/one"]


def test_amounts_and_percentages() -> None:
    assert amount_of("25%", 10, up=True) == 3 and amount_of("25%", 10, up=False) == 2
    assert amount_of(4, 10, up=True) == 4 and amount_of(None, 10, up=True) == 0
    assert fences("1%", "1%", 10) == (1, 0) and fences(0, "1%", 10) == (0, 1)


def test_hashes_have_a_form_and_follow_the_template() -> None:
    one, other = {"spec": {"containers": [{"image": "a"}]}}, {"spec": {"containers": [{"image": "b"}]}}
    assert hash_of(one) == hash_of({"metadata": {}, **one}) == hash_of(one, 0) != hash_of(other)
    assert hash_of(one, 1) != hash_of(one) and set(hash_of(one)) <= set("bcdfghjklmnpqrstvwxz2456789")


# Deployments


def deployment(desired: int = 10, surge: int | str = "25%", away: int | str = "25%", **spec: Any) -> Object:
    strategy = {"type": "RollingUpdate", "rollingUpdate": {"maxSurge": surge, "maxUnavailable": away}}
    made = workload("Deployment", replicas=desired, strategy=strategy, selector={"matchLabels": {"app": "a"}}, **spec)
    return {**made, "status": {}}


def replica_set(name: str, size: int, available: int | None = None, most: int = 0, **more: Any) -> Object:
    known = size if available is None else available
    annotations = {sets.MOST: str(most), sets.DESIRED: str(more.pop("desired", size))} if most else {}
    return {
        "apiVersion": "apps/v1",
        "kind": "ReplicaSet",
        "metadata": {"name": name, "uid": name, "creationTimestamp": name, "annotations": annotations, **more},
        "spec": {"replicas": size, "template": {"metadata": {"labels": {"app": "a"}}, "spec": {"v": name}}},
        "status": {"replicas": size, "availableReplicas": known, "readyReplicas": known},
    }


@settings(max_examples=150, deadline=None)
@given(
    desired=st.integers(0, 12),
    surge=st.one_of(st.integers(0, 5), st.sampled_from(["25%", "50%", "100%"])),
    away=st.one_of(st.integers(0, 5), st.sampled_from(["25%", "50%", "100%"])),
    seed=st.integers(0, 1 << 30),
)
def test_a_rolling_update_never_goes_beyond_its_limits(desired: int, surge: Any, away: Any, seed: int) -> None:
    chance = random.Random(seed)
    owner = deployment(desired, surge, away)
    new, olds = replica_set("9", 0), [replica_set("1", desired // 2), replica_set("2", desired - desired // 2)]
    most, (_, fewer) = sets.most(owner), sets.limits(owner)
    for _ in range(400):
        everything = [*olds, new]
        assert sets.total(everything) <= max(most, desired)
        assert sets.count(everything, "availableReplicas") >= desired - fewer
        if sets.replicas_of(new) == desired == new["status"]["availableReplicas"] and not sets.total(olds):
            return
        if chance.random() < 0.5:
            size = scaling.next_of_new(owner, new, olds)
            if size != sets.replicas_of(new):
                new["spec"]["replicas"] = size
                new["status"]["replicas"] = size
                continue
            for each in scaling.next_of_old(owner, new, olds):
                each.set["spec"]["replicas"] = each.set["status"]["replicas"] = each.replicas
                # A replica set gives up its pods that are not available first.
                each.set["status"]["availableReplicas"] = min(each.set["status"]["availableReplicas"], each.replicas)
        elif new["status"]["availableReplicas"] < sets.replicas_of(new):
            new["status"]["availableReplicas"] += 1
    raise AssertionError("it does not end")


@pytest.mark.parametrize(
    ("before", "after", "sizes", "wanted"),
    [
        (10, 20, {"1": 7, "2": 6}, {"1": 13, "2": 12}),
        (10, 5, {"1": 8, "2": 5}, {"1": 4, "2": 3}),
        (10, 0, {"1": 8, "2": 5}, {"1": 0, "2": 0}),
    ],
)
def test_scaling_in_the_middle_is_shared(
    before: int, after: int, sizes: dict[str, int], wanted: dict[str, int]
) -> None:
    most = sets.most(deployment(before))
    known = [replica_set(name, size, size - 1, most, desired=before) for name, size in sizes.items()]
    shared = scaling.shared(deployment(after), known[1], known[:1])
    assert {one.set["metadata"]["name"]: one.replicas for one in shared} == wanted


def test_one_set_alone_takes_the_whole_size() -> None:
    [only] = scaling.shared(deployment(7), replica_set("2", 3), [replica_set("1", 0)])
    assert (only.set["metadata"]["name"], only.replicas) == ("2", 7)
    saturated = replica_set("2", 7, 7, 9, desired=7)
    assert [one.replicas for one in scaling.shared(deployment(7), saturated, [replica_set("1", 2)])] == [0]


def test_annotations_tell_the_history() -> None:
    owner = deployment()
    owner["metadata"]["annotations"] = {"kubernetes.io/change-cause": "x", sets.REVISION: "7"}
    first = sets.new_annotations(owner, {}, 1)
    assert first == {"kubernetes.io/change-cause": "x", sets.REVISION: "1"}
    again = sets.new_annotations(owner, first, 3)
    assert (again[sets.REVISION], again[sets.HISTORY]) == ("3", "1")
    assert sets.new_annotations(owner, again, 5)[sets.HISTORY] == "1,3"
    assert sets.new_annotations(owner, again, 2) == again


def test_the_new_set_is_found_by_its_template() -> None:
    owner = deployment()
    made = sets.make_new(owner, [], 1)
    code = made["metadata"]["labels"][sets.HASH]
    assert made["metadata"]["name"] == f"a-{code}" and made["spec"]["selector"]["matchLabels"][sets.HASH] == code
    assert made["spec"]["replicas"] == 10 and made["metadata"]["annotations"][sets.MOST] == "13"
    made["metadata"]["uid"] = "x"
    assert sets.find_new(owner, [replica_set("1", 1), made]) is made


def test_old_sets_beyond_the_history_go() -> None:
    owner = deployment(revisionHistoryLimit=1)
    old = [replica_set(str(number), 0) for number in range(3)] + [replica_set("8", 2)]
    assert [one["metadata"]["name"] for one in sets.cleanable(owner, old)] == ["0", "1", "2"]
    assert not sets.cleanable(deployment(revisionHistoryLimit=9), old)


def test_progress_is_told_in_the_original_words() -> None:
    owner = deployment(2, progressDeadlineSeconds=60)
    new = replica_set("9", 2, 0)
    told = progress.rollout_status(owner, [new], new, NOW)
    found = {one["type"]: (one["status"], one["reason"]) for one in told["conditions"]}
    assert found["Available"] == ("False", "MinimumReplicasUnavailable")
    owner["status"] = {
        **told,
        "conditions": [progress.condition("Progressing", "True", "ReplicaSetUpdated", "", NOW - 61)],
    }
    late = progress.find(progress.rollout_status(owner, [new], new, NOW), "Progressing") or {}
    assert (late["status"], late["reason"]) == ("False", "ProgressDeadlineExceeded")
    assert late["message"] == 'ReplicaSet "9" has timed out progressing.'
    done = {**owner, "status": {"conditions": [progress.condition("Progressing", "True", "x", "", NOW - 6)]}}
    new["status"]["availableReplicas"] = 2
    complete = progress.rollout_status(done, [new], new, NOW)
    assert progress.is_complete(done, complete)
    assert (progress.find(complete, "Progressing") or {})["reason"] == "NewReplicaSetAvailable"
    assert progress.deadline_left(done, complete, NOW) is None


# Stateful sets


def set_of(count: int, **spec: Any) -> Object:
    strategy = spec.pop("updateStrategy", {"type": "RollingUpdate", "rollingUpdate": {"partition": 0}})
    return workload("StatefulSet", replicas=count, updateStrategy=strategy, serviceName="s", **spec)


def member(ordinal: int, revision: str = "new", **facts: Any) -> Pod:
    known = {"ready": True, "ready_since": NOW - 50, "labels": {HASH: revision}}
    return pod(f"a-{ordinal}", **{**known, **facts})


def planned(owner: Object, members: dict[int, Pod], current: str = "old") -> tuple[list[int], list[str]]:
    plan = stateful.plan(owner, current, "new", members, NOW)
    return [one.ordinal for one in plan.create], [one.name for one in plan.delete]


def test_ordered_members_come_and_go_one_by_one() -> None:
    assert planned(set_of(3), {}) == ([0], [])
    assert planned(set_of(3), {0: member(0, ready=False)}) == ([], [])
    assert planned(set_of(3), {0: member(0)}) == ([1], [])
    assert planned(set_of(3), {0: member(0, deleted=NOW)}) == ([], [])
    assert planned(set_of(3), {0: member(0, phase="Failed")}) == ([], ["a-0"])
    assert planned(set_of(1), {n: member(n) for n in range(3)}) == ([], ["a-2"])
    assert planned(set_of(1), {0: member(0), 1: member(1, ready=False), 2: member(2)}) == ([], ["a-2"])
    assert planned(set_of(1), {0: member(0), 1: member(1), 2: member(2, ready=False)}) == ([], ["a-2"])
    assert planned(set_of(1), {0: member(0, ready=False), 1: member(1)}) == ([], [])
    assert planned(set_of(2, ordinals={"start": 5}), {}) == ([5], [])
    assert planned(set_of(2, minReadySeconds=60), {0: member(0)}) == ([], [])


def test_parallel_members_come_and_go_together() -> None:
    owner = set_of(3, podManagementPolicy="Parallel")
    assert planned(owner, {1: member(1, ready=False)}) == ([0, 2], [])
    owner["spec"]["replicas"] = 0
    assert planned(owner, {n: member(n) for n in range(2)}) == ([], ["a-1", "a-0"])


def test_updates_go_downwards_to_the_partition() -> None:
    old = {n: member(n, "old") for n in range(3)}
    assert planned(set_of(3), old) == ([], ["a-2"])
    assert planned(set_of(3), {**old, 2: member(2, ready=False)}) == ([], [])
    partition = {"type": "RollingUpdate", "rollingUpdate": {"partition": 2}}
    assert planned(set_of(3, updateStrategy=partition), {**old, 2: member(2)}) == ([], [])
    several = {"type": "RollingUpdate", "rollingUpdate": {"maxUnavailable": 2}}
    assert planned(set_of(3, updateStrategy=several), old) == ([], ["a-2", "a-1"])
    assert planned(set_of(3, updateStrategy={"type": "OnDelete"}), old) == ([], [])
    assert stateful.revision_for(set_of(3, updateStrategy=partition), "old", "new", 1) == "old"
    assert stateful.revision_for(set_of(3, updateStrategy=partition), "old", "new", 2) == "new"


@settings(max_examples=150, deadline=None)
@given(seed=st.integers(0, 1 << 30), count=st.integers(0, 5), start=st.integers(0, 3), ordered=st.booleans())
def test_a_stateful_set_never_makes_an_ordinal_twice(seed: int, count: int, start: int, ordered: bool) -> None:
    chance = random.Random(seed)
    policy = "OrderedReady" if ordered else "Parallel"
    owner = set_of(count, ordinals={"start": start}, podManagementPolicy=policy)
    members: dict[int, Pod] = {
        n: member(n, chance.choice(["old", "new"]), ready=chance.random() < 0.7, deleted=chance.choice([0.0, NOW]))
        for n in chance.sample(range(9), chance.randrange(5))
    }
    for _ in range(300):
        plan = stateful.plan(owner, "old", "new", members, NOW)
        for new in plan.create:
            assert new.ordinal not in members and new.ordinal in identity.ordinals(owner)
        if ordered:
            assert len(plan.create) + len(plan.delete) <= 1
        for new in plan.create:
            members[new.ordinal] = member(new.ordinal, new.revision, ready=False)
        for one in plan.delete:
            ordinal = identity.ordinal_of(owner, one)
            members[ordinal] = member(ordinal, one.labels[HASH], ready=one.ready, deleted=NOW)
        if not members and not count:
            return
        if not members:
            continue
        ordinal = chance.choice(sorted(members))
        known = members[ordinal]
        if known.deleted:
            del members[ordinal]
        else:
            members[ordinal] = member(ordinal, known.labels[HASH])
        done = [one for one in members.values() if one.ready and one.labels[HASH] == "new" and not one.deleted]
        if len(done) == len(members) == count and set(members) == set(identity.ordinals(owner)):
            return
    raise AssertionError("it does not end")


def test_members_have_their_names_and_claims() -> None:
    owner = set_of(1, volumeClaimTemplates=[{"metadata": {"name": "data"}, "spec": {"x": 1}}])
    made = identity.make_pod(owner, owner["spec"]["template"], "a-1", 4)
    known = facts_of({**made, "metadata": {**made["metadata"], "uid": "x"}})
    assert (known.name, known.hostname, known.subdomain, known.claims) == ("a-4", "a-4", "s", {"data": "data-a-4"})
    assert not identity.missing_labels(owner, known, 4)
    assert [identity.ordinal_of(owner, pod(name)) for name in ("a-0", "a-01", "b-0", "a-x", "a-12")] == [
        0,
        -1,
        -1,
        -1,
        12,
    ]


def test_claims_are_owned_as_the_policy_says() -> None:
    def policy(scaled: str, deleted: str) -> Object:
        return set_of(1, persistentVolumeClaimRetentionPolicy={"whenScaled": scaled, "whenDeleted": deleted})

    def kinds(owner: Object, *, condemned: bool) -> list[str]:
        return [one["kind"] for one in claims.owners(owner, member(3), (), condemned=condemned)]

    assert kinds(policy("Retain", "Retain"), condemned=True) == []
    assert kinds(policy("Retain", "Delete"), condemned=True) == ["StatefulSet"]
    assert kinds(policy("Delete", "Retain"), condemned=True) == ["Pod"]
    assert kinds(policy("Delete", "Retain"), condemned=False) == []
    assert kinds(policy("Delete", "Delete"), condemned=False) == ["StatefulSet"]
    assert kinds(policy("Delete", "Delete"), condemned=True) == ["Pod"]
    foreign = ({"kind": "X", "uid": "y", "controller": True},)
    assert claims.owners(policy("Delete", "Delete"), member(3), foreign, condemned=True) == list(foreign)


# Daemon sets


def test_where_daemons_run() -> None:
    def node(*taints: tuple[str, str], **labels: str) -> Node:
        return Node("x", labels, tuple({"key": key, "effect": effect} for key, effect in taints))

    def daemons_with(**pod_spec: Any) -> Object:
        made = workload("DaemonSet")
        made["spec"]["template"]["spec"].update(pod_spec)
        return made

    plain = daemons_with()
    assert place(plain, node()) == Place(True, True)
    assert place(plain, node(("k", "NoSchedule"))) == Place(False, True)
    assert place(plain, node(("k", "NoExecute"))) == Place(False, False)
    assert place(plain, node(("k", "PreferNoSchedule"))) == Place(True, True)
    for key, effect in (("not-ready", "NoExecute"), ("unschedulable", "NoSchedule"), ("disk-pressure", "NoSchedule")):
        assert place(plain, node((f"node.kubernetes.io/{key}", effect))) == Place(True, True)
    network = node(("node.kubernetes.io/network-unavailable", "NoSchedule"))
    assert not place(plain, network).wanted and place(daemons_with(hostNetwork=True), network).wanted
    assert place(daemons_with(tolerations=[{"operator": "Exists"}]), node(("k", "NoExecute"))).wanted
    chosen = daemons_with(nodeSelector={"disk": "ssd"})
    assert place(chosen, node(disk="ssd")).wanted and place(chosen, node()) == Place(False, False)
    term = {"matchExpressions": [{"key": "n", "operator": "Gt", "values": ["3"]}]}
    required = {"requiredDuringSchedulingIgnoredDuringExecution": {"nodeSelectorTerms": [term]}}
    affine = daemons_with(affinity={"nodeAffinity": required})
    assert place(affine, node(n="4")).wanted and not place(affine, node(n="3")).wanted
    made = daemon_pod(affine, "x", "h")
    assert facts_of({**made, "metadata": {**made["metadata"], "name": "p"}}).target == "x"


@settings(max_examples=150, deadline=None)
@given(
    seed=st.integers(0, 1 << 30),
    nodes=st.integers(1, 6),
    rolling=st.sampled_from([(1, 0), (2, 0), ("50%", 0), (0, 1), (0, 2), (0, "50%")]),
)
def test_daemons_are_replaced_within_their_limits(seed: int, nodes: int, rolling: Any) -> None:
    chance = random.Random(seed)
    strategy = {"type": "RollingUpdate", "rollingUpdate": {"maxUnavailable": rolling[0], "maxSurge": rolling[1]}}
    owner = workload("DaemonSet", updateStrategy=strategy)
    where = {f"n{number}": Place(True, True) for number in range(nodes)}
    away, more = (amount_of(each, nodes, up=True) for each in rolling)
    ready = {"ready": True, "ready_since": NOW - 9}
    pods = {node: [pod(f"{node}-old", node=node, labels={HASH: "old"}, **ready)] for node in where}
    for turn in range(500):
        plan = daemons.place_pods(owner, where, pods, "new", NOW, {})
        if not plan.create and not plan.delete:
            plan = daemons.update(owner, where, pods, "new", NOW)
        for one in plan.delete:
            pods[one.node] = [pod(each.name, node=each.node, labels=each.labels, deleted=NOW) if each is one else each
                              for each in pods[one.node]]  # fmt: skip
        for node in plan.create:
            pods.setdefault(node, []).append(pod(f"{node}-{turn}", node=node, labels={HASH: "new"}))
        lacking = sum(not any(one.ready for one in pods.get(node, ())) for node in where)
        assert lacking <= away, "more nodes without a daemon than allowed"
        assert sum(len(there) > 1 for there in pods.values()) <= (more + nodes if more else 0)
        assert more or all(len(there) <= 1 for there in pods.values())
        node = chance.choice(sorted(where))
        there = [one for one in pods.get(node, ()) if not one.deleted]
        pods[node] = [pod(one.name, node=node, labels=one.labels, **ready) for one in there]
        if not pods[node]:
            del pods[node]
        everything = [one for each in pods.values() for one in each]
        if len(everything) == nodes and all(one.labels[HASH] == "new" and one.ready for one in everything):
            return
    raise AssertionError("it does not end")


def test_failed_daemons_are_replaced_after_a_pause() -> None:
    owner = workload("DaemonSet", updateStrategy={"type": "OnDelete"})
    where = {"x": Place(True, True), "y": Place(False, False)}
    failed, done = pod("f", node="x", phase="Failed"), pod("d", node="y", phase="Succeeded")
    plan = daemons.place_pods(owner, where, {"x": [failed], "y": [done]}, "h", NOW, {})
    assert [one.name for one in plan.delete] == ["f", "d"] and plan.events[0][1] == "FailedDaemonPod"
    plan = daemons.place_pods(owner, where, {"x": [failed]}, "h", NOW, {"x": NOW + 4})
    assert (plan.delete, plan.create, plan.again) == ((), (), 4)
    status = daemons.status_of(owner, where, {"x": [failed], "y": [done]}, "h", None, NOW)
    assert (status["desiredNumberScheduled"], status["numberMisscheduled"], status["numberUnavailable"]) == (1, 1, 1)
