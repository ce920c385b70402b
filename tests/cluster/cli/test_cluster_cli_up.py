"""`boxship cluster up`, `status`, `down` and `kubeconfig`, with real processes: one cluster, two, a killed one."""

import json
import os
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from boxship.wire.yaml_text import read
from daemons import free_port, kubectl_program, surroundings, until

BOXSHIP = str(Path(sys.executable).parent / "boxship")
DEADLINE = 20.0  # seconds


class Cluster:
    """The flags of one cluster, and the program with them."""

    def __init__(self, home: Path) -> None:
        self.home = home
        self.data, self.run = home / "data", home / "run"
        self.port = free_port()

    def boxship(self, verb: str, *flags: str, check: bool = True) -> "subprocess.CompletedProcess[str]":
        roots = ["--data-root", str(self.data), "--run-root", str(self.run)]
        environment = {**surroundings(), "HOME": str(self.home)}
        environment.pop("KUBECONFIG", None)
        words = [BOXSHIP, "cluster", verb, *roots, *flags]
        done = subprocess.run(words, capture_output=True, text=True, timeout=60, env=environment, check=False)
        assert not check or done.returncode == 0, done.stderr + done.stdout
        return done

    def up(self, *flags: str, check: bool = True) -> "subprocess.CompletedProcess[str]":
        return self.boxship("up", "--no-engine", "--port", str(self.port), *flags, check=check)

    def state(self) -> dict[str, str]:
        told = json.loads(self.boxship("status", "--format", "json", check=False).stdout)
        return {each["name"]: each["state"] for each in told["processes"]}

    def process(self) -> int:
        told = json.loads(self.boxship("status", "--format", "json", check=False).stdout)
        return int(told["processes"][0]["process"])


@pytest.fixture
def clusters(tmp_path: Path) -> Iterator[tuple[Cluster, Cluster]]:
    made = (Cluster(tmp_path / "one"), Cluster(tmp_path / "two"))
    try:
        yield made
    finally:
        for cluster in made:
            cluster.boxship("down", check=False)


def test_up_again_down_and_up(clusters: tuple[Cluster, Cluster]) -> None:
    cluster, _ = clusters
    assert cluster.boxship("status", check=False).returncode == 1
    done = cluster.up()
    assert (
        "started boxship-control (process " in done.stdout and f"https://127.0.0.1:{cluster.port} after " in done.stdout
    )
    assert cluster.state()["boxship-control"] == "ready"
    process = cluster.process()
    assert "boxship-control is running" in cluster.up().stdout  # again: nothing to do
    assert cluster.process() == process
    other = cluster.boxship("up", "--no-engine", "--port", str(free_port()), check=False)
    assert other.returncode == 1 and "take it down first: boxship cluster down" in other.stderr
    table = cluster.boxship("status").stdout
    assert table.split("\n")[0].split() == ["NAME", "STATE", "PROCESS", "ADDRESS"]
    kubectl = [kubectl_program(), "--kubeconfig", str(cluster.data / "control" / "admin.kubeconfig")]
    subprocess.run([*kubectl, "create", "configmap", "kept", "--from-literal=a=b"], check=True, capture_output=True)
    assert "stopped boxship-control" in cluster.boxship("down").stdout
    assert cluster.state()["boxship-control"] == "stopped"
    assert cluster.boxship("down").returncode == 0  # again: nothing to do
    cluster.boxship("up", "--no-engine")  # the port is what it was
    kept = subprocess.run([*kubectl, "get", "configmap", "kept", "-o", "name"], check=True, capture_output=True)
    assert kept.stdout == b"configmap/kept\n"


def test_a_killed_cluster_comes_back(clusters: tuple[Cluster, Cluster]) -> None:
    cluster, _ = clusters
    cluster.up()
    process = cluster.process()
    os.kill(process, signal.SIGKILL)
    until(lambda: cluster.state()["boxship-control"] == "stopped", DEADLINE, "it is gone")
    assert "started boxship-control" in cluster.up().stdout
    assert cluster.process() != process
    # A pid file that names somebody else's process is not believed, and that process is left alone.
    cluster.boxship("down")
    (cluster.run / "boxship-control.pid").write_text(json.dumps({"pid": os.getpid(), "started": "1"}))
    assert cluster.state()["boxship-control"] == "stopped"
    cluster.boxship("down")


def test_two_clusters_and_one_kubeconfig(clusters: tuple[Cluster, Cluster], tmp_path: Path) -> None:
    target = tmp_path / "deep" / "config"
    names = []
    for cluster in clusters:
        done = cluster.up("--kubeconfig", str(target))
        names.append(done.stdout.split("kubeconfig: context ")[1].split()[0])
    assert target.stat().st_mode & 0o777 == 0o600 and names[0] != names[1]
    for cluster, name in zip(clusters, names, strict=True):
        words = [kubectl_program(), "--kubeconfig", str(target), "--context", name, "cluster-info"]
        assert (
            f"https://127.0.0.1:{cluster.port}"
            in subprocess.run(words, check=True, capture_output=True, text=True).stdout
        )
    # Merging again changes nothing but the current context.
    clusters[0].boxship("kubeconfig", "--output", str(target))
    value, _ = read(target.read_bytes())
    assert value["current-context"] == names[0]
    assert [len(value[part]) for part in ("clusters", "users", "contexts")] == [2, 2, 2]
    clusters[1].boxship("kubeconfig", "--merge")
    assert (clusters[1].home / ".kube" / "config").exists()
    assert clusters[0].boxship("kubeconfig").stdout.startswith("apiVersion: v1")
    target.write_text("just: text\nclusters: 5\n")
    refused = clusters[0].boxship("kubeconfig", "--output", str(target), check=False)
    assert refused.returncode == 1 and "it is no kubeconfig" in refused.stderr
    assert target.read_text() == "just: text\nclusters: 5\n"


def test_what_cannot_be_done_is_said(clusters: tuple[Cluster, Cluster]) -> None:
    cluster, other = clusters
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        cluster.port = taken.getsockname()[1]
        refused = cluster.up(check=False)
        assert refused.returncode == 1 and "somebody else does; choose another port: --port N" in refused.stderr
    cluster.port = free_port()
    wrong = cluster.up("--", "--no-such-option", check=False)
    assert wrong.returncode == 1 and "it ended at once" in wrong.stderr and "no-such-option" in wrong.stderr
    early = other.boxship("kubeconfig", check=False)
    assert early.returncode == 1 and "Is the cluster up? boxship cluster up" in early.stderr
