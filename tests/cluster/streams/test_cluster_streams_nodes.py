"""Streams to real pods on a real node: what people do with kubectl, and what is left of it when something is killed."""

import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import AbstractContextManager
from pathlib import Path

import pytest
from nodes_kit import Cluster, running_cluster

from daemons import kubectl_program, until
from terminals import Terminal, on_terminal

OLD, NEW = "1.20.2", "1.36.4"
VERSIONS = ("", OLD, NEW)
TALKS = "echo begun; i=0; while :; do i=$((i+1)); echo line $i; sleep 0.1; done"


@pytest.fixture(scope="module")
def cluster() -> Iterator[Cluster]:
    with tempfile.TemporaryDirectory(prefix="bx") as home, running_cluster(Path(home)) as cluster:
        cluster.kubectl("run", "talker", "--image=busybox", "--", "sh", "-c", TALKS)
        cluster.kubectl(
            "create", "deployment", "web", "--image=busybox", "--", "httpd", "-f", "-p", "8080", "-h", "/etc"
        )
        cluster.kubectl("expose", "deployment", "web", "--port=80", "--target-port=8080")
        cluster.until_pods(2)
        yield cluster


def program_of(version: str) -> str:
    return str(Path(__file__).parents[3] / "build" / "kubectl" / version / "kubectl") if version else kubectl_program()


def begin(cluster: Cluster, *words: str, version: str = "", takes_input: bool = False) -> "subprocess.Popen[bytes]":
    return subprocess.Popen(
        [*cluster.nodes[0].namespace.enter, program_of(version), *words],
        stdin=subprocess.PIPE if takes_input else subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        env=cluster.kubectl_environment(),
        cwd=cluster.home,
    )


def terminal(cluster: Cluster, *words: str, version: str = "") -> AbstractContextManager[Terminal]:
    command = [*cluster.nodes[0].namespace.enter, program_of(version), *words]
    return on_terminal(command, cluster.kubectl_environment(), rows=40, columns=120)


@pytest.mark.parametrize("version", VERSIONS)
def test_terminals(cluster: Cluster, version: str) -> None:
    """exec -it with the terminal's size, ^C and an exit code; run -it --rm with attach."""
    with terminal(cluster, "exec", "-it", "talker", "--", "sh", version=version) as typed:
        typed.expect("# ")
        typed.type("stty size\n")
        typed.expect(r"40 120\r\n")
        typed.resize(22, 77)
        typed.tell_resized()
        typed.type("while [ \"$(stty size)\" != '22 77' ]; do :; done; echo as it should\n")
        typed.expect(r"as it should\r\n")
        typed.type("echo waits; sleep 100\n")
        typed.expect(r"waits\r\n")
        typed.type("\x03")
        typed.expect("# ")
        typed.type("exit 9\n")
        typed.rest()
        assert typed.code() == 9
    words = ("run", "-it", "--rm", "guest", "--restart=Never", "--image=busybox", "--", "sh")
    with terminal(cluster, *words, version=version) as typed:
        typed.expect("# ")
        typed.type("hostname\n")
        typed.expect(r"guest\r\n")
        typed.type("exit 4\n")
        assert 'pod "guest" deleted' in typed.rest()
        assert typed.code() == 4


@pytest.mark.parametrize("version", VERSIONS)
def test_copies_and_ports(cluster: Cluster, version: str) -> None:
    data = bytes(range(256)) * 16384
    (cluster.home / "sent").write_bytes(data)
    cluster.kubectl("cp", "sent", "talker:/tmp/got", program=version)
    cluster.kubectl("cp", "talker:/tmp/got", "back", program=version)
    assert (cluster.home / "back").read_bytes() == data
    pod = cluster.pods("app=web")[0]["metadata"]["name"]
    for what, port in ((f"pod/{pod}", 8080), ("deployment/web", 8080), ("service/web", 80)):
        process = begin(cluster, "port-forward", what, f":{port}", version=version)
        try:
            assert process.stdout is not None
            first = process.stdout.readline().decode()
            own = first.partition(" ->")[0].rpartition(":")[2]
            for _ in range(3):
                assert cluster.nodes[0].namespace.page(f"http://127.0.0.1:{own}/hostname").strip() == pod
        finally:
            process.kill()
            process.communicate()


def test_debugging(cluster: Cluster) -> None:
    target = ("--target=talker", "--image=busybox", "-c", "look", "--profile=general")
    cluster.kubectl("debug", "talker", *target, "--", "sh", "-c", "ps; echo seen")

    def said() -> str:
        return cluster.kubectl("logs", "talker", "-c", "look", check=False).stdout

    cluster.until(lambda: "seen" in said(), 10, "the ephemeral container has spoken")
    assert "echo begun" in said()
    cluster.kubectl("debug", "talker", "--copy-to=copy", "--image=busybox", "-c", "look", "--", "sleep", "60")
    cluster.until(
        lambda: cluster.kubectl("exec", "copy", "-c", "look", "--", "true", check=False).returncode == 0, 10, ""
    )
    cluster.kubectl("delete", "pod", "copy", "--now")
    made = cluster.kubectl("debug", "node/node1", "--image=busybox", "--", "cat", "/host/etc/hostname").stdout
    name = made.split("pod ")[1].split()[0]
    expected = Path("/etc/hostname").read_text()
    cluster.until(lambda: cluster.kubectl("logs", name, check=False).stdout == expected, 10, "it has seen the machine")
    cluster.kubectl("delete", "pod", name, "--now")


def test_logs_of_the_machine_are_refused_by_name(cluster: Cluster) -> None:
    refused = cluster.kubectl("get", "--raw", "/api/v1/nodes/node1/proxy/logs/", check=False)
    assert refused.returncode == 1
    assert refused.stderr == "Error from server (MethodNotAllowed): unsupported: logs of the machine\n"


def test_logs_of_lives(cluster: Cluster) -> None:
    """What ended before, what init containers said, and what is still to come."""
    cluster.apply(
        """
apiVersion: v1
kind: Pod
metadata: {name: lives, labels: {kind: lives}}
spec:
  initContainers: [{name: first, image: busybox, command: [sh, -c, echo prepared]}]
  containers:
  - {name: again, image: busybox, command: [sh, -c, 'echo life $(date +%s%N); sleep 0.5; exit 1']}
  - {name: other, image: busybox, command: [sleep, '600']}
"""
    )

    def restarts() -> int:
        statuses = cluster.pods("kind=lives")[0].get("status", {}).get("containerStatuses") or [{}]
        return int(next((each["restartCount"] for each in statuses if each.get("name") == "again"), 0))

    cluster.until(lambda: restarts() >= 1, 20, "it was started again")
    assert cluster.kubectl("logs", "lives", "-c", "first").stdout == "prepared\n"
    before = cluster.kubectl("logs", "lives", "-c", "again", "--previous").stdout
    assert before.startswith("life ")
    refused = cluster.kubectl("logs", "lives", "-c", "nobody", check=False)
    assert "container nobody is not valid for pod lives" in refused.stderr
    cluster.kubectl("delete", "pod", "lives", "--now")
    cluster.kubectl("run", "later", "--image=busybox", "--restart=Never", "--", "sh", "-c", "echo a; sleep 1; echo b")
    cluster.until(lambda: cluster.kubectl("logs", "later", check=False).stdout.startswith("a"), 10, "it speaks")
    assert cluster.kubectl("logs", "-f", "later").stdout == "a\nb\n"


def test_figures(cluster: Cluster) -> None:
    cluster.kubectl("run", "fresh", "--image=busybox", "--", "sh", "-c", "while :; do :; done")
    began = time.monotonic()
    cluster.until(
        lambda: any(
            line.split()[0] == "fresh" and int(line.split()[1].removesuffix("m")) > 100
            for line in cluster.kubectl("top", "pods", "--no-headers", check=False).stdout.splitlines()
        ),
        15,
        "its use is known",
    )
    assert time.monotonic() - began < 15
    cluster.kubectl("delete", "pod", "fresh", "--now")
    assert "node1" in cluster.kubectl("top", "nodes").stdout


@pytest.mark.parametrize("version", VERSIONS)
def test_a_client_that_vanishes_ends_what_it_began(cluster: Cluster, version: str) -> None:
    script = "echo up; cat; echo > /tmp/gone"
    client = begin(
        cluster, "exec", "-i", "talker", "-c", "talker", "--", "sh", "-c", script, version=version, takes_input=True
    )
    assert client.stdout is not None
    assert client.stdout.readline() == b"up\n"
    client.kill()
    client.communicate()
    gone = ("exec", "talker", "--", "rm", "/tmp/gone")
    cluster.until(lambda: cluster.kubectl(*gone, check=False).returncode == 0, 10, "it was told")


def test_kills_end_streams_at_once(cluster: Cluster) -> None:
    """The agent's end and the API server's are the end of every stream through them, and pods live on."""
    for kill, start in (
        (cluster.nodes[0].kill, cluster.nodes[0].start),
        (cluster.control.kill, cluster.control.start),
    ):
        waits = ("exec", "talker", "--", "sh", "-c", "echo up; sleep 1000")
        clients = [begin(cluster, *waits, version=version) for version in VERSIONS]
        clients += [begin(cluster, "logs", "-f", "talker", version=version) for version in VERSIONS]
        clients += [begin(cluster, "port-forward", "talker", ":80", version=version) for version in VERSIONS]
        for client in clients:
            assert client.stdout is not None
            assert client.stdout.readline()
        kill()
        for client in clients:
            client.communicate(timeout=15)
        start()
        until(lambda: cluster.kubectl("exec", "talker", "--", "true", check=False).returncode == 0, 30, "it goes on")
    assert cluster.pods()[0]["status"]["containerStatuses"][0]["restartCount"] == 0
