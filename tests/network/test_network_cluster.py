"""Pods on their bridge, and services in the kernel, with real packets: who reaches whom, under which address."""

from typing import Any

import pytest
from network_traffic import ask, inside, serve

from boxship.network.cluster import ClusterNetwork
from boxship.network.networks import Networks
from boxship.network.services_rules import Frontend
from boxship.spec.attachment import Attachment
from boxship.spec.container import EndpointRequest, NetworkSpec, PortRequest
from boxship.sys import netlink

A, B, C = "a" * 64, "b" * 64, "c" * 64
HOST = "198.51.100.2"
SERVICE = "10.96.0.80"


async def pod(networks: Networks, container_id: str, **more: object) -> Attachment:
    requests = (EndpointRequest("pods"),)
    return await networks.attach(container_id, container_id[0], requests=requests, **more)  # type: ignore[arg-type]


def address(attachment: Attachment) -> str:
    return attachment.endpoints[0].ipv4_address


async def test_pods_keep_their_addresses(networks: Networks, machine: Any, cluster: ClusterNetwork) -> None:
    await networks.create(NetworkSpec(name="compose"))
    a, b = await pod(networks, A), await pod(networks, B)
    c = await networks.attach(C, "c", requests=(EndpointRequest("compose"),))
    async with (
        serve(b.namespace, "tcp", "0.0.0.0", 80, "b"),
        serve(c.namespace, "tcp", "0.0.0.0", 80, "c"),
        serve(machine.outside, "tcp", "0.0.0.0", 80, "outside"),
        serve(None, "tcp", "0.0.0.0", 8000, "host"),
    ):
        assert await ask(a.namespace, "tcp", address(b), 80) == f"b {address(a)}"
        assert await ask(None, "tcp", address(b), 80) == "b 10.244.0.1"
        assert await ask(c.namespace, "tcp", address(b), 80) == f"b {address(c)}"
        assert await ask(a.namespace, "tcp", address(c), 80) == f"c {address(a)}"
        assert await ask(a.namespace, "tcp", "198.51.100.1", 80) == f"outside {HOST}"
        assert await ask(a.namespace, "tcp", "10.244.0.1", 8000) == f"host {address(a)}"

    def routes() -> set[str]:
        route = netlink.RouteSocket()
        found = {f"{item.destination}/{item.prefix} {item.gateway}" for item in route.routes()}
        route.close()
        return found

    assert await inside(a.namespace, routes) == {
        "0.0.0.0/0 10.244.0.1",
        "10.244.0.0/16 10.244.0.1",
        "10.244.0.1/32 ",
    }


async def test_a_pod_reaches_itself_by_its_published_port(networks: Networks, cluster: ClusterNetwork) -> None:
    a = await pod(networks, A, ports=(PortRequest(80, host_port="8080"),))
    async with serve(a.namespace, "tcp", "0.0.0.0", 80, "a"):
        assert await ask(a.namespace, "tcp", HOST, 8080) == "a 10.244.0.1"


@pytest.mark.parametrize("protocol", ["tcp", "udp"])
async def test_a_service_leads_to_its_targets(networks: Networks, cluster: ClusterNetwork, protocol: str) -> None:
    await networks.create(NetworkSpec(name="compose"))
    a, b = await pod(networks, A), await pod(networks, B)
    c = await networks.attach(C, "c", requests=(EndpointRequest("compose"),))
    targets = (f"{address(a)} . 8080", f"{address(b)} . 8080")
    service = Frontend(SERVICE, protocol, 80, targets)
    await cluster.services.replace([service, Frontend("", protocol, 30080, targets)])
    async with (
        serve(a.namespace, protocol, "0.0.0.0", 8080, "a"),
        serve(b.namespace, protocol, "0.0.0.0", 8080, "b"),
    ):
        said = {await ask(a.namespace, protocol, SERVICE, 80) for _ in range(30)}
        assert said == {"a 10.244.0.1", f"b {address(a)}"}  # itself by hairpin, the other under its own address
        for where, target in ((None, HOST), (None, "127.0.0.1"), (c.namespace, HOST), (a.namespace, "10.244.0.1")):
            assert {(await ask(where, protocol, target, 30080))[0] for _ in range(30)} == {"a", "b"}
        assert {await ask(None, protocol, SERVICE, 80) for _ in range(30)} == {"a 10.244.0.1", "b 10.244.0.1"}
        assert {(await ask(c.namespace, protocol, SERVICE, 80))[0] for _ in range(30)} == {"a", "b"}
        await cluster.services.change((), [Frontend(SERVICE, protocol, 80, targets[1:])])
        assert {await ask(a.namespace, protocol, SERVICE, 80) for _ in range(20)} == {f"b {address(a)}"}
        await cluster.services.change([("", protocol, 30080)], [Frontend(SERVICE, protocol, 80)])
        for where in (None, a.namespace, c.namespace):
            for target, port in ((SERVICE, 80), ("10.96.7.7", 1)):
                with pytest.raises((ConnectionRefusedError, PermissionError)):  # the host's own datagrams: EPERM
                    await ask(where, protocol, target, port)
