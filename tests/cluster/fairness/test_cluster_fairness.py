"""Room for everybody: which level a request belongs to, seats lent and kept, flows that share a level's time."""

import asyncio
from collections.abc import Mapping
from typing import Any

import pytest

from boxship.cluster.api.bootstrap import flows
from boxship.cluster.api.fairness.fairness import Fairness
from boxship.cluster.api.fairness.levels import AT_ONCE, Levels, Setting, setting_of
from boxship.cluster.api.fairness.rules import find, in_order, schema_of
from boxship.cluster.api.gate import Gate, Visit
from boxship.cluster.api.request import Ask, Decision, User
from boxship.cluster.api.storage import Storage, Unsealed, encode, key_of
from boxship.cluster.objects.catalog import built_in
from boxship.cluster.objects.failure import Failure
from boxship.store import Delete, Put
from boxship.store.memory import MemoryStore

SCHEMAS = in_order(map(schema_of, flows.SCHEMAS))
ROBOT = User("system:serviceaccount:prod:robot", ("system:serviceaccounts", "system:authenticated"))
CONTROLLER = User("system:serviceaccount:kube-system:x", ("system:serviceaccounts", "system:authenticated"))
NODE = User("system:node:a", ("system:nodes", "system:authenticated"))
MASTER = User("admin", ("system:masters", "system:authenticated"))
JANE = User("jane", ("system:authenticated",))


@pytest.mark.parametrize(
    ("ask", "schema", "level"),
    [
        (Ask(MASTER, "get", resource="pods"), "exempt", "exempt"),
        (Ask(JANE, "get", path="/healthz"), "probes", "exempt"),
        (Ask(JANE, "get", path="/metrics"), "global-default", "global-default"),
        (Ask(JANE, "list", resource="pods", namespace="a"), "global-default", "global-default"),
        (Ask(NODE, "patch", resource="nodes", subresource="status"), "system-node-high", "node-high"),
        (Ask(NODE, "list", resource="pods"), "system-nodes", "system"),
        (Ask(ROBOT, "list", resource="pods"), "service-accounts", "workload-low"),
        (Ask(CONTROLLER, "list", resource="pods"), "kube-system-service-accounts", "workload-high"),
        (
            Ask(CONTROLLER, "update", group="coordination.k8s.io", resource="leases", namespace="a"),
            "workload-leader-election",
            "leader-election",
        ),
    ],
)
def test_which_level_a_request_belongs_to(ask: Ask, schema: str, level: str) -> None:
    found = find(SCHEMAS, ask)
    assert found is not None and (found.name, found.level) == (schema, level)


def levels(*settings: Setting, seats: int = 10, patience: float = 5.0) -> Levels:
    made = Levels(seats, patience)
    made.configure(settings)
    return made


def limited(name: str, shares: int, **more: Any) -> Setting:
    return Setting(name, shares=shares, **{"queued": 100, "queued_flow": 50, **more})


async def test_idle_seats_are_lent_but_not_those_that_are_kept() -> None:
    made = levels(limited("a", 50), limited("b", 50, lendable=0.6))
    first = made.levels["a"]
    for _ in range(8):  # five of its own, three of b's five
        await made.enter(first, "x")
    waiting = asyncio.create_task(made.enter(first, "x"))
    await asyncio.sleep(0)
    assert not waiting.done() and first.executing == 8
    await made.enter(made.levels["b"], "y")
    await made.enter(made.levels["b"], "y")  # what b keeps is there at once
    made.leave(first, "x", 0.1)
    await waiting
    assert first.executing == 8


async def test_nobody_borrows_more_than_it_may() -> None:
    made = levels(limited("a", 50, borrowed=0.2), limited("b", 50, lendable=1.0))
    for _ in range(6):
        await made.enter(made.levels["a"], "x")
    waiting = asyncio.create_task(made.enter(made.levels["a"], "x"))
    await asyncio.sleep(0)
    assert not waiting.done()
    waiting.cancel()
    with pytest.raises(asyncio.CancelledError):
        await waiting
    assert made.levels["a"].waiting == 0


async def test_a_greedy_flow_does_not_keep_others_waiting() -> None:
    made = levels(limited("a", 1), seats=1)
    level, order = made.levels["a"], []

    async def request(flow: str) -> None:
        await made.enter(level, flow)
        order.append(flow)
        await asyncio.sleep(0)
        made.leave(level, flow, 0.01)

    tasks = [asyncio.create_task(request("greedy")) for _ in range(40)]
    await asyncio.sleep(0)
    tasks += [asyncio.create_task(request("modest")) for _ in range(3)]
    await asyncio.gather(*tasks)
    assert max(index for index, flow in enumerate(order) if flow == "modest") <= 8


async def test_flows_share_the_time_and_not_the_number() -> None:
    made = levels(limited("a", 1), seats=1)
    level, order = made.levels["a"], []

    async def request(flow: str, seconds: float) -> None:
        await made.enter(level, flow)
        order.append(flow)
        made.leave(level, flow, seconds)

    await made.enter(level, "other")
    tasks = [asyncio.create_task(request("slow", 1.0)) for _ in range(10)]
    tasks += [asyncio.create_task(request("fast", 0.1)) for _ in range(10)]
    await asyncio.sleep(0)
    made.leave(level, "other", 0.0)
    await asyncio.gather(*tasks)
    assert order.index("slow") < 2 and order[:12].count("fast") == 10


async def test_a_burst_does_not_keep_a_newcomer_waiting() -> None:
    """Requests that never wait for anything: a few begin in each turn, so who comes later comes soon."""
    made = levels(limited("a", 1), seats=100)
    level, order = made.levels["a"], []

    async def request(flow: str) -> None:
        await made.enter(level, flow)
        order.append(flow)
        made.leave(level, flow, 0.01)

    tasks = [asyncio.create_task(request("greedy")) for _ in range(40)]
    await asyncio.sleep(0)
    tasks.append(asyncio.create_task(request("modest")))
    await asyncio.gather(*tasks)
    assert order.index("modest") <= 3 * AT_ONCE


async def test_levels_share_the_time_by_their_size() -> None:
    made = levels(limited("large", 90), limited("small", 10), seats=100)
    order: list[str] = []

    async def request(name: str) -> None:
        await made.enter(made.levels[name], "x")
        order.append(name)
        made.leave(made.levels[name], "x", 0.01)

    await asyncio.gather(*(request(name) for _ in range(50) for name in ("small", "large")))
    assert order[:50].count("large") > 35


async def test_what_does_not_fit_is_sent_away() -> None:
    made = levels(limited("a", 1, queued=3, queued_flow=2), limited("none", 1, queued=0), seats=2, patience=0.02)
    for name in ("a", "none"):
        await made.enter(made.levels[name], "x")
    with pytest.raises(Failure) as refused:
        await made.enter(made.levels["none"], "x")
    assert refused.value.code == 429 and refused.value.retry_after == 1
    waiting = [asyncio.create_task(made.enter(made.levels["a"], "x")) for _ in range(2)]
    await asyncio.sleep(0)
    with pytest.raises(Failure):
        await made.enter(made.levels["a"], "x")  # its flow's queue is full
    for task in waiting:
        with pytest.raises(Failure, match="too many requests"):
            await task  # nobody waits for ever
    assert made.levels["a"].rejected == 3 and made.levels["a"].waiting == 0


async def test_stored_objects_are_obeyed_at_once() -> None:
    store = MemoryStore()
    storage = Storage(store, Unsealed())
    fairness = Fairness(storage, seats=10)
    await fairness.prepare()
    task = asyncio.create_task(fairness.follow())
    ask = Ask(JANE, "get", resource="pods", namespace="a")
    async with fairness.slot(JANE, ask) as slot:
        assert fairness.levels["global-default"].executing == 1 and slot.flow_schema == ""
    assert fairness.levels["global-default"].executing == 0
    schema = {**flows.SCHEMAS[0], "metadata": {"name": "mine", "uid": "u-1"}}
    schema["spec"] = {
        "matchingPrecedence": 3,
        "priorityLevelConfiguration": {"name": "system"},
        "rules": [{"subjects": [{"kind": "User", "user": {"name": "jane"}}], **flows.ANYTHING}],
    }
    resource = built_in("flowcontrol.apiserver.k8s.io", "v1", "flowschemas")
    assert resource is not None
    await store.commit(Put(key_of(resource, "", "mine"), encode(schema)))
    for _ in range(20):
        await asyncio.sleep(0)
    async with fairness.slot(JANE, ask) as slot:
        assert slot.flow_schema == "u-1" and fairness.levels["system"].executing == 1
    await store.commit(Delete(key_of(resource, "", "mine")))
    for _ in range(20):
        await asyncio.sleep(0)
    async with fairness.slot(MASTER, Ask(MASTER, "get", resource="pods")):
        assert fairness.levels["exempt"].executing == 0
    long = Ask(JANE, "create", resource="pods", subresource="exec")
    async with fairness.slot(JANE, long):
        assert all(not level.executing for level in fairness.levels.values())
    task.cancel()


class Janes:
    """Everybody is jane, who may do everything. Implements Authentication and Authorization."""

    async def authenticate(self, headers: Mapping[str, list[str]], certificate: bytes | None) -> User:
        return JANE

    async def impersonate(self, user: User, headers: Mapping[str, list[str]], authorizer: object) -> User:
        return user

    async def authorize(self, ask: Ask) -> Decision:
        return Decision(True)

    def refusal(self, ask: Ask, decision: Decision) -> Failure:
        return Failure(403, "Forbidden", decision.reason)


async def test_pages_take_room_as_resources_do() -> None:
    fairness = Fairness(Storage(MemoryStore(), Unsealed()), seats=10)
    await fairness.prepare()
    gate = Gate(None, Janes(), Janes(), fairness)  # type: ignore[arg-type]  # no resource is asked for
    for path, level in (("/version", "global-default"), ("/readyz", "exempt")):
        async with gate.pass_path(Visit("a", "GET", path, {}), path):
            assert {name for name, each in fairness.levels.items() if each.executing} <= {level}
            assert fairness.levels["global-default"].executing == (level == "global-default")
    async with gate.pass_path(Visit("a", "GET", "/boxship/history", {}), "/boxship/history", everything=True):
        assert not any(each.executing for each in fairness.levels.values())


def test_levels_are_read_as_they_are_stored() -> None:
    made = {setting.name: setting for setting in map(setting_of, flows.LEVELS)}
    assert made["exempt"].exempt and not made["system"].exempt
    assert (made["workload-low"].shares, made["workload-low"].lendable) == (100, 0.9)
    assert (made["workload-low"].queued, made["workload-low"].queued_flow) == (128 * 50, 6 * 50)
    assert made["catch-all"].queued == 0
