"""Address management, by example and by property."""

import ipaddress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from boxship.errors import BoxshipError, Conflict, Denied, Exhausted, Invalid
from boxship.network import addresses
from boxship.network.model import DEFAULT_POOLS, AddressPool
from boxship.spec.container import Subnet

V4 = st.integers(0, 2**32 - 1).map(lambda number: str(ipaddress.IPv4Address(number)))
NETWORK = st.builds(
    lambda number, prefix: ipaddress.IPv4Network((number & ~((1 << (32 - prefix)) - 1), prefix)),
    st.integers(0x0A000000, 0x0AFFFFFF),
    st.integers(16, 30),
)


def test_subnets_come_in_the_order_of_the_pools() -> None:
    used: list[ipaddress.IPv4Network] = []
    for _ in range(31):
        used.append(ipaddress.IPv4Network(addresses.choose_subnet(DEFAULT_POOLS, used).subnet))
    assert [str(subnet) for subnet in used[:3]] == ["172.17.0.0/16", "172.18.0.0/16", "172.19.0.0/16"]
    assert str(used[15]) == "192.168.0.0/20" and str(used[-1]) == "192.168.240.0/20"
    with pytest.raises(Exhausted, match="all predefined address pools have been fully subnetted"):
        addresses.choose_subnet(DEFAULT_POOLS, used)


NEAR = st.builds(
    lambda number, prefix: ipaddress.IPv4Network((number & ~((1 << (32 - prefix)) - 1), prefix)),
    st.integers(0x09FFFF00, 0x0A0010FF),
    st.integers(14, 32),
)


@given(st.lists(NEAR, max_size=12))
def test_the_first_subnet_that_overlaps_nothing_is_chosen(used: list[ipaddress.IPv4Network]) -> None:
    pools = (AddressPool("10.0.0.0/21", 24), AddressPool("10.0.8.0/22", 25))
    pieces = [piece for pool in pools for piece in ipaddress.IPv4Network(pool.base).subnets(new_prefix=pool.size)]
    wanted = [piece for piece in pieces if not any(piece.overlaps(other) for other in used)]
    if not wanted:
        with pytest.raises(Exhausted):
            addresses.choose_subnet(pools, used)
        return
    chosen = addresses.choose_subnet(pools, used)
    assert chosen.subnet == str(wanted[0])
    assert ipaddress.IPv4Address(chosen.gateway) == wanted[0].network_address + 1


def test_addresses_go_on_after_the_last() -> None:
    allocator = addresses.Allocator(Subnet(subnet="10.0.0.0/29", gateway="10.0.0.1", reserved={"x": "10.0.0.4"}))
    assert [allocator.take() for _ in range(4)] == ["10.0.0.2", "10.0.0.3", "10.0.0.5", "10.0.0.6"]
    with pytest.raises(Exhausted):
        allocator.take()
    allocator.give_back("10.0.0.3")
    allocator.give_back("10.0.0.2")
    assert allocator.take() == "10.0.0.2"
    with pytest.raises(Conflict):
        allocator.take("10.0.0.2")
    for never in ("10.0.0.1", "10.0.0.4"):
        with pytest.raises(Conflict, match="Address already in use"):
            allocator.take(never)


def test_a_full_network_is_told_quickly() -> None:
    allocator = addresses.Allocator(Subnet(subnet="10.0.0.0/20", gateway="10.0.0.1"))
    taken = {allocator.take() for _ in range(4093)}
    assert len(taken) == 4093
    with pytest.raises(Exhausted):
        allocator.take()


@given(NETWORK, st.data())
def test_no_address_is_given_twice(network: ipaddress.IPv4Network, data: st.DataObject) -> None:
    subnet = addresses.check_subnet(Subnet(subnet=str(network)))
    allocator = addresses.Allocator(subnet)
    held: set[str] = set()
    for _ in range(data.draw(st.integers(0, 30))):
        if held and data.draw(st.booleans()):
            gone = data.draw(st.sampled_from(sorted(held)))
            allocator.give_back(gone)
            held.discard(gone)
            continue
        try:
            address = allocator.take()
        except Exhausted:
            assert len(held) == network.num_addresses - 3
            continue
        assert address not in held and address != subnet.gateway
        assert ipaddress.IPv4Address(address) in network
        assert address not in (str(network.network_address), str(network.broadcast_address))
        held.add(address)
    assert allocator.taken == held
    again = addresses.Allocator(subnet)
    for address in held:
        again.restore(address)
    assert again.taken == held


@given(st.text(max_size=20), st.text(max_size=20), st.text(max_size=20), st.text(max_size=20))
def test_any_text_is_a_subnet_or_refused(subnet: str, ip_range: str, gateway: str, reserved: str) -> None:
    try:
        found = addresses.check_subnet(Subnet(subnet, ip_range, gateway, {"x": reserved} if reserved else {}))
    except BoxshipError as error:
        assert isinstance(error, Invalid)
    else:
        addresses.Allocator(found).take()


@given(NETWORK, NETWORK, V4)
def test_any_combination_is_used_or_refused(
    network: ipaddress.IPv4Network, inner: ipaddress.IPv4Network, gateway: str
) -> None:
    try:
        found = addresses.check_subnet(Subnet(str(network), str(inner), gateway))
    except Invalid:
        return
    try:
        address = addresses.Allocator(found).take()
    except Exhausted:
        return
    assert ipaddress.IPv4Address(address) in inner and address != found.gateway


def test_overlaps_are_denied_in_dockers_words() -> None:
    known = [ipaddress.IPv4Network("10.0.0.0/24")]
    addresses.check_overlap(ipaddress.IPv4Network("10.0.1.0/24"), known)
    with pytest.raises(Denied, match="Pool overlaps with other one on this address space"):
        addresses.check_overlap(ipaddress.IPv4Network("10.0.0.128/25"), known)


def test_hardware_addresses_follow_the_address() -> None:
    assert addresses.hardware_address("172.17.0.2") == "02:42:ac:11:00:02"
