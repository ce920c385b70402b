"""What a new cluster consists of: made once, completed at each start, left alone where people took it over."""

import asyncio
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import msgspec
from world_kit import running_world

from boxship.cluster.api.bootstrap import flows, presence, roles
from boxship.cluster.api.bootstrap.joining import TAKEN_BACK
from boxship.cluster.api.bootstrap.keeping import keep
from boxship.cluster.api.bootstrap.objects import addresses_of
from boxship.cluster.api.bootstrap.start import announce, begin, complete_binding, complete_flow, complete_role, holds
from boxship.cluster.api.request import Ask, User
from boxship.cluster.objects import Object
from boxship.cluster.objects.failure import Failure
from boxship.cluster.objects.kinds.flowcontrol import MANDATORY_LEVELS, MANDATORY_SCHEMAS

RBAC = "rbac.authorization.k8s.io/v1"


async def test_a_start_makes_all_and_a_second_one_nothing(tmp_path: Path) -> None:
    async with running_world(tmp_path, with_controllers=False) as world:
        service = await world.client.get("v1/services", "default", "kubernetes")
        assert service["spec"]["clusterIP"] == "10.96.0.1" and service["spec"]["ports"][0]["targetPort"] == 6443
        slice_path = "discovery.k8s.io/v1/endpointslices"
        endpoints = await world.client.get(slice_path, "default", "kubernetes")
        assert addresses_of(endpoints) == ["192.0.2.1"]
        assert {"default", "kube-system", "kube-public", "kube-node-lease"} <= await world.names("v1/namespaces", "")
        cidr = await world.client.get("networking.k8s.io/v1/servicecidrs", "", "kubernetes")
        assert cidr["status"]["conditions"][0]["status"] == "True"
        info = await world.client.get("v1/configmaps", "kube-public", "cluster-info")
        assert "https://192.0.2.1:6443" in info["data"]["kubeconfig"]
        before = await world.store.revision()
        await begin(world.itself, world.site)
        assert await world.store.revision() == before


async def test_what_was_taken_away_is_back_and_what_was_added_stays(tmp_path: Path) -> None:
    async with running_world(tmp_path, with_controllers=False) as world:
        client = world.client
        extra = {"verbs": ["get"], "apiGroups": ["example.test"], "resources": ["widgets"]}
        await client.delete(f"{RBAC}/clusterroles", "", "system:discovery")
        await client.patch(f"{RBAC}/clusterroles", "", "system:basic-user", {"rules": [extra]})
        await client.patch(f"{RBAC}/clusterrolebindings", "", "system:discovery", {"subjects": []})
        frozen = {
            "metadata": {"annotations": {"rbac.authorization.kubernetes.io/autoupdate": "false"}},
            "rules": [extra],
        }
        await client.patch(f"{RBAC}/clusterroles", "", "system:monitoring", frozen)
        level = "flowcontrol.apiserver.k8s.io/v1/prioritylevelconfigurations"
        await client.patch(level, "", "system", {"spec": {"limited": {"nominalConcurrencyShares": 1}}})
        await begin(world.itself, world.site)
        assert (await client.get(f"{RBAC}/clusterroles", "", "system:discovery"))["rules"]
        basic = (await client.get(f"{RBAC}/clusterroles", "", "system:basic-user"))["rules"]
        assert extra in basic and len(basic) > 1
        assert (await client.get(f"{RBAC}/clusterrolebindings", "", "system:discovery"))["subjects"]
        assert (await client.get(f"{RBAC}/clusterroles", "", "system:monitoring"))["rules"] == [extra]
        system = await client.get(level, "", "system")
        assert system["spec"]["limited"]["nominalConcurrencyShares"] == 30


async def test_what_nobody_can_do_without_is_back_at_once(tmp_path: Path) -> None:
    slices = "discovery.k8s.io/v1/endpointslices"
    async with running_world(tmp_path, with_controllers=False) as world, asyncio.TaskGroup() as tasks:
        client = world.client
        was = await client.get("v1/services", "default", "kubernetes")
        keeping = tasks.create_task(keep(world.itself, client, world.site, alone=True))
        taken = (
            ("v1/services", "default", "kubernetes"),
            ("v1/services", "kube-system", "kube-dns"),
            ("v1/endpoints", "default", "kubernetes"),
            (slices, "default", "kubernetes"),
        )
        old = {one: (await client.get(*one))["metadata"]["uid"] for one in taken}
        for one in taken:
            await client.delete(*one)

        async def are_back() -> bool:
            try:
                return all([(await client.get(*one))["metadata"]["uid"] != old[one] for one in taken])
            except Failure:
                return False

        async with asyncio.timeout(20):
            while not await are_back():
                await asyncio.sleep(0.01)
        assert (await client.get("v1/services", "default", "kubernetes"))["spec"] == was["spec"]
        assert addresses_of(await client.get(slices, "default", "kubernetes")) == ["192.0.2.1"]
        wrong = {"subsets": [{"addresses": [{"ip": "192.0.2.9"}], "ports": [{"port": 1}]}]}
        await client.patch("v1/endpoints", "default", "kubernetes", wrong)
        async with asyncio.timeout(20):
            while "192.0.2.9" in str(await client.get("v1/endpoints", "default", "kubernetes")):
                await asyncio.sleep(0.01)
        keeping.cancel()


async def test_what_nodes_could_read_in_earlier_versions_is_taken_back(tmp_path: Path) -> None:
    """Their own pods by the node authorizer, of all others what neighbours may know."""
    node = User("system:node:one", ("system:nodes", "system:authenticated"))
    path, name = f"{RBAC}/clusterroles", "system:boxship:node-network"
    async with running_world(tmp_path, with_controllers=False) as world:

        async def may(resource: str, group: str = "", fields: str = "") -> bool:
            ask = Ask(node, "list", group, resource=resource, field_selector=fields)
            return (await world.authorizer.authorize(ask)).allowed

        made = await world.client.get(path, "", name)
        (former,) = TAKEN_BACK[name]
        mine = {"verbs": ["get"], "apiGroups": ["example.test"], "resources": ["widgets"]}
        await world.client.patch(path, "", name, {"rules": [made["rules"][0], former, mine]})
        assert await may("pods")
        await begin(world.itself, world.site)
        rules = (await world.client.get(path, "", name))["rules"]
        assert former not in rules and mine in rules
        await world.authorizer._mirror.refresh()
        assert not await may("pods") and not await may("pods", fields="spec.nodeName=two")
        assert await may("pods", fields="spec.nodeName=one") and await may("podaddresses", "node.boxship.io")
        assert await may("services") and await may("namespaces") and await may("widgets", "example.test") is False


async def test_servers_add_and_take_their_addresses(tmp_path: Path) -> None:
    async with running_world(tmp_path, with_controllers=False) as world:
        second = msgspec.structs.replace(world.site, address="192.0.2.2")

        async def addresses() -> list[str]:
            found = await world.client.get("discovery.k8s.io/v1/endpointslices", "default", "kubernetes")
            return addresses_of(found)

        await announce(world.itself, second, present=True)
        assert await addresses() == ["192.0.2.1", "192.0.2.2"]
        await announce(world.itself, world.site, present=False)
        assert await addresses() == ["192.0.2.2"]
        endpoints = await world.client.get("v1/endpoints", "default", "kubernetes")
        assert [one["ip"] for one in endpoints["subsets"][0]["addresses"]] == ["192.0.2.2"]


async def test_servers_that_are_silent_are_taken_out(tmp_path: Path) -> None:
    async with running_world(tmp_path, with_controllers=False) as world:
        second = msgspec.structs.replace(world.site, address="192.0.2.2")
        now = datetime.now(UTC)

        async def addresses() -> list[str]:
            found = await world.client.get("discovery.k8s.io/v1/endpointslices", "default", "kubernetes")
            return addresses_of(found)

        for site in (world.site, second):
            await presence.say(world.itself, site, now)
        await presence.settle(world.itself, second, now)
        assert await addresses() == ["192.0.2.1", "192.0.2.2"]
        later = now + timedelta(seconds=presence.LIFE + 1)
        await presence.say(world.itself, second, later)
        await presence.settle(world.itself, second, later)
        assert await addresses() == ["192.0.2.2"]
        assert await world.names(presence.LEASES, "kube-system") == {presence.name_of(second)}
        await presence.leave(world.itself, second)
        assert await world.names(presence.LEASES, "kube-system") == set()


def test_completions_are_none_where_nothing_lacks() -> None:
    role, binding = roles.PEOPLE[0], roles.CLUSTER_BINDINGS[0]
    assert complete_role(role, role) is None and complete_binding(binding, binding) is None
    fewer = {**role, "rules": role["rules"][:1]}
    assert (complete_role(fewer, role) or {})["rules"] == role["rules"]
    other = {**binding, "roleRef": {**binding["roleRef"], "name": "view"}}
    assert complete_binding(other, binding) is None
    taken: Object = {**flows.LEVELS[1], "metadata": {"name": "system", "annotations": {flows.AUTOUPDATE: "false"}}}
    assert complete_flow({**taken, "spec": {}}, flows.LEVELS[1]) is None


def test_what_the_api_fills_in_is_no_difference() -> None:
    wanted: dict[str, Any] = {"a": [{"b": 1}], "c": {"d": 2}}
    assert holds({"a": [{"b": 1, "x": 0}], "c": {"d": 2}, "e": 3}, wanted)
    assert not holds({"a": [{"b": 1}, {"b": 2}], "c": {"d": 2}}, wanted)
    assert not holds({"a": [{"b": 1}]}, wanted)


def test_the_fixed_flows_are_those_that_validation_demands() -> None:
    for known, ours in ((MANDATORY_LEVELS, flows.LEVELS), (MANDATORY_SCHEMAS, flows.SCHEMAS)):
        made = {one["metadata"]["name"]: one["spec"] for one in ours}
        for name, spec in known.items():
            assert holds(spec, made[name]), name
