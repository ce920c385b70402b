"""`boxship cluster up` on one machine makes it a node; `down` leaves pods running, `--purge` nothing. In a network
namespace that plays the machine."""

import json
import os
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from namespaces_kit import Namespace

from daemons import kubectl_program, processes_naming, surroundings, until

BOXSHIP = str(Path(sys.executable).parent / "boxship")


class Machine:
    """A machine that is on no network."""

    def __init__(self, home: Path) -> None:
        self.home = home
        self.namespace = Namespace()
        self.roots = ["--data-root", str(home / "d"), "--run-root", str(home / "r")]
        self.socket = f"unix://{home}/r/boxship.sock"

    def run(self, *words: str, check: bool = True) -> "subprocess.CompletedProcess[str]":
        environment = {
            **surroundings(),
            "KUBECONFIG": f"{self.home}/d/control/admin.kubeconfig",
            "HOME": str(self.home),
        }
        command = [*self.namespace.enter, *words]
        done = subprocess.run(command, capture_output=True, text=True, env=environment, timeout=60, check=False)
        assert not check or done.returncode == 0, f"{words}: {done.stderr}{done.stdout}"
        return done

    def cluster(self, verb: str, *flags: str, check: bool = True) -> "subprocess.CompletedProcess[str]":
        return self.run(BOXSHIP, "cluster", verb, *self.roots, *flags, check=check)

    def boxship(self, *words: str, check: bool = True) -> "subprocess.CompletedProcess[str]":
        return self.run(BOXSHIP, "--host", self.socket, *words, check=check)

    def kubectl(self, *words: str) -> str:
        return self.run(kubectl_program(), *words).stdout


@pytest.fixture
def machine() -> Iterator[Machine]:
    with tempfile.TemporaryDirectory(prefix="bx") as folder:
        made = Machine(Path(folder))
        try:
            yield made
        finally:
            made.cluster("down", "--purge", check=False)
            for pid in processes_naming(folder):
                os.kill(pid, signal.SIGKILL)
            until(lambda: not processes_naming(folder), 10, "all have ended")
            made.namespace.close()


def test_up_down_and_up_again(machine: Machine) -> None:
    said = machine.cluster("up", "--node-name", "here").stdout
    assert "node here is ready" in said
    told = json.loads(machine.cluster("status", "--format", "json").stdout)
    assert told["nodes"] == [{"name": "here", "state": "Ready", "address": "10.244.0.1", "pods": "10.244.0.0/24"}]
    assert "here" in machine.cluster("status").stdout
    assert machine.boxship("node", "status").returncode == 0
    machine.boxship("base", "busybox")
    machine.kubectl("create", "deployment", "web", "--image=busybox", "--", "sleep", "600")
    machine.kubectl("wait", "--for=condition=available", "--timeout=60s", "deployment/web")
    # Pods reach the API, which listens for them on the node's gateway.
    opened = machine.kubectl("exec", "deploy/web", "--", "sh", "-c", "nc -w 5 10.96.0.1 443 </dev/null && echo open")
    assert opened == "open\n"
    pod = machine.kubectl("get", "pods", "-o", "jsonpath={.items[*].status.containerStatuses[*].containerID}")
    machine.cluster("down")
    assert processes_naming(str(machine.home))  # the monitors of containers
    assert "node here is ready" in machine.cluster("up").stdout
    assert machine.kubectl("get", "pods", "-o", "jsonpath={.items[*].status.containerStatuses[*].containerID}") == pod
    line = machine.cluster("token").stdout
    assert line.startswith("boxship node join https://127.0.0.1:") and "--ca-hash sha256:" in line
    other = machine.boxship("node", "join", "https://127.0.0.1:1", *line.split()[4:], check=False)
    assert other.returncode == 1 and "this machine is node here of" in other.stderr
    machine.boxship("node", "leave")
    assert machine.boxship("node", "status", check=False).returncode == 1
    assert machine.boxship("ps", "-aq").stdout == ""
    machine.cluster("down", "--purge")
    assert machine.namespace.shell("nft list tables; ip -br link").stdout.split()[0] == "lo"
    assert not (machine.home / "d" / "control").exists()
