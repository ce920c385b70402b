"""Networks as a file asks for them: aliases, fixed addresses, internal and external ones, modes, ports, names."""

from functools import partial

import pytest

from compose_kit import CURRENT, EVERY, LABEL, SECONDS, Project
from daemons import answers, free_port, until


@EVERY
def test_networks_with_addresses_and_aliases(project: Project) -> None:
    outside = f"{project.name}-outside"
    project.client.networks.create(outside, labels={f"{LABEL}.project": project.name})
    project.file(f"""
        x-quick: &quick {{image: busybox, command: sleep 1000, stop_signal: SIGKILL}}
        services:
          front:
            <<: *quick
            networks:
              open: {{aliases: [www, site], ipv4_address: 10.213.7.10}}
              inner:
              given:
          back:
            <<: *quick
            hostname: rear
            networks: {{inner: {{aliases: [store]}}}}
          lonely: {{<<: *quick, networks: [open]}}
        networks:
          open:
            driver: bridge
            driver_opts: {{com.docker.network.bridge.name: bxs{project.name[:8]}}}
            ipam: {{config: [{{subnet: 10.213.7.0/24, gateway: 10.213.7.254}}]}}
            labels: {{purpose: front}}
          inner: {{internal: true, name: {project.name}-own-name}}
          given: {{external: true, name: {outside}}}
    """)
    project.compose("up", "-d")
    networks = project.networks()
    assert set(networks) == {f"{project.name}_open", f"{project.name}-own-name", outside}
    opened = networks[f"{project.name}_open"]
    assert opened["IPAM"]["Config"] == [{"Subnet": "10.213.7.0/24", "Gateway": "10.213.7.254"}]
    assert opened["Labels"]["purpose"] == "front"
    assert opened["Options"]["com.docker.network.bridge.name"] == f"bxs{project.name[:8]}"
    assert networks[f"{project.name}-own-name"]["Internal"]
    joined = project.one("front")["NetworkSettings"]["Networks"]
    assert set(joined) == set(networks)
    assert joined[f"{project.name}_open"]["IPAddress"] == "10.213.7.10"
    assert {"www", "site", "front"} <= set(joined[f"{project.name}_open"]["Aliases"])

    assert "10.213.7.10" in project.inside("lonely", "nslookup site")
    assert "10.213.7.10" in project.inside("lonely", "nslookup www")
    project.inside("front", "ping -c 1 -W 5 store")
    assert "bad address" in project.inside("lonely", "ping -c 1 -W 1 store", check=False)
    assert project.inside("back", "ip route | grep -c default || true") == "0"
    assert project.inside("back", "hostname") == "rear"
    assert "10.213.7.254" in project.inside("lonely", "ip route")
    project.compose("down")
    assert set(project.networks()) == {outside}


@EVERY
def test_modes_and_names(project: Project) -> None:
    project.file("""
        x-quick: &quick {image: busybox, command: sleep 1000, stop_signal: SIGKILL}
        services:
          main:
            <<: *quick
            hostname: head
            domainname: example.org
            mac_address: 02:42:ac:11:65:43
            dns: [10.9.8.7]
            dns_search: [sub.example.org]
            dns_opt: ["ndots:3"]
            extra_hosts: ["elsewhere:10.1.2.3", "machine:host-gateway"]
          beside: {<<: *quick, network_mode: "service:main", depends_on: [main]}
          apart: {<<: *quick, network_mode: none}
          onhost: {<<: *quick, network_mode: host}
          linked: {<<: *quick, links: ["main:boss"], depends_on: [main]}
    """)
    project.compose("up", "-d")
    main = project.one("main")
    assert main["Config"]["Hostname"] == "head" and main["Config"]["Domainname"] == "example.org"
    if project.program.name != "v2":  # which loses a service's own hardware address
        assert "02:42:ac:11:65:43" in project.inside("main", "ip link")
    assert {"ndots:3", "sub.example.org"} <= set(project.inside("main", "cat /etc/resolv.conf").split())
    assert main["HostConfig"]["Dns"] == ["10.9.8.7"]
    hosts = project.inside("main", "cat /etc/hosts")
    assert "10.1.2.3\telsewhere" in hosts and "machine" in hosts
    assert project.one("beside")["HostConfig"]["NetworkMode"] == f"container:{main['Id']}"
    assert project.inside("beside", "ip addr") == project.inside("main", "ip addr")
    assert project.inside("apart", "ls /sys/class/net") == "lo"
    assert project.one("onhost")["HostConfig"]["NetworkMode"] == "host"
    project.inside("linked", "ping -c 1 -W 5 boss")

    if project.program.name != "v1":
        project.compose("up", "-d", "--force-recreate", "main", "beside")
        assert project.one("beside")["HostConfig"]["NetworkMode"] == f"container:{project.id('main')}"
        assert project.inside("beside", "ip addr") == project.inside("main", "ip addr")


@EVERY
def test_ports_in_all_spellings(project: Project) -> None:
    first, second, third = free_port(), free_port(), free_port()
    project.file(f"""
        services:
          web:
            image: busybox
            command: httpd -f -p 80 -h /etc
            stop_signal: SIGKILL
            expose: ["9000", "9100-9102"]
            ports:
              - "80"
              - "{first}:80"
              - 127.0.0.1:{second}:80
              - "127.0.0.1::53/udp"
              - {{target: 80, published: "{third}", protocol: tcp, mode: host}}
    """)
    project.compose("up", "-d")
    for port in (first, second, third):
        until(partial(answers, f"127.0.0.1:{port}/hostname"), SECONDS, f"the page at {port}")
    web = project.one("web")
    assert {"9000/tcp", "9100/tcp", "9102/tcp", "80/tcp", "53/udp"} <= set(web["Config"]["ExposedPorts"])
    bound = web["NetworkSettings"]["Ports"]["80/tcp"]
    assert {str(first), str(second), str(third)} <= {entry["HostPort"] for entry in bound}
    assert {"HostIp": "127.0.0.1", "HostPort": str(second)} in bound
    printed = project.prints("port", "--protocol", "udp", "web", "53").strip()
    assert printed.startswith("127.0.0.1:")


@CURRENT
def test_priorities_and_settings_of_one_endpoint(project: Project) -> None:
    project.file("""
        services:
          many:
            image: busybox
            command: sleep 1000
            stop_signal: SIGKILL
            networks:
              low: {priority: 100, mac_address: "02:42:ac:11:65:99"}
              high: {priority: 1000}
              last:
        networks: {low: , high: {attachable: true}, last: {ipam: {driver: default}}}
    """)
    project.compose("up", "-d")
    many = project.one("many")
    assert many["HostConfig"]["NetworkMode"] == f"{project.name}_high"
    joined = many["NetworkSettings"]["Networks"]
    assert set(joined) == {f"{project.name}_{name}" for name in ("low", "high", "last")}
    assert all(entry["IPAddress"] for entry in joined.values())
    first = project.inside("many", "ip -4 -o addr show eth0")
    assert joined[f"{project.name}_high"]["IPAddress"] in first
    assert joined[f"{project.name}_low"]["MacAddress"] == "02:42:ac:11:65:99"


@CURRENT
@pytest.mark.parametrize("change", ["label", "subnet"])
def test_a_changed_network(project: Project, change: str) -> None:
    text = """
        services:
          one: {{image: busybox, command: sleep 1000, stop_signal: SIGKILL, networks: [net]}}
        networks: {{net: {{labels: {{a: "{label}"}}, ipam: {{config: [{{subnet: {subnet}}}]}}}}}}
    """
    project.file(text.format(label=1, subnet="10.214.1.0/24"))
    project.compose("up", "-d")
    before = project.networks()[f"{project.name}_net"]["Id"]
    if change == "label":
        project.file(text.format(label=2, subnet="10.214.1.0/24"))
    else:
        project.file(text.format(label=1, subnet="10.214.2.0/24"))
    project.compose("up", "-d")
    if project.program.name == "boxship":  # v2 of this age keeps what is there
        assert project.networks()[f"{project.name}_net"]["Id"] != before
    assert project.states() == {"one1": "running"}


@EVERY
def test_what_is_missing_is_said_before_anything_is_made(project: Project) -> None:
    project.file("""
        services: {one: {image: busybox, command: sleep 1000, networks: [gone]}}
        networks: {gone: {external: true, name: no-such-network-here}}
    """)
    assert "no-such-network-here" in project.fails("up", "-d")
    assert not [entry for entry in project.containers() if entry["State"]["Running"]]
    project.file("services: {one: {image: busybox, networks: [undeclared]}}")
    assert "undeclared" in project.fails("up", "-d")
