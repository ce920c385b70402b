"""Networks made, refused and removed; driver options; subnets chosen beside others of the machine."""

import asyncio

import pytest
from network_traffic import serve

from boxship.errors import BoxshipError, Conflict, Denied, Exhausted, Invalid, NotFound, Unsupported
from boxship.network.networks import Networks
from boxship.spec.container import EndpointRequest, NetworkSpec, Subnet
from boxship.store.memory import MemoryStore
from boxship.sys import netlink

OPTION = "com.docker.network."


async def test_predefined_networks_are_there_and_stay(networks: Networks) -> None:
    assert {(network.name, network.driver) for network in networks.list()} == {
        ("bridge", "bridge"),
        ("host", "host"),
        ("none", "null"),
    }
    for name in ("bridge", "host", "none"):
        with pytest.raises(Denied, match=f"operation is not permitted on predefined {name} network"):
            await networks.create(NetworkSpec(name=name))
        with pytest.raises(Denied, match=f"{name} is a pre-defined network and cannot be removed"):
            await networks.remove(name)


async def test_networks_are_found_by_id_name_and_prefix(networks: Networks) -> None:
    made = await networks.create(NetworkSpec(name="web"))
    for reference in (made.id, "web", made.id[:12]):
        assert networks.get(reference) == made
    with pytest.raises(NotFound, match="network nothing not found"):
        networks.get("nothing")
    with pytest.raises(Conflict, match="network with name web already exists"):
        await networks.create(NetworkSpec(name="web"))
    await networks.remove("web")
    with pytest.raises(NotFound):
        networks.get("web")


async def test_a_network_in_use_is_not_removed(networks: Networks) -> None:
    await networks.create(NetworkSpec(name="web"))
    await networks.attach("a" * 64, "c", requests=(EndpointRequest("web"),))
    with pytest.raises(Denied, match=r'network web has active endpoints \(name:"c" id:"[0-9a-f]{12}"\)'):
        await networks.remove("web")


async def test_subnets_are_chosen_beside_everything_else(networks: Networks, machine) -> None:
    route = netlink.RouteSocket()
    route.apply(netlink.add_address(route.index("uplink"), "10.201.1.7", 26))
    route.close()
    made = [await networks.create(NetworkSpec(name=f"n{number}")) for number in range(3)]
    assert [network.subnet for network in made] == ["10.201.2.0/24", "10.201.3.0/24", "10.201.4.0/24"]
    await networks.remove("n1")
    again = await networks.create(NetworkSpec(name="n4"))
    assert (again.subnet, again.gateway) == ("10.201.3.0/24", "10.201.3.1")


async def test_two_daemons_never_choose_the_same_subnet(networks: Networks, machine) -> None:
    second = Networks(MemoryStore(), machine.run_root.parent / "second", "second", machine.settings)
    await second.start()
    await second.recover(())
    made = await asyncio.gather(
        *(room.create(NetworkSpec(name=f"n{number}")) for number in range(5) for room in (networks, second))
    )
    subnets = [network.subnet for network in (*made, networks.get("bridge"), second.get("bridge"))]
    assert len(set(subnets)) == 12
    assert await networks.audit() == [] and await second.audit() == []
    await second.close()
    assert await networks.audit() == []


async def test_users_subnets(networks: Networks) -> None:
    subnet = Subnet(subnet="10.55.0.0/16", ip_range="10.55.3.0/24", gateway="10.55.0.7", reserved={"x": "10.55.3.1"})
    made = await networks.create(NetworkSpec(name="fixed", subnets=(subnet,)))
    assert made.fixed and made.gateway == "10.55.0.7"
    first = await networks.attach("a" * 64, "a", requests=(EndpointRequest("fixed"),))
    assert first.endpoints[0].ipv4_address == "10.55.3.2" or first.endpoints[0].ipv4_address == "10.55.3.0"
    fixed = await networks.attach("b" * 64, "b", requests=(EndpointRequest("fixed", ipv4_address="10.55.9.9"),))
    assert fixed.endpoints[0].ipv4_address == "10.55.9.9"
    with pytest.raises(Conflict, match="Address already in use"):
        await networks.attach("c" * 64, "c", requests=(EndpointRequest("fixed", ipv4_address="10.55.9.9"),))
    await networks.detach("b" * 64)  # a fixed address can be had again at once, as a recreated container wants
    again = await networks.attach("b" * 64, "b", requests=(EndpointRequest("fixed", ipv4_address="10.55.9.9"),))
    assert again.endpoints[0].ipv4_address == "10.55.9.9"
    for wrong in ("10.56.0.1", "10.55.255.255", "nonsense"):
        with pytest.raises(Invalid):
            await networks.attach("c" * 64, "c", requests=(EndpointRequest("fixed", ipv4_address=wrong),))
    with pytest.raises(Denied, match="Pool overlaps with other one on this address space"):
        await networks.create(NetworkSpec(name="other", subnets=(Subnet(subnet="10.55.128.0/17"),)))


async def test_fixed_addresses_need_fixed_subnets(networks: Networks) -> None:
    await networks.create(NetworkSpec(name="any"))
    with pytest.raises(Invalid, match="only when connecting to networks with user configured subnets"):
        await networks.attach("a" * 64, "a", requests=(EndpointRequest("any", ipv4_address="10.201.1.9"),))
    with pytest.raises(Invalid, match="supported on user defined networks only"):
        await networks.attach("a" * 64, "a", requests=(EndpointRequest("bridge", ipv4_address="10.201.0.9"),))
    with pytest.raises(Invalid, match="network-scoped alias is supported only for containers in user defined"):
        await networks.attach("a" * 64, "a", requests=(EndpointRequest("bridge", aliases=("x",)),))


async def test_a_subnet_can_be_exhausted(networks: Networks) -> None:
    await networks.create(NetworkSpec(name="small", subnets=(Subnet(subnet="10.55.0.0/30"),)))
    await networks.attach("a" * 64, "a", requests=(EndpointRequest("small"),))
    with pytest.raises(Exhausted, match="no available IPv4 addresses on this network's address pools"):
        await networks.attach("b" * 64, "b", requests=(EndpointRequest("small"),))


@pytest.mark.parametrize(
    ("spec", "kind", "text"),
    [
        (NetworkSpec(name="x", driver="macvlan"), Unsupported, "unsupported: network driver macvlan"),
        (NetworkSpec(name="x", driver="weave"), NotFound, "could not find plugin weave in v1 plugin registry"),
        (NetworkSpec(name="x", driver="host"), Denied, 'only one instance of "host" network is allowed'),
        (NetworkSpec(name="x", enable_ipv6=True), Unsupported, "unsupported: EnableIPv6"),
        (NetworkSpec(name="x", subnets=(Subnet("fd00::/64"),)), Unsupported, "unsupported: IPv6 subnet"),
        (NetworkSpec(name="x", subnets=(Subnet("10.9.0.1/24"),)), Invalid, "it should be 10.9.0.0/24"),
        (NetworkSpec(name="x", subnets=(Subnet("10.9.0.0"),)), Invalid, "invalid CIDR"),
        (NetworkSpec(name="x", subnets=(Subnet("10.9.0.0/31"),)), Invalid, "no room"),
        (NetworkSpec(name="x", subnets=(Subnet("10.9.0.0/24", gateway="10.8.0.1"),)), Invalid, "invalid gateway"),
        (NetworkSpec(name="x", subnets=(Subnet("10.9.0.0/24", ip_range="10.8.0.0/28"),)), Invalid, "invalid ip-range"),
        (NetworkSpec(name="a/b"), Invalid, "invalid network name"),
        (NetworkSpec(name=""), Invalid, "invalid network name"),
        (NetworkSpec(name="x", ipam_driver="dhcp"), Unsupported, "unsupported: IPAM driver dhcp"),
        (NetworkSpec(name="x", options={f"{OPTION}bridge.inhibit_ipv4": "true"}), Unsupported, "inhibit_ipv4"),
        (NetworkSpec(name="x", options={f"{OPTION}driver.mtu": "12"}), Invalid, "no size between"),
        (NetworkSpec(name="x", options={f"{OPTION}bridge.enable_icc": "maybe"}), Invalid, "neither true nor false"),
        (NetworkSpec(name="x", options={f"{OPTION}bridge.name": "../x"}), Invalid, "no interface name"),
        (NetworkSpec(name="x", options={f"{OPTION}bridge.name": "uplink"}), Conflict, "an interface of that name"),
        (NetworkSpec(name="x", ingress=True), Unsupported, "unsupported: Ingress"),
    ],
)
async def test_what_is_refused(networks: Networks, spec: NetworkSpec, kind: type[BoxshipError], text: str) -> None:
    with pytest.raises(kind) as error:
        await networks.create(spec)
    assert text in str(error.value) and type(error.value) is kind
    assert len(networks.list()) == 3
    assert await networks.audit() == []


async def test_bridge_options_are_honoured(networks: Networks) -> None:
    options = {
        f"{OPTION}bridge.name": "mybridge",
        f"{OPTION}driver.mtu": "1300",
        f"{OPTION}container_iface_prefix": "net",
        f"{OPTION}bridge.host_binding_ipv4": "127.0.0.1",
    }
    await networks.create(NetworkSpec(name="web", options=options))
    from boxship.spec.container import PortRequest

    web = await networks.attach("a" * 64, "web", requests=(EndpointRequest("web"),), ports=(PortRequest(80),))
    assert web.endpoints[0].interface == "net0" and web.ports[0].host_address == "127.0.0.1"
    route = netlink.RouteSocket()
    bridge = route.link("mybridge")
    route.close()
    assert bridge is not None and bridge.mtu == 1300 and bridge.mac_address.startswith("02:42:")
    async with serve(web.namespace, "tcp", "0.0.0.0", 80, "web"):
        pass


async def test_configuration_only_networks(networks: Networks) -> None:
    subnet = Subnet(subnet="10.77.0.0/24")
    source = await networks.create(NetworkSpec(name="config", subnets=(subnet,), internal=True, config_only=True))
    assert source.bridge is None
    with pytest.raises(Denied, match="configuration-only"):
        await networks.attach("a" * 64, "a", requests=(EndpointRequest("config"),))
    made = await networks.create(NetworkSpec(name="web", config_from="config"))
    assert made.subnet == "10.77.0.0/24" and made.spec.internal
    with pytest.raises(Denied, match="is in use"):
        await networks.remove("config")
    with pytest.raises(Invalid, match="user-specified configurations are not supported"):
        await networks.create(NetworkSpec(name="x", config_from="config", internal=True))
    await networks.remove("web")
    await networks.remove("config")
