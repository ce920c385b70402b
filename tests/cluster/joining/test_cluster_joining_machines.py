"""Machines that join a cluster by `boxship node join`, are refused, leave, and come again."""

import json
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from nodes_kit import Cluster, running_cluster

from daemons import until


@pytest.fixture(scope="module")
def cluster() -> Iterator[Cluster]:
    with tempfile.TemporaryDirectory(prefix="bx") as folder, running_cluster(Path(folder), 2, join=False) as made:
        made.join(made.nodes[0])
        yield made


def test_only_who_knows_token_and_hash_joins(cluster: Cluster) -> None:
    node, url = cluster.nodes[1], cluster.control.url
    right = {"--token": cluster.token(), "--ca-hash": cluster.ca_hash()}
    for flag, value, why in (
        ("--token", "abcdef.0123456789abcdef", "knows no token abcdef"),
        ("--token", right["--token"][:-1] + "_", "a token looks like"),
        ("--ca-hash", f"sha256:{'0' * 64}", "not the one that the hash is of"),
        ("--taint", "wrong", "write key"),
        ("--node-name", "Not_A_Name", "cannot join as not_a_name"),
    ):
        words = [word for pair in {**right, flag: value}.items() for word in pair]
        refused = node.boxship("node", "join", url, *words, check=False)
        assert refused.returncode == 1 and why in refused.stderr, refused.stderr
    assert not (node.data / "node" / "node.json").exists()
    away = node.boxship(
        "node", "join", "https://192.168.50.11:1", *(word for pair in right.items() for word in pair), check=False
    )
    assert away.returncode == 1 and "cannot reach the API" in away.stderr
    status = node.boxship("node", "status", check=False)
    assert status.returncode == 1 and "is no node" in status.stderr


def test_a_node_has_what_it_was_told_leaves_and_comes_again(cluster: Cluster) -> None:
    node = cluster.nodes[1]
    cluster.join(node, "--label", "disk=ssd", "--taint", "special=yes:NoSchedule", "--certificate-life", "1h")
    cluster.join(node)  # again is fine
    cluster.until_ready()
    found = next(each for each in cluster.get("nodes") if each["metadata"]["name"] == "node2")
    assert found["metadata"]["labels"]["disk"] == "ssd"
    assert {"key": "special", "value": "yes", "effect": "NoSchedule"} in found["spec"]["taints"]
    state = json.loads(node.boxship("node", "status", "--format", "json").stdout)
    assert {part["State"] for part in state["Parts"]} == {"running"} and state["PodCIDR"] == found["spec"]["podCIDR"]
    requests = cluster.get("certificatesigningrequests")
    assert {one["spec"].get("expirationSeconds") for one in requests if one["spec"]["username"] != ""} >= {3600}
    other = node.boxship("node", "join", "https://192.168.50.11:7000", "--token", cluster.token(), "--ca-hash",
                         cluster.ca_hash(), check=False)  # fmt: skip
    assert other.returncode == 1 and "this machine is node node2 of" in other.stderr
    node.kill()
    node.start()  # the record and the certificates are enough
    until(lambda: node.boxship("node", "status", check=False).returncode == 0, 20, "its parts run")
    node.boxship("node", "leave")
    assert not (node.data / "node").exists() and not (node.data / "pods").exists()
    assert "10.244." not in node.shell("ip route").stdout
    cluster.kubectl("delete", "node", "node2")
    node.name = "again"
    cluster.join(node)
    cluster.until_ready()


@pytest.mark.slow
def test_deleted_nodes_come_back_with_each_others_addresses(cluster: Cluster) -> None:
    for node in cluster.nodes:
        cluster.join(node)  # where this test runs alone
    cluster.until_ready()
    cluster.kubectl("create", "deployment", "web", "--image=busybox", "--replicas=4", "--", "sleep", "600")
    cluster.until_pods(4, "app=web")
    names = [node.name for node in cluster.nodes]
    blocks = {each["metadata"]["name"]: each["spec"]["podCIDR"] for each in cluster.get("nodes")}
    for node in cluster.nodes:
        node.stop()
    cluster.kubectl("delete", "node", *names)
    for node in sorted(cluster.nodes, key=lambda node: blocks[node.name], reverse=True):
        node.start()
        cluster.until_ready(node.name)
    now = {each["metadata"]["name"]: each["spec"]["podCIDR"] for each in cluster.get("nodes")}
    assert now == dict(zip(blocks, reversed(blocks.values()), strict=True))
    cluster.until_pods(4, "app=web", seconds=60)
    addresses = [pod["status"]["podIP"] for pod in cluster.pods("app=web")]
    script = " && ".join(f"ping -c1 -W2 {address} >/dev/null" for address in addresses)
    for pod in cluster.pods("app=web"):
        cluster.kubectl("exec", pod["metadata"]["name"], "--", "sh", "-c", script)
