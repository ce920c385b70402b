"""What the enforcer of network policies is told of the engine's pods."""

from collections.abc import AsyncIterator
from types import SimpleNamespace
from typing import Any

from boxship.cluster.proxy.walls import PodFacts
from boxship.engine.model import Event, Phase
from boxship.engine.pods_records import Pod
from boxship.errors import Exhausted
from boxship.main.node_policies import EnginePods
from boxship.spec.attachment import Endpoint
from boxship.spec.pod import PodSpec


def pod(uid: str, *addresses: str) -> Pod:
    labels = {"app": "web", "io.kubernetes.pod.uid": uid, "io.kubernetes.pod.name": "p"}
    spec = PodSpec(uid=uid, namespace="shop", name=f"name-{uid}", labels=labels)
    return Pod(
        id=uid,
        spec=spec,
        created_at=1,
        endpoints=tuple(
            Endpoint(network_id="pods", network_name="pods", endpoint_id="e", ipv4_address=a) for a in addresses
        ),
    )


def machine(*pods: Pod, phases: tuple[Phase, ...] = (), news: Any = None) -> EnginePods:
    known = {item.spec.uid: item for item in pods}
    boxes = [SimpleNamespace(state=SimpleNamespace(phase=phase)) for phase in phases]
    of_pods = SimpleNamespace(find=known.get, list=known.values, containers=lambda uid: boxes)
    return EnginePods(SimpleNamespace(pods=of_pods, events=SimpleNamespace(subscribe=news)))  # type: ignore[arg-type]


def test_pods_with_addresses_and_their_own_labels() -> None:
    found = machine(pod("a", "10.244.0.2"), pod("host"))
    assert list(found.pods()) == [(("shop", "name-a"), PodFacts("a", "10.244.0.2", "", {"app": "web"}, {}))]
    assert [found.address_of(uid) for uid in ("a", "host", "none")] == ["10.244.0.2", "", ""]


def test_a_pod_runs_as_long_as_one_of_its_containers() -> None:
    assert machine(phases=(Phase.EXITED, Phase.STOPPING)).runs("a")
    assert not machine(phases=(Phase.EXITED, Phase.CREATED)).runs("a") and not machine().runs("a")


async def test_ends_are_told_also_to_who_was_too_slow() -> None:
    lives = 0

    async def news() -> AsyncIterator[Event]:
        nonlocal lives
        lives += 1
        for kind, action in (("container", "start"), ("container", "die"), ("image", "destroy"), ("pod", "stop")):
            yield Event(kind=kind, action=action, actor="x", attributes={}, time=1)
        if lives == 1:
            raise Exhausted("too slow")

    told = [None async for _ in machine(news=news).ends()]
    assert len(told) == 2 + 1 + 2  # the ends of both lives, and what was missed between them
