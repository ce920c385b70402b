"""`docker network` through the stock client: drivers, subnets, what inspect shows, connections, removal."""

import json

from clients_box import Box


def config(box: Box, name: str) -> dict[str, str]:
    return dict(box.inspect(name, "network")["IPAM"]["Config"][0])


def test_create_and_inspect(box: Box) -> None:
    name = box.network(
        "--driver", "bridge", "--subnet", "10.92.0.0/16", "--ip-range", "10.92.5.0/24", "--gateway", "10.92.5.254",
        "--label", "color=blue", "--opt", "com.docker.network.driver.mtu=1400",
    )  # fmt: skip
    shown = box.inspect(name, "network")
    assert (shown["Name"], shown["Driver"], shown["Scope"], shown["Internal"]) == (name, "bridge", "local", False)
    assert shown["Labels"] == {"color": "blue"}
    assert shown["Options"] == {"com.docker.network.driver.mtu": "1400"}
    assert config(box, name) == {"Subnet": "10.92.0.0/16", "IPRange": "10.92.5.0/24", "Gateway": "10.92.5.254"}
    container = box.up("--network", name)
    address = box.address(container, name)
    assert address.startswith("10.92.5.")
    assert "mtu 1400" in box.inside(container, "ip link show eth0")
    assert "default via 10.92.5.254" in box.inside(container, "ip route")
    entry = next(iter(box.inspect(name, "network")["Containers"].items()))
    assert entry[0] == box.shows(container, "{{.Id}}")
    assert (entry[1]["Name"], entry[1]["IPv4Address"]) == (container, f"{address}/16")


def test_chosen_subnets_do_not_overlap(box: Box) -> None:
    subnets = [config(box, box.network())["Subnet"] for _ in range(3)]
    assert len(set(subnets)) == 3
    assert "overlaps" in box.fails("network", "create", "--subnet", subnets[0], box.name("network"))


def test_wrong_ones_are_refused(box: Box) -> None:
    name = box.network()
    assert f"network with name {name} already exists" in box.fails("network", "create", name)
    for flags in (
        ("--driver", "overlay"),
        ("--driver", "macvlan"),
        ("--ipv6",),
        ("--subnet", "nonsense"),
        ("--subnet", "10.93.0.0/24", "--gateway", "10.94.0.1"),
        ("--subnet", "10.93.0.0/24", "--ip-range", "10.94.0.0/25"),
        ("--opt", "com.docker.network.no.such=1"),
        ("--attachable", "--scope", "swarm"),
    ):
        assert box.fails("network", "create", *flags, box.name("network")), flags
    for predefined in ("bridge", "host", "none"):
        assert "pre-defined" in box.fails("network", "rm", predefined)
        assert box.fails("network", "create", predefined)


def test_list_and_filters(box: Box) -> None:
    name = box.network("--label", "color=blue")
    names = box.docker("network", "ls", "--format", "{{.Name}}").split()
    assert {"bridge", "host", "none", name} <= set(names)

    def found(*filters: str) -> list[str]:
        flags = [flag for text in filters for flag in ("--filter", text)]
        return box.docker("network", "ls", *flags, "--format", "{{.Name}}").split()

    identifier = box.inspect(name, "network")["Id"]
    assert found(f"name={name}") == found("label=color=blue") == found(f"id={identifier[:12]}") == [name]
    assert "bridge" in found("driver=bridge")
    assert found("driver=host") == ["host"]
    assert name in found("type=custom")
    assert set(found("type=builtin")) == {"bridge", "host", "none"}
    assert name in found("dangling=true")
    assert "bridge" in found("scope=local")
    assert "invalid filter" in box.fails("network", "ls", "--filter", "nonsense=1")


def test_removal_while_used(box: Box) -> None:
    name = box.network()
    container = box.up("--network", name)
    assert "has active endpoints" in box.fails("network", "rm", name)
    box.docker("network", "disconnect", "-f", name, container)
    box.docker("network", "rm", name)
    assert f"network {name} not found" in box.fails("network", "inspect", name)
    assert f"network {name} not found" in box.fails("network", "rm", name)


def test_prune(box: Box) -> None:
    unused, used = box.network("--label", "prune=me"), box.network("--label", "prune=me")
    box.up("--network", used)
    out = box.docker("network", "prune", "-f", "--filter", "label=prune=me")
    assert unused in out
    assert used not in out


def test_bridges_of_the_machine_come_and_go(box: Box) -> None:
    name = box.network()
    bridge = f"br-{box.inspect(name, 'network')['Id'][:12]}"
    here = box.docker("run", "--rm", "--network", "host", "busybox", "ls", "/sys/class/net").split()
    assert bridge in here
    box.docker("network", "rm", name)
    assert bridge not in box.docker("run", "--rm", "--network", "host", "busybox", "ls", "/sys/class/net").split()


def test_without_communication_between_containers(box: Box) -> None:
    name = box.network("--opt", "com.docker.network.bridge.enable_icc=false")
    first, second = box.up("--network", name), box.up("--network", name)
    address = box.address(first, name)
    assert box.inside(second, f"ping -c 1 -W 1 {address} >/dev/null || echo shut") == "shut"


def test_formats(box: Box) -> None:
    name = box.network()
    line = json.loads(box.docker("network", "ls", "--no-trunc", "--filter", f"name={name}", "--format", "json"))
    assert (line["Name"], line["Driver"], line["Internal"]) == (name, "bridge", "false")


def test_configurations_alone(box: Box) -> None:
    config_only = box.network("--config-only", "--subnet", "10.94.0.0/24", "--label", "color=blue")
    assert "configuration-only" in box.fails("run", "--rm", "--network", config_only, "busybox", "true")
    made = box.network("--config-from", config_only)
    assert config(box, made)["Subnet"] == "10.94.0.0/24"
    assert box.run("--network", made, do="ip -4 addr show eth0 | grep -c 10.94.0.") == "1"
