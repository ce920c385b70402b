"""The pure parts: files of a container, rules as text, names, what goes by which way."""

import ipaddress

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from boxship.errors import BoxshipError, Invalid, Unsupported
from boxship.network import attaching, files, options, ports, rules
from boxship.network.directory import Directory
from boxship.network.model import AttachmentRecord, BridgeOptions, EndpointRecord, Network
from boxship.spec.attachment import Endpoint
from boxship.spec.container import EndpointRequest, NetworkSpec, PortRequest, PublishedPort, Subnet

NAME = st.text("abc.", min_size=1, max_size=4)


def network(name: str, number: int = 1, **more: object) -> Network:
    subnet = Subnet(subnet=f"10.0.{number}.0/24", gateway=f"10.0.{number}.1")
    spec = NetworkSpec(name=name, subnets=(subnet,), internal=bool(more.pop("internal", False)))
    bridge = BridgeOptions(bridge=f"br-{name}")
    return Network(id=f"id-{name}", name=name, created_at=1, driver="bridge", spec=spec, bridge=bridge)


def endpoint(of: Network, address: str, names: tuple[str, ...] = (), **more: object) -> EndpointRecord:
    gateway = "" if of.spec.internal else of.gateway
    made = Endpoint(of.id, of.name, "e" * 64, "eth0", "", address, 24, gateway, (), names)
    return EndpointRecord(made, veth="v", **more)  # type: ignore[arg-type]


def test_resolv_conf_of_the_default_bridge() -> None:
    host = files.parse_resolv_conf(
        "# made by hand\nnameserver 127.0.0.53\nnameserver 10.0.0.1 # good\nnameserver fe80::1%eth0\n"
        "nameserver nonsense\ndomain a.test\nsearch b.test c.test\noptions edns0 trust-ad\n;end\n"
    )
    text = files.resolv_conf(files.merge(host, (), (), ()), own_resolver=False)
    assert text == "nameserver 10.0.0.1\nsearch b.test c.test\noptions edns0 trust-ad\n"
    own = files.merge(host, ("9.9.9.9",), (".",), ("timeout:1",))
    assert files.resolv_conf(own, own_resolver=False) == "nameserver 9.9.9.9\noptions timeout:1\n"
    nothing = files.resolv_conf(files.ResolverConfig(("127.0.0.1", "::1")), own_resolver=False)
    assert nothing == "nameserver 8.8.8.8\nnameserver 8.8.4.4\n"


def test_resolv_conf_with_our_resolver() -> None:
    config = files.ResolverConfig(("10.0.0.1",), ("a.test",), ("edns0",))
    text = files.resolv_conf(config, own_resolver=True)
    assert text == "nameserver 127.0.0.11\nsearch a.test\noptions edns0 ndots:0\n"
    dots = files.ResolverConfig((), (), ("ndots:2",))
    assert files.resolv_conf(dots, own_resolver=True) == "nameserver 127.0.0.11\noptions ndots:2\n"
    assert files.wants_dots(dots.options) and not files.wants_dots(("ndots:0", "ndots:x"))


@given(st.text())
def test_any_text_is_a_resolv_conf(text: str) -> None:
    found = files.parse_resolv_conf(text)
    assert files.parse_resolv_conf(files.resolv_conf(found, own_resolver=False)).search == found.search


def test_hosts() -> None:
    extra = [files.parse_extra_host(text, "172.17.0.1") for text in ("db:10.0.0.9", "up:host-gateway", "v6=[::1]")]
    text = files.hosts(addresses=["10.0.1.2", "10.0.2.2"], hostname="web", domainname="test", extra=extra)
    assert text.startswith("127.0.0.1\tlocalhost\n")
    assert text.endswith("10.0.0.9\tdb\n172.17.0.1\tup\n::1\tv6\n10.0.1.2\tweb.test web\n10.0.2.2\tweb.test web\n")
    for wrong in ("db", ":1.2.3.4", "db:nonsense", "db:"):
        with pytest.raises(Invalid):
            files.parse_extra_host(wrong, "")


def test_the_way_out() -> None:
    a, b, inner = network("a", 1), network("b", 2), network("i", 3, internal=True)
    record = AttachmentRecord("c", "c", endpoints=(endpoint(inner, "10.0.3.2"), endpoint(b, "10.0.2.2")))
    assert attaching.way_out(record) == record.endpoints[1]
    more = msgspec.structs.replace(record, endpoints=(*record.endpoints, endpoint(a, "10.0.1.2")))
    assert attaching.way_out(more) == more.endpoints[2]
    first = msgspec.structs.replace(record, endpoints=(*more.endpoints, endpoint(b, "10.0.2.3", gateway_priority=1)))
    assert attaching.way_out(first) == first.endpoints[3]
    assert attaching.way_out(AttachmentRecord("c", "c", endpoints=(endpoint(inner, "10.0.3.2"),))) is None


def test_the_rules_of_ports() -> None:
    published = [PublishedPort(80, "tcp", "0.0.0.0", 8080), PublishedPort(53, "udp", "10.1.1.1", 5353)]
    elements = rules.port_elements(published, "10.0.1.2")
    assert elements == {
        "published": {"tcp . 8080": "10.0.1.2 . 80"},
        "published_at": {"10.1.1.1 . udp . 5353": "10.0.1.2 . 53"},
        "hairpin": {"10.0.1.2 . 10.0.1.2": ""},
    }
    assert rules.change("t", elements, elements) == ""
    assert rules.change("t", {}, rules.network_elements(network("a"))).count("add element") == 4


def test_a_change_deletes_before_it_adds() -> None:
    old, new = {"published": {"tcp . 1": "10.0.0.2 . 1"}}, {"published": {"tcp . 1": "10.0.0.3 . 1"}}
    lines = rules.change("t", old, new).splitlines()
    assert [line.split()[0] for line in lines] == ["delete", "add"]


@pytest.mark.parametrize(
    ("text", "wanted"), [("", None), ("0", None), ("80", range(80, 81)), ("8000-8002", range(8000, 8003))]
)
def test_host_ports(text: str, wanted: range | None) -> None:
    assert ports.parse_host_ports(text) == wanted


@given(st.text(max_size=12))
def test_any_text_is_a_port_or_refused(text: str) -> None:
    try:
        found = ports.parse_host_ports(text)
    except Invalid:
        return
    assert found is None or (0 < found[0] <= found[-1] <= 65535)


def test_port_requests_are_checked() -> None:
    assert ports.check_request(PortRequest(80), "0.0.0.0") == "0.0.0.0"
    with pytest.raises(Unsupported, match="IPv6 host address ::1"):
        ports.check_request(PortRequest(80, host_address="::1"), "0.0.0.0")
    for wrong in (PortRequest(0), PortRequest(70000), PortRequest(80, "icmp"), PortRequest(80, host_address="x")):
        with pytest.raises(Invalid):
            ports.check_request(wrong, "0.0.0.0")


@given(st.dictionaries(st.sampled_from(["com.docker.network.driver.mtu", "com.docker.x", "y"]), st.text(max_size=8)))
def test_any_options_are_honoured_or_refused(given_options: dict[str, str]) -> None:
    try:
        options.parse_bridge("f" * 64, given_options)
    except BoxshipError as error:
        assert isinstance(error, Invalid | Unsupported)


def test_mac_addresses() -> None:
    assert attaching.check_mac("02-42-AC-11-00-02") == "02:42:ac:11:00:02"
    for wrong in ("", "02:42", "01:00:00:00:00:01", "00:00:00:00:00:00", "gg:42:ac:11:00:02", "02:42:ac:11:00:2"):
        with pytest.raises(Invalid):
            attaching.check_mac(wrong)
    with pytest.raises(Invalid, match="unsupported: IPv6 address"):
        attaching.check_request(EndpointRequest("a", ipv6_address="fd00::1"), network("a"))


# the directory of names against a plain model


@given(
    st.lists(
        st.tuples(
            st.sampled_from("xyz"),  # container
            st.lists(st.sampled_from("ab"), unique=True),  # networks
            st.lists(NAME, min_size=1, max_size=3),  # names
            st.booleans(),  # put or forget
        ),
        max_size=12,
    ),
    NAME,
)
def test_the_directory_knows_what_was_put_last(steps: list[tuple[str, list[str], list[str], bool]], asked: str) -> None:
    nets = {"a": network("a", 1), "b": network("b", 2)}
    hosts = {"x": 2, "y": 3, "z": 4}
    directory, model = Directory(), {}
    for container, on, names, put in steps:
        if not put:
            directory.forget(container)
            model.pop(container, None)
            continue
        items = tuple(
            endpoint(nets[name], str(ipaddress.IPv4Address(nets[name].gateway) + hosts[container]), tuple(names))
            for name in on
        )
        directory.put(AttachmentRecord(container, container, endpoints=items), nets.values())
        model[container] = (on, names, items)
    key = asked.rstrip(".")
    for container in "xyz":
        wanted = set()
        qualified = set()
        for _, other_names, items in model.values():
            for item in items:
                name = item.endpoint.network_name
                if container in model and name in model[container][0]:
                    clean = {text.rstrip(".") for text in other_names}
                    if key in clean:
                        wanted.add(item.endpoint.ipv4_address)
                    if "." in key and key.rpartition(".")[2] == name and key.rpartition(".")[0] in clean:
                        qualified.add(item.endpoint.ipv4_address)
        assert set(directory.addresses(container, asked)) == (wanted or qualified)
