"""The applications of examples/kubernetes on a real cluster, by the commands of their READMEs."""

import collections
import os
import re
import shlex
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from nodes_kit import Cluster, running_cluster

from daemons import PROJECT, Daemon, running_daemon
from examples_kit import COMMAND_DEADLINE, fresh_base, load_debian, sections

pytestmark = pytest.mark.slow
APPLICATIONS = PROJECT / "examples" / "kubernetes"


@pytest.fixture(scope="module")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    """Two nodes without a way out: what a build fetches is fetched on the machine itself, and given to them."""
    with running_cluster(tmp_path_factory.mktemp("cluster"), nodes=2) as running:
        base = fresh_base("python", "--include", "python3")
        for node in running.nodes:
            node.boxship("import", "--change", 'CMD ["python3"]', str(base), "python:latest", timeout=COMMAND_DEADLINE)
        yield running


@pytest.fixture(scope="module")
def builder(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Daemon]:
    """Builds what needs the network."""
    with running_daemon(tmp_path_factory.mktemp("builder"), "--host-ca") as daemon:
        load_debian(daemon)
        yield daemon


class Application:
    """One of them, in a namespace of its own, by its README."""

    def __init__(self, cluster: Cluster, name: str) -> None:
        self.cluster = cluster
        self.namespace = "default" if name == "operator" else name  # its role's binding names the namespace
        self.kubeconfig = cluster.home / f"{name}.kubeconfig"
        shutil.copy(cluster.control.kubeconfig, self.kubeconfig)
        if self.namespace != "default":
            cluster.kubectl("create", "namespace", name)
        self.shell(f"kubectl config set-context --current --namespace={self.namespace}", PROJECT)
        self.folder = APPLICATIONS / name
        self.sections = sections((self.folder / "README.md").read_text())
        self.followed: set[str] = set()

    def follow(self, heading: str) -> str:
        """Do what the README says under the heading; all that was printed. What is built is built on every node."""
        self.followed.add(heading)
        lines = self.sections[heading]
        for line in lines:
            if line.startswith("boxship build"):
                for node in self.cluster.nodes:
                    node.boxship(*shlex.split(line)[1:-1], str(self.folder / line.split()[-1]), timeout=600)
        return self.shell("\n".join(line for line in lines if not line.startswith("boxship build")))

    def shell(self, script: str, folder: Path | None = None) -> str:
        path = f"{Path(sys.executable).parent}:{os.environ['PATH']}"
        done = subprocess.run(
            [*self.cluster.nodes[0].namespace.enter, "/bin/sh", "-ec", script],
            cwd=folder or self.folder,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            timeout=COMMAND_DEADLINE,
            env={**self.cluster.kubectl_environment(), "KUBECONFIG": str(self.kubeconfig), "PATH": path},
            check=False,
        )
        said = f"{script}: {done.returncode}\n{done.stdout[-4000:]}"
        assert done.returncode == 0, f"{said}\n{self.cluster.report(self.namespace)}"
        return done.stdout

    def take_down(self) -> None:
        self.follow("Take down")
        assert self.followed == set(self.sections)
        self.cluster.until(lambda: not self.pods(), 60, "all pods to be gone")

    def pods(self, labels: str = "") -> list[dict[str, Any]]:
        return self.cluster.pods(labels, self.namespace)


def test_guestbook(cluster: Cluster) -> None:
    guestbook = Application(cluster, "guestbook")
    guestbook.follow("Start")
    guestbook.follow("Sign")
    assert "<li>Ada</li>" in guestbook.follow("Lose the leader")
    address = cluster.get("nodes")[1]["status"]["addresses"][0]["address"]
    assert "Who was here" in guestbook.shell(f"busybox wget -qO- http://{address}:30080/")
    guestbook.take_down()


def test_ledger(cluster: Cluster) -> None:
    ledger = Application(cluster, "ledger")
    ledger.follow("Start")
    assert '"number"' in ledger.follow("Write")
    before = {pod["metadata"]["uid"] for pod in ledger.pods("role=primary")}
    ledger.follow("Lose the primary")
    cluster.until(
        lambda: {pod["metadata"]["uid"] for pod in ledger.pods("role=primary")} - before, 30, "another primary"
    )
    cluster.until_pods(3, "app=ledger", "ledger")
    assert '"one"' in ledger.follow("Read")
    ledger.take_down()


def test_report(cluster: Cluster) -> None:
    report = Application(cluster, "report")
    report.follow("Start")
    assert re.search(r"^\d+ 20\S+Z by report-now-", report.follow("Now"), re.MULTILINE)
    cluster.until(lambda: len(cluster.get("jobs", "-n", "report")) == 2, 90, "the minute's own job")
    report.follow("Pause")
    report.shell("kubectl delete job report-now")
    report.take_down()


def test_shipper(cluster: Cluster) -> None:
    shipper = Application(cluster, "shipper")
    shipper.follow("Start")
    assert len(shipper.pods("app=shipper")) == 2
    shipper.follow("Say something")
    cluster.until(
        lambda: re.findall(r"node\d talker line (\d)", shipper.follow("Ask the collector")) == ["1", "2", "3"],
        30,
        "the lines at the collector",
    )
    shipper.take_down()


def test_burn(cluster: Cluster) -> None:
    burn = Application(cluster, "burn")
    burn.follow("Start")
    said = burn.follow("Load")
    assert "ScalingActive" in said and re.search(r"^burn-\S+ +\d+m", said, re.MULTILINE)
    burn.follow("Rest")
    burn.take_down()


def test_colours(cluster: Cluster) -> None:
    colours = Application(cluster, "colours")
    assert colours.follow("Start").endswith("blue\n")
    shares = {colour: int(count) for count, colour in re.findall(r"(\d+) (blue|green)", colours.follow("Canary"))}
    assert sum(shares.values()) == 100 and 5 < shares["green"] < 50
    assert colours.follow("Switch").endswith("green\n")
    assert colours.follow("Switch back").endswith("blue\n")
    colours.take_down()


def test_primes(cluster: Cluster) -> None:
    primes = Application(cluster, "primes")
    assert primes.follow("Start").endswith("0-5 6 1")
    assert "783 primes" in primes.follow("Sum")  # below 6,000
    primes.take_down()


def test_shop(cluster: Cluster, tmp_path: Path) -> None:
    shop = Application(cluster, "shop")
    shop.shell(f"cp -r {shop.folder} {tmp_path}")
    shop.folder = tmp_path / "shop"
    shop.follow("Start")
    assert shop.follow("Visit").splitlines()[-3:] == ["three things", "nothing yet", "308"]
    shop.take_down()


def hand_over(builder: Daemon, cluster: Cluster, *images: str) -> None:
    for image in images:
        archive = cluster.home / "image.tar"
        builder.boxship("save", "-o", str(archive), image, timeout=COMMAND_DEADLINE)
        for node in cluster.nodes:
            node.boxship("load", "-i", str(archive), timeout=COMMAND_DEADLINE)
        archive.unlink()


def test_voting(cluster: Cluster, builder: Daemon) -> None:
    voting = Application(cluster, "voting")
    parts = ("vote", "result", "worker", "queue", "database")
    for part in parts:
        folder = str(PROJECT / "examples" / "voting" / part)
        builder.boxship("build", "--quiet", "--tag", f"voting-{part}", folder, timeout=COMMAND_DEADLINE)
    hand_over(builder, cluster, *(f"voting-{part}" for part in parts))
    voting.followed.add("Build")
    voting.follow("Start")
    voting.follow("Vote")
    cluster.until(lambda: '"Cats":1' in voting.follow("Result").replace(" ", ""), 30, "the vote to be counted")
    voting.follow("Lose the database")
    cluster.until(lambda: '"Cats":1' in voting.follow("Result").replace(" ", ""), 60, "the vote to be there again")
    asked = "nc -w 3 database 5432 </dev/null && echo let in || echo kept out"
    said = voting.shell(f"kubectl run stranger --image=busybox --restart=Never --rm -i --quiet -- sh -c '{asked}'")
    assert "kept out" in said and "let in" not in said
    voting.take_down()


def test_operator(cluster: Cluster, builder: Daemon) -> None:
    operator = Application(cluster, "operator")
    builder.boxship("build", "--quiet", "--tag", "website-operator", str(operator.folder), timeout=COMMAND_DEADLINE)
    hand_over(builder, cluster, "website-operator")
    operator.followed.add("Build")
    operator.follow("Start")
    assert operator.follow("A website").endswith("Hello from an operator\n")
    operator.follow("Change")
    texts = collections.Counter(
        pod["metadata"]["annotations"]["example.com/text"] for pod in operator.pods("website=hello")
    )
    assert texts["Changed"] == 2
    operator.take_down()
