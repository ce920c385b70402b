"""The controllers in a simulated world: whatever fails, lags or is killed, they never go beyond what they may, and
reach what they should. A seed that fails replays exactly."""

import pytest
from workloads_simulation import World, run, template, workload

from boxship.cluster.objects import Object
from boxship.cluster.objects.copies import copied

SEEDS = range(4)


def living(world: World) -> list[Object]:
    pods = [pod for pod in world.api.all("v1/pods") if not pod["metadata"].get("deletionTimestamp")]
    return [pod for pod in pods if pod["status"]["phase"] not in ("Succeeded", "Failed")]


def is_ready(pod: Object) -> bool:
    return any(one["status"] == "True" for one in pod["status"].get("conditions") or ())


def images(pods: list[Object]) -> set[str]:
    return {pod["spec"]["containers"][0]["image"] for pod in pods}


@pytest.mark.parametrize("seed", SEEDS)
def test_a_rolling_update_stays_between_its_limits(seed: int) -> None:
    async def scenario() -> None:
        world = World(seed)
        rolling = {"type": "RollingUpdate", "rollingUpdate": {"maxSurge": 2, "maxUnavailable": 1}}
        spec = {"replicas": 5, "strategy": rolling, "revisionHistoryLimit": 1, "progressDeadlineSeconds": 600}
        await world.create("apps/v1/deployments", workload("Deployment", **spec))

        def within() -> None:
            assert len(living(world)) <= 7, "more than replicas and maxSurge"
            ready = [pod for pod in living(world) if is_ready(pod)]
            assert not begun or len(ready) >= 4, "fewer ready than replicas less maxUnavailable"
            sets = world.api.all("apps/v1/replicasets")
            assert sum(one["spec"]["replicas"] for one in sets) <= 7

        def done(image: str) -> bool:
            status = world.find("apps/v1/deployments", "a").get("status") or {}
            counts = {status.get(key) for key in ("replicas", "updatedReplicas", "availableReplicas")}
            return counts == {5} and images(living(world)) == {image} and len(living(world)) == 5

        begun = world.kubelets.flaps = False
        world.api.checks.append(within)
        await world.settle(lambda: done("one"), seconds=120, deaths=2)
        begun = True
        for image in ("two", "three", "one"):
            world.edit("apps/v1/deployments", "a", template=template(image=image))
            await world.settle(lambda image=image: done(image), seconds=300, deaths=2)  # type: ignore[misc]

        def cleaned() -> bool:
            return len(world.api.all("apps/v1/replicasets")) == 2

        await world.settle(cleaned, seconds=120)

    run(scenario)


@pytest.mark.parametrize("seed", SEEDS)
def test_a_stateful_set_is_updated_one_by_one(seed: int) -> None:
    async def scenario() -> None:
        world = World(seed)
        rolling = {"type": "RollingUpdate", "rollingUpdate": {"partition": 0}}
        claim = {"metadata": {"name": "data"}, "spec": {}}
        spec = {"replicas": 3, "updateStrategy": rolling, "podManagementPolicy": "OrderedReady", "serviceName": "s"}
        spec |= {"volumeClaimTemplates": [claim], "revisionHistoryLimit": 1}
        await world.create("apps/v1/statefulsets", workload("StatefulSet", **spec))

        def within() -> None:
            names = sorted(pod["metadata"]["name"] for pod in world.api.all("v1/pods"))
            assert names in (["a-0", "a-1", "a-2"][:n] for n in range(4)) or settled, names

        def done(image: str, count: int) -> bool:
            status = world.find("apps/v1/statefulsets", "a").get("status") or {}
            pods = world.api.all("v1/pods")
            right = status.get("readyReplicas") == status.get("updatedReplicas") == status.get("replicas") == count
            return right and len(pods) == count and images(pods) == {image}

        settled = False
        world.api.checks.append(within)
        await world.settle(lambda: done("one", 3), seconds=200, deaths=2)
        settled = True
        assert {one["metadata"]["name"] for one in world.api.all("v1/persistentvolumeclaims")} == {
            "data-a-0",
            "data-a-1",
            "data-a-2",
        }
        world.api.checks.append(lambda: _at_most_one_away(world))
        world.edit("apps/v1/statefulsets", "a", template=template(image="two"))
        await world.settle(lambda: done("two", 3), seconds=300, deaths=2)
        world.api.checks.pop()
        world.edit("apps/v1/statefulsets", "a", replicas=1)
        await world.settle(lambda: done("two", 1), seconds=200, deaths=1)

    run(scenario)


def _at_most_one_away(world: World) -> None:
    gone = 3 - len([pod for pod in world.api.all("v1/pods") if not pod["metadata"].get("deletionTimestamp")])
    assert gone <= 1, "two of its pods are away at once"


@pytest.mark.parametrize("mode", ["NonIndexed", "Indexed"])
@pytest.mark.parametrize("seed", SEEDS)
def test_a_job_counts_each_pod_once(seed: int, mode: str) -> None:
    async def scenario() -> None:
        world = World(seed, fails=0.2)
        spec = {"completions": 6, "parallelism": 3, "completionMode": mode, "backoffLimit": 1000}
        spec |= {"template": template(restartPolicy="Never"), "podReplacementPolicy": "Failed"}
        await world.create("batch/v1/jobs", workload("Job", **spec))

        def is_done() -> bool:
            conditions = (world.find("batch/v1/jobs", "a").get("status") or {}).get("conditions") or ()
            return any(one["type"] == "Complete" for one in conditions)

        def within() -> None:
            assert len(living(world)) <= 3, "more than parallelism"

        world.api.checks.append(within)
        await world.settle(is_done, seconds=5000, deaths=3)
        status = world.find("batch/v1/jobs", "a")["status"]
        assert status["succeeded"] == 6 == len(world.kubelets.succeeded)
        assert status.get("failed", 0) == len(world.kubelets.failed)
        if mode == "Indexed":
            assert status["completedIndexes"] == "0-5"

        def released() -> bool:
            return not any(pod["metadata"].get("finalizers") for pod in world.api.all("v1/pods"))

        await world.settle(released, seconds=60)

    run(scenario)


@pytest.mark.parametrize("seed", SEEDS)
def test_daemons_are_updated_within_their_limit(seed: int) -> None:
    async def scenario() -> None:
        world = World(seed)
        for number in range(4):
            node = {"apiVersion": "v1", "kind": "Node", "metadata": {"name": f"n{number}"}, "spec": {}}
            await world.create("v1/nodes", node)
        rolling = {"type": "RollingUpdate", "rollingUpdate": {"maxUnavailable": 1, "maxSurge": 0}}
        await world.create("apps/v1/daemonsets", workload("DaemonSet", updateStrategy=rolling, revisionHistoryLimit=2))

        def done(image: str) -> bool:
            status = world.find("apps/v1/daemonsets", "a").get("status") or {}
            counts = {status.get(key) for key in ("desiredNumberScheduled", "updatedNumberScheduled", "numberReady")}
            return counts == {4} and len(world.api.all("v1/pods")) == 4 and images(living(world)) == {image}

        await world.settle(lambda: done("one"), seconds=120, deaths=2)
        world.api.checks.append(lambda: _no_two_beside(world))
        world.edit("apps/v1/daemonsets", "a", template=template(image="two"))
        await world.settle(lambda: done("two"), seconds=300, deaths=2)

    run(scenario)


def _no_two_beside(world: World) -> None:
    assert len(world.api.all("v1/pods")) <= 4, "two daemons on a node"


@pytest.mark.parametrize(("kind", "path"), [("StatefulSet", "statefulsets"), ("DaemonSet", "daemonsets")])
@pytest.mark.parametrize("seed", SEEDS)
def test_who_is_made_anew_goes_on_with_the_orphans(seed: int, kind: str, path: str) -> None:
    """Deleted with --cascade=orphan and created again: the same pods, the same revision."""

    async def scenario() -> None:
        world = World(seed)
        resource = f"apps/v1/{path}"
        await world.create("v1/nodes", {"apiVersion": "v1", "kind": "Node", "metadata": {"name": "n"}, "spec": {}})
        made = workload(kind, replicas=1, serviceName="s", updateStrategy={"type": "RollingUpdate"})
        await world.create(resource, made)

        def done() -> bool:
            owner = world.find(resource, "a")
            ready = (owner.get("status") or {}).get("readyReplicas") or (owner.get("status") or {}).get("numberReady")
            kept = [*world.api.all("v1/pods"), *world.api.all("apps/v1/controllerrevisions")]
            owners = {one["uid"] for each in kept for one in each["metadata"].get("ownerReferences") or ()}
            return ready == 1 and owners == {owner["metadata"]["uid"]}

        await world.settle(done, seconds=120)
        before = {one["metadata"]["uid"] for one in world.api.all("v1/pods")}
        world.api.end(resource, world.find(resource, "a"))
        for each in ("v1/pods", "apps/v1/controllerrevisions"):
            for one in world.api.all(each):
                metadata = {key: value for key, value in one["metadata"].items() if key != "ownerReferences"}
                world.api.change(each, {**copied(one), "metadata": metadata})
        await world.create(resource, made)
        await world.settle(done, seconds=120, deaths=1)
        assert {one["metadata"]["uid"] for one in world.api.all("v1/pods")} == before
        assert len(world.api.all("apps/v1/controllerrevisions")) == 1

    run(scenario)
