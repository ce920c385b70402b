"""Questions to the network: can packets reach containers, and does somebody else's firewall stop them?"""

import ipaddress
import json
from typing import Any

from boxship.cli.examination.machine import GOOD, MISSING, WARNING, Finding, Machine

# Both trials run in a network namespace of their own: nothing on the machine changes.
INTERFACES_TRIAL = "ip link add boxship0 type bridge && ip link add boxship1 type veth peer name boxship2"
NAT_TRIAL = """
table ip boxship_doctor {
    map ports { type inet_proto . inet_service : ipv4_addr . inet_service; }
    chain in { type nat hook prerouting priority -100; dnat ip to meta l4proto . th dport map @ports; }
    chain out { type nat hook postrouting priority 100; masquerade; }
}
"""
OWN_TABLES = "boxship_"


def interfaces(machine: Machine) -> list[Finding]:
    status, output = machine.run(["unshare", "--net", "sh", "-c", INTERFACES_TRIAL])
    if status == 0:
        return [Finding("interfaces", GOOD, "bridge and veth can be made")]
    if status == -1 or "not found" in output:
        return [Finding("interfaces", WARNING, f"not tried: {_last(output)}", "apt-get install iproute2 util-linux")]
    remedy = "run as root, with a kernel that has bridge and veth (modprobe bridge veth)"
    return [Finding("interfaces", MISSING, f"bridge or veth cannot be made: {_last(output)}", remedy)]


def nat(machine: Machine) -> list[Finding]:
    status, output = machine.run(["unshare", "--net", "nft", "--file", "-"], NAT_TRIAL)
    if status == 0:
        return [Finding("nftables", GOOD, "address translation with maps works")]
    if status == -1 or "No such file" in output:
        return [Finding("nftables", WARNING, "not tried: no nft program", "apt-get install nftables")]
    remedy = "run as root, with a kernel that has nf_tables and nft_nat (modprobe nf_tables nft_nat)"
    return [Finding("nftables", MISSING, f"address translation does not work: {_last(output)}", remedy)]


def forwarding(machine: Machine) -> list[Finding]:
    if machine.read("/proc/sys/net/ipv4/ip_forward").strip() == "1":
        return [Finding("forwarding", GOOD, "net.ipv4.ip_forward is 1")]
    return [Finding("forwarding", GOOD, "net.ipv4.ip_forward is 0; boxshipd turns it on")]


def firewalls(machine: Machine) -> list[Finding]:
    """Warns of each forward chain of other programs that drops what no rule accepts."""
    status, output = machine.run(["nft", "--json", "list", "chains"])
    chains = dropping_chains(output) if status == 0 else []
    if machine.read("/proc/net/ip_tables_names").split():
        status, output = machine.run(["iptables-legacy", "-S", "FORWARD"])
        if status == 0 and "-P FORWARD DROP" in output:
            chains.append("iptables-legacy filter FORWARD")
    if not chains:
        return [Finding("firewalls", GOOD, "no other firewall drops forwarded packets by default")]
    return [
        Finding(
            "firewalls",
            WARNING,
            f"{chain} drops forwarded packets: containers may not reach the world, nor it them",
            "let it accept packets from and to the interfaces br-*",
        )
        for chain in chains
    ]


def dropping_chains(output: str) -> list[str]:
    """ "table FAMILY NAME, chain NAME" of each chain on the forward hook whose policy is drop, out of nft's JSON."""
    try:
        items: list[dict[str, Any]] = json.loads(output)["nftables"]
    except (ValueError, KeyError, TypeError):
        return []
    found = []
    for chain in (item["chain"] for item in items if "chain" in item):
        own = str(chain.get("table", "")).startswith(OWN_TABLES)
        if chain.get("hook") == "forward" and chain.get("policy") == "drop" and not own:
            found.append(f"table {chain['family']} {chain['table']}, chain {chain['name']}")
    return found


def name_servers(machine: Machine) -> list[Finding]:
    """Containers can only ask servers that can be reached from their own network."""
    servers = [
        words[1]
        for words in (line.split() for line in machine.read("/etc/resolv.conf").splitlines())
        if len(words) >= 2 and words[0] == "nameserver"
    ]
    if not servers:
        text = "/etc/resolv.conf names no server: containers ask the public fallback"
        return [Finding("name servers", WARNING, text, "name one there, or by boxshipd --dns ADDRESS")]
    local = [server for server in servers if _is_loopback(server)]
    if local == servers:
        text = f"only {', '.join(local)} in /etc/resolv.conf: containers on the default bridge cannot reach it"
        return [Finding("name servers", WARNING, text, "use boxshipd --dns ADDRESS, or a network made by you")]
    return [Finding("name servers", GOOD, ", ".join(server for server in servers if server not in local))]


def _is_loopback(server: str) -> bool:
    try:
        return ipaddress.ip_address(server.partition("%")[0]).is_loopback
    except ValueError:
        return False


def _last(output: str) -> str:
    lines = output.strip().splitlines()
    return lines[-1] if lines else "no reason given"
