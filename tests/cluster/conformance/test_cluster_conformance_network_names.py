"""What pods find by name: services, each other, external names, and configurations of their own."""

import re
from collections.abc import Iterable

import pytest
from conformance_kit import Space
from network_kit import answering, idle, service, started

pytestmark = pytest.mark.slow

NAMESERVER = "10.96.0.10"


def found(space: Space, pod: str, names: Iterable[str]) -> dict[str, str]:
    """The address that a pod's own resolver has for each name (search paths count), "" where there is none."""
    names = list(names)
    asked = "".join(f"(ping -c 1 -W 1 {name} 2>/dev/null | head -n 1 >/tmp/{name}) & " for name in names)
    told = "".join(f"echo {name} $(sed 's/[^(]*(\\([^)]*\\).*/\\1/' /tmp/{name}); " for name in names)
    lines = (line.split() for line in space.shell(pod, f"{asked} wait; {told}").splitlines())
    return {line[0]: line[1] if len(line) == 2 else "" for line in lines}


def record(space: Space, pod: str, kind: str, name: str) -> str:
    """What the nameserver says."""
    return space.shell(pod, f"nslookup -type={kind} {name} {NAMESERVER} || true")


# Covers: DNS, cluster; DNS, services; DNS, PQDN for services.
def test_services_have_their_names_on_every_node(space: Space) -> None:
    space.made("services", service("plain", {"name": "http", "port": 80, "targetPort": 8080}, selector={"app": "web"}))
    headless = {"clusterIP": "None", "selector": {"app": "web"}}
    space.made("services", service("headless", {"name": "http", "port": 80, "targetPort": 8080}, **headless))
    web = answering("web", "tcp:8080", labels={"app": "web"}, nodeName="node1")
    started(space, web, idle("one", nodeName="node1"), idle("two", nodeName="node2"))
    plain = space.read("services/plain")["spec"]["clusterIP"]
    address = space.pod("web")["status"]["podIP"]
    api = space.cluster.get("service", "kubernetes")[0]["spec"]["clusterIP"]
    wanted = {"kubernetes.default": api, "kubernetes.default.svc": api, "kubernetes.default.svc.cluster.local": api}
    for name, target in (("plain", plain), ("headless", address)):
        for tail in ("", f".{space.name}", f".{space.name}.svc", f".{space.name}.svc.cluster.local"):
            wanted[name + tail] = target
    for pod in ("one", "two"):
        space.until(lambda pod=pod: found(space, pod, wanted) == wanted, f"{pod} finds {wanted}")  # type: ignore[misc]
        for name, target in (("plain", plain), ("headless", address)):
            full = f"{name}.{space.name}.svc.cluster.local"
            said = record(space, pod, "srv", f"_http._tcp.{full}")
            port = 80 if name == "plain" else 8080
            assert re.search(rf"service = 0 \d+ {port} \S*{re.escape(full)}", said), said
            assert full in record(space, pod, "ptr", ".".join(reversed(target.split("."))) + ".in-addr.arpa")
        dashed = address.replace(".", "-")
        assert address in record(space, pod, "a", f"{dashed}.{space.name}.pod.cluster.local")
        assert "NXDOMAIN" in record(space, pod, "a", f"nobody.{space.name}.svc.cluster.local")


# Covers: DNS, cluster; DNS, resolve the hostname; DNS, resolve the subdomain.
def test_pods_of_a_subdomain_are_found_by_their_hostname(space: Space) -> None:
    space.made("services", service("family", {"port": 80}, clusterIP="None", selector={"app": "child"}))
    named = {"hostname": "first", "subdomain": "family", "nodeName": "node1"}
    started(
        space, idle("child", {"app": "child"}, **named), idle("one", nodeName="node1"), idle("two", nodeName="node2")
    )
    address = space.pod("child")["status"]["podIP"]
    full = f"first.family.{space.name}.svc.cluster.local"
    wanted = dict.fromkeys((full, f"family.{space.name}.svc.cluster.local", "first.family", "family"), address)
    for pod in ("one", "two", "child"):
        space.until(lambda pod=pod: found(space, pod, wanted) == wanted, f"{pod} finds {wanted}")  # type: ignore[misc]
    assert space.shell("child", "hostname; hostname -f").split() == ["first", full]
    hosts = [line.split() for line in space.shell("child", "cat /etc/hosts").splitlines()]
    assert [address, full, "first"] in hosts
    assert any(line[:2] == ["127.0.0.1", "localhost"] for line in hosts)
    assert found(space, "child", ["first", "localhost"])["first"] == address
    assert full in record(space, "two", "ptr", ".".join(reversed(address.split("."))) + ".in-addr.arpa")


# Covers: DNS, for ExternalName Services.
def test_an_external_name_is_an_alias_and_may_become_a_service(space: Space) -> None:
    space.made("services", service("alias", type="ExternalName", externalName="foo.example.com"))
    started(space, idle("one", nodeName="node1"), idle("two", nodeName="node2"))
    full = f"alias.{space.name}.svc.cluster.local"

    def until(kind: str, wanted: str) -> None:
        for pod in ("one", "two"):
            space.until(lambda: wanted in record(space, pod, kind, full), f"{pod}: {wanted} is {kind} of {full}")  # noqa: B023

    until("cname", "canonical name = foo.example.com")
    space.patched("services/alias", {"spec": {"externalName": "bar.example.com"}})
    until("cname", "canonical name = bar.example.com")
    changed = space.patched(
        "services/alias", {"spec": {"type": "ClusterIP", "externalName": None, "ports": [{"port": 80}]}}
    )
    until("a", f"Address: {changed['spec']['clusterIP']}")
    assert "canonical name" not in record(space, "one", "cname", full)


# Covers: DNS, custom dnsConfig.
def test_a_pod_may_configure_its_names_itself(space: Space) -> None:
    own = {"nameservers": ["1.1.1.1"], "searches": ["resolv.conf.local"], "options": [{"name": "ndots", "value": "3"}]}
    more = {"searches": ["more.example.com"], "options": [{"name": "ndots", "value": "2"}, {"name": "edns0"}]}
    started(
        space,
        idle("none", dnsPolicy="None", dnsConfig=own),
        idle("first", dnsConfig=more),
        idle("host", hostNetwork=True),
        idle("both", hostNetwork=True, dnsPolicy="ClusterFirstWithHostNet"),
        idle("default", dnsPolicy="Default"),
    )
    said = {name: space.shell(name, "cat /etc/resolv.conf") for name in ("none", "first", "host", "both", "default")}
    lines = {name: sorted(line for line in text.splitlines() if line) for name, text in said.items()}
    assert lines["none"] == ["nameserver 1.1.1.1", "options ndots:3", "search resolv.conf.local"]
    cluster = f"search {space.name}.svc.cluster.local svc.cluster.local cluster.local"
    assert f"nameserver {NAMESERVER}" in lines["first"] and f"nameserver {NAMESERVER}" in lines["both"]
    searched = next(line for line in lines["first"] if line.startswith("search "))
    assert searched.startswith(cluster) and searched.endswith(" more.example.com")
    options = next(line for line in lines["first"] if line.startswith("options ")).split()[1:]
    assert sorted(options) == ["edns0", "ndots:2"]
    assert any(line.startswith(cluster) for line in lines["both"])
    for name in ("host", "default"):
        assert NAMESERVER not in said[name] and "svc.cluster.local" not in said[name]
    assert found(space, "both", ["kubernetes.default"])["kubernetes.default"].startswith("10.96.")
