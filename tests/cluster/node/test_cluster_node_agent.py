"""The node agent on the real API over a simulated machine."""

import asyncio
import time
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from agent_kit import Node, container, is_in, is_ready, running_node, waits_for
from world_kit import eventually

from boxship.cluster.node.life.deciding import DEFERRED_SECONDS
from boxship.cluster.objects import Object
from boxship.errors import Unavailable


@pytest.fixture
async def node(tmp_path: Path) -> AsyncIterator[Node]:
    async with running_node(tmp_path) as node:
        yield node


async def test_a_node_registers_and_keeps_its_lease(node: Node) -> None:
    async def is_node_ready() -> bool:
        found = await node.world.found("v1/nodes", "", "n1")
        return found is not None and is_ready(found["status"])

    await eventually(is_node_ready, "the node is ready")
    found = await node.world.client.get("v1/nodes", "", "n1")
    assert found["status"]["allocatable"]["cpu"] == "4"
    assert found["status"]["addresses"][0] == {"type": "InternalIP", "address": "192.0.2.10"}
    assert found["metadata"]["labels"]["kubernetes.io/hostname"] == "n1"

    async def has_lease() -> bool:
        lease = await node.world.found("coordination.k8s.io/v1/leases", "kube-node-lease", "n1")
        return lease is not None and lease["spec"]["holderIdentity"] == "n1"

    await eventually(has_lease, "the node has a lease")


async def test_a_cordon_is_told_at_once_and_a_deleted_node_stays_away(node: Node) -> None:
    client = node.world.client

    async def is_node_ready() -> bool:
        found = await node.world.found("v1/nodes", "", "n1")
        return found is not None and is_ready(found["status"])

    await eventually(is_node_ready, "the node is ready")
    for closed in (True, False, True, False):  # each before the agent would have looked
        await client.patch("v1/nodes", "", "n1", {"spec": {"unschedulable": closed}})

    async def told() -> bool:
        events = (await client.list("v1/events", "default")).items
        found = {one["reason"]: one.get("count") for one in events if one["involvedObject"]["name"] == "n1"}
        return found.get("NodeNotSchedulable") == found.get("NodeSchedulable") == 2

    await eventually(told, "both ways were told twice")
    await client.delete("v1/nodes", "", "n1")

    async def seen() -> bool:
        return node.agent._reporter._gone

    await eventually(seen, "the agent has seen it")
    assert await node.agent._reporter._tell(at_all=True) is False
    assert await node.world.found("v1/nodes", "", "n1") is None


async def test_a_pod_runs_and_goes(node: Node) -> None:
    await node.pod("web", container("a"), container("b"))
    status = await node.until("web", is_ready, "the pod is ready")
    assert status["phase"] == "Running"
    assert status["podIP"].startswith("10.244.0.")
    assert status["hostIP"] == "192.0.2.10"
    first = status["containerStatuses"][0]
    assert first["ready"] and first["started"] and first["restartCount"] == 0
    assert first["containerID"].startswith("boxship://")
    assert {one["type"]: one["status"] for one in status["conditions"]} == {
        "PodReadyToStartContainers": "True",
        "Initialized": "True",
        "Ready": "True",
        "ContainersReady": "True",
        "PodScheduled": "True",
    }
    await node.world.client.delete("v1/pods", "default", "web")
    await node.gone("web")
    assert not node.runtime.pods and not node.runtime.table and not node.volumes.known()
    for reason in ("Pulled", "Created", "Started", "Killing"):
        assert await node.events(reason), reason


async def test_the_newer_of_two_pods_of_one_name_is_meant(node: Node) -> None:
    """One that is deleted by force goes on for a while; who asks for logs, or to run something, means the other."""
    old = await node.pod("web", container("a", "deaf"))
    await node.until("web", is_ready, "the first is ready")
    await node.world.client.delete("v1/pods", "default", "web", grace=0)
    new = await node.pod("web", container("a"))
    await node.until("web", is_ready, "the second is ready")
    assert old["metadata"]["uid"] in {pod["metadata"]["uid"] for pod in node.agent.all()}, "the first still ends"
    found = node.agent.find("default", "web")
    assert found is not None and found["metadata"]["uid"] == new["metadata"]["uid"]


async def test_hundred_pods_at_once(node: Node) -> None:
    began = time.monotonic()
    await asyncio.gather(*(node.pod(f"p{number}") for number in range(100)))

    async def all_ready() -> bool:
        found = (await node.world.client.list("v1/pods", "default")).items
        return len(found) == 100 and all(is_ready(pod["status"]) for pod in found)

    await eventually(all_ready, "all are ready", 20)
    print("100 pods ready in", time.monotonic() - began)
    began = time.monotonic()
    await asyncio.gather(*(node.world.client.delete("v1/pods", "default", f"p{number}") for number in range(100)))

    async def all_gone() -> bool:
        return not (await node.world.client.list("v1/pods", "default")).items

    await eventually(all_gone, "all are gone", 20)
    print("and gone in", time.monotonic() - began)


async def test_a_pod_that_completes(node: Node) -> None:
    await node.pod("job", container("a", "sleep", "0.05"), restartPolicy="Never")
    status = await node.until("job", is_in("Succeeded"))
    ended = status["containerStatuses"][0]["state"]["terminated"]
    assert ended["exitCode"] == 0 and ended["reason"] == "Completed"
    await node.pod("bad", container("a", "exit", "3"), restartPolicy="Never")
    status = await node.until("bad", is_in("Failed"))
    assert status["containerStatuses"][0]["state"]["terminated"]["reason"] == "Error"


async def test_a_container_that_keeps_ending_waits(node: Node) -> None:
    await node.pod("crash", container("a", "exit", "1"))
    status = await node.until("crash", waits_for("CrashLoopBackOff"))
    one = status["containerStatuses"][0]
    assert one["restartCount"] == 1
    assert one["lastState"]["terminated"]["exitCode"] == 1
    assert one["state"]["waiting"]["message"].startswith(
        "back-off 10s restarting failed container=a pod=crash_default("
    )
    assert status["phase"] == "Running"

    async def told() -> bool:
        return any("Back-off restarting failed container a" in text for text in await node.events("BackOff"))

    await eventually(told, "the back-off is told")


async def test_init_containers_run_in_order(node: Node) -> None:
    await node.pod(
        "ordered",
        container("main"),
        initContainers=[
            container("one", "sleep", "0.05"),
            container("side", restartPolicy="Always"),
            container("two", "sleep", "0.05"),
        ],
    )
    status = await node.until("ordered", is_ready)
    started = [name for _, what, _, name in node.runtime.history if what == "started"]
    assert started == ["one", "side", "two", "main"]
    assert [one["ready"] for one in status["initContainerStatuses"]] == [True, True, True]
    await node.world.client.delete("v1/pods", "default", "ordered")
    await node.gone("ordered")
    ended = [name for _, what, _, name in node.runtime.history if what == "ended"]
    assert ended == ["one", "two", "main", "side"]


async def test_an_image_that_is_not_there(node: Node) -> None:
    node.runtime.missing.add("docker.io/library/nothing:1")
    await node.pod("lost", {"name": "a", "image": "nothing:1"})
    await node.until("lost", waits_for("ErrImagePull"))
    status = await node.until("lost", waits_for("ImagePullBackOff"))
    assert status["phase"] == "Pending"


async def test_an_agent_that_is_killed_goes_on(node: Node) -> None:
    await node.pod("web")
    before = await node.until("web", is_ready)
    await node.kill()
    run = next(iter(node.runtime.table.values()))
    node.runtime.end(run.id, 1)
    await node.pod("other")
    node.begin()
    await node.until("other", is_ready)
    after = await node.until("web", lambda status: is_ready(status) and status["containerStatuses"][0]["restartCount"])
    assert after["containerStatuses"][0]["lastState"]["terminated"]["exitCode"] == 1
    assert after["podIP"] == before["podIP"] and after["startTime"] == before["startTime"]
    await node.kill()
    await node.world.client.delete("v1/pods", "default", "other", grace=0)
    node.begin()
    await eventually(lambda: _count(node, 1), "what is left over is taken away")


async def test_a_pod_that_does_not_fit_is_refused(node: Node) -> None:
    async def ready() -> bool:
        found = await node.world.found("v1/nodes", "", "n1")
        return found is not None and is_ready(found["status"])

    await eventually(ready, "the node is ready")
    large = container("a", resources={"requests": {"cpu": "3"}})
    await node.pod("one", large)
    await node.until("one", is_ready)
    await node.pod("two", large)
    status = await node.until("two", is_in("Failed"))
    assert status["reason"] == "OutOfcpu"
    shown = "Pod was rejected: Node didn't have enough resource: cpu, requested: 3000, used: 3000, capacity: 4000"
    assert status["message"] == shown
    await node.world.client.delete("v1/pods", "default", "one", grace=0)
    await node.pod("three", large)
    await node.until("three", is_ready, "it is not refused for what still ends here")
    await node.world.client.patch("v1/nodes", "", "n1", {"metadata": {"labels": {"disk": "fast"}}})
    await node.pod("labelled", nodeSelector={"disk": "fast"})
    await node.until("labelled", is_ready)
    await node.pod("elsewhere", nodeSelector={"disk": "slow"})
    assert (await node.until("elsewhere", is_in("Failed")))["reason"] == "NodeAffinity"
    await node.world.client.delete("v1/pods", "default", "elsewhere")
    await node.gone("elsewhere")


async def test_a_resize_that_waits_for_room_has_it_when_another_pod_goes(node: Node) -> None:
    await node.pod("one", container("a", resources={"requests": {"cpu": "2"}}))
    await node.pod("two", container("a", resources={"requests": {"cpu": "1"}}))
    for name in ("one", "two"):
        await node.until(name, is_ready)
    more = [{"name": "a", "resources": {"requests": {"cpu": "3500m"}}}]
    await node.world.client.patch("v1/pods", "default", "one", {"spec": {"containers": more}}, subresource="resize")

    def is_deferred(status: Object) -> bool:
        return any(each.get("reason") == "Deferred" for each in status["conditions"])

    await node.until("one", is_deferred, "there is no room")
    deferred = time.monotonic()
    await node.world.client.delete("v1/pods", "default", "two", grace=0)
    await node.until("one", lambda status: not is_deferred(status), "there is room")
    assert time.monotonic() - deferred < DEFERRED_SECONDS / 2, "nobody has waited for the next look"


class Network:
    """A gate that opens when it is told to; the first who asks is sent away."""

    is_open = False

    def __init__(self) -> None:
        self.asked: list[tuple[str, str, bool]] = []
        self.ready = asyncio.Event()

    async def admit(self, pod: Object, address: str, *, static: bool = False) -> None:
        self.asked.append((pod["metadata"]["name"], address, static))
        if len(self.asked) == 1:
            raise Unavailable("nobody follows policies")
        await self.ready.wait()


async def test_nothing_of_a_pod_runs_before_the_network_knows_it(node: Node) -> None:
    await node.kill()
    network = node.gate = Network()
    node.begin()
    await node.pod("web")
    status = await node.until("web", lambda status: status.get("podIP"), "others hear of its address at once")
    address = status["podIP"]

    async def asked_again() -> bool:
        return network.asked == [("web", address, False)] * 2

    await eventually(asked_again, "it is tried again")
    assert not await node.runtime.containers()

    async def told() -> bool:
        return "Error: nobody follows policies" in await node.events("Failed")

    await eventually(told, "people are told why")
    network.ready.set()
    await node.until("web", is_ready, "it runs")
    await node.pod("host", hostNetwork=True)
    await node.until("host", is_ready, "nobody is asked about the host's network")
    assert len(network.asked) == 2


async def test_static_pods_run_without_the_api(node: Node, tmp_path: Path) -> None:
    folder = tmp_path / "static"
    folder.mkdir()
    await node.kill()
    text = "apiVersion: v1\nkind: Pod\nmetadata: {name: web}\nspec: {containers: [{name: a, image: 'one:1'}]}\n"
    (folder / "web.yaml").write_text(text)
    (folder / "wrong.yaml").write_text("kind: Pod\n")
    node.begin(static_folder=str(folder))
    status = await node.until("web-n1", is_ready, "its mirror is ready")
    mirror = await node.world.client.get("v1/pods", "default", "web-n1")
    assert mirror["metadata"]["annotations"]["kubernetes.io/config.source"] == "file"
    assert mirror["metadata"]["ownerReferences"][0]["kind"] == "Node"
    assert [one["metadata"]["name"] for one in node.agent.all()] == ["web-n1"]
    await node.world.client.delete("v1/pods", "default", "web-n1")

    async def is_back() -> bool:
        found = await node.world.found("v1/pods", "default", "web-n1")
        return found is not None and found["metadata"]["uid"] != mirror["metadata"]["uid"] and is_ready(found["status"])

    await eventually(is_back, "the mirror is made anew", 10)
    assert status["containerStatuses"][0]["containerID"] == f"boxship://{next(iter(node.runtime.table))}"
    (folder / "web.yaml").unlink()
    await node.gone("web-n1", 10)
    await eventually(lambda: _count(node, 0), "nothing of it is left")


async def _count(node: Node, number: int) -> bool:
    return len(node.runtime.pods) == number == len(node.volumes.known())
