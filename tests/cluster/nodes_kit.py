"""A real cluster for tests: nodes in network namespaces of their own, a switch between them, the stock client.

Nothing of it is seen by the machine's own network: the bridge that joins the nodes lies in a namespace too, so names,
addresses and ports are the same in every cluster and clusters of several test processes never meet. A namespace lives
as long as a process that reads from us: when this process ends, however it ends, the namespaces go.

    with running_cluster(home, nodes=2) as cluster:
        cluster.kubectl("create", "deployment", "web", "--image=busybox", "--replicas=3", "--", "sleep", "600")
        cluster.nodes[1].docker("ps")
        cluster.nodes[0].shell("wget -qO- http://10.96.0.1")
"""

import concurrent.futures
import contextlib
import functools
import hashlib
import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

from control_kit import KUBECTLS, Answer, Control
from namespaces_kit import Namespace, Switch

from boxship.sys import cgroup
from daemons import (
    START_DEADLINE,
    Daemon,
    busybox_tar,
    kubectl_program,
    processes_naming,
    surroundings,
    until,
)

CLIENTS = "192.168.50.100"
PORT = 6443
READY_SECONDS = 30.0


class NodeDaemon(Daemon):
    """One node: a boxshipd in a namespace of its own. `name` is also the node's in the cluster."""

    def __init__(self, home: Path, name: str, address: str, namespace: Namespace, *options: str) -> None:
        super().__init__(home, *options)
        self.name, self.address, self.namespace = name, address, namespace

    def start(self) -> None:
        """Start the daemon and wait until it answers; the agent of a node that has joined starts with it."""
        program = Path(sys.executable).parent / "boxshipd"
        arguments = [str(program), "--data-root", str(self.data), "--run-root", str(self.run), "--host", self.url]
        self.home.mkdir(parents=True, exist_ok=True)
        with self.log.open("ab") as log:
            self.process = subprocess.Popen(
                [*self.namespace.enter, *arguments, *self.options],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
            )
        until(self._is_there, START_DEADLINE, lambda: f"boxshipd answers; its log:\n{self.said()}")

    def _is_there(self) -> bool:
        assert self.process is not None
        assert self.process.poll() is None, f"boxshipd ended:\n{self.said()}"
        return self.socket.exists() and self.docker("version", check=False).returncode == 0

    def said(self) -> str:
        """The end of its log."""
        return self.log.read_text(errors="replace")[-4000:] if self.log.exists() else ""

    def boxship(
        self, *arguments: str, check: bool = True, data: bytes | None = None, timeout: float = 60
    ) -> "subprocess.CompletedProcess[str]":
        """Our own client, with the node's network."""
        program = Path(sys.executable).parent / "boxship"
        command = [*self.namespace.enter, str(program), "--host", self.url, *arguments]
        return _ran(command, self.environment(), data, timeout, check, self.home)

    def shell(self, script: str, *, check: bool = True, timeout: float = 60) -> "subprocess.CompletedProcess[str]":
        """A script with the node's network: `wget`, `nft`, `ip`."""
        return self.namespace.shell(script, check=check, timeout=timeout)

    def load_busybox(self, name: str = "busybox:latest") -> None:
        changes = ["--change", 'CMD ["sh"]', "--change", "ENV PATH=/bin"]
        self.docker("import", *changes, "-", name, data=_busybox())

    def build(self, tag: str, dockerfile: str, files: Mapping[str, str] | None = None) -> None:
        """An image made on this node by our own builder, and pushed nowhere. It may begin with `FROM busybox`."""
        folder = self.home / "contexts" / tag.replace("/", "_").replace(":", "_")
        folder.mkdir(parents=True, exist_ok=True)
        for name, text in {"Dockerfile": dockerfile, **(files or {})}.items():
            (folder / name).write_text(text)
        self.boxship("build", "-q", "-t", tag, str(folder))

    def cut_off(self) -> None:
        """Nothing goes between this node and the others any more, as with a pulled cable; pods on it still meet."""
        self.shell(
            "nft 'add table netdev cut; add chain netdev cut in "
            "{ type filter hook ingress device eth0 priority -500; policy drop; }' && ip link set eth0 arp off"
        )

    def let_in(self) -> None:
        """The cable is back."""
        self.shell("nft delete table netdev cut; ip link set eth0 arp on")


class NodesControl(Control):
    """A control plane in the first node's namespace. With etcd, several."""

    def __init__(self, home: Path, address: str, namespace: Namespace, *options: str) -> None:
        super().__init__(home, *options)
        self.address, self.namespace = address, namespace
        self.port = PORT
        self.url = f"https://{address}:{PORT}"

    def start(self) -> None:
        program = Path(sys.executable).parent / "boxship-control"
        arguments = [str(program), "--data-root", str(self.data), "--run-root", str(self.run)]
        self.home.mkdir(parents=True, exist_ok=True)
        with self.log.open("ab") as log:
            self.process = subprocess.Popen(
                [*self.namespace.enter, *arguments, "--listen", f"{self.address}:{self.port}", *self.options],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
            )
        until(self.is_ready, START_DEADLINE, lambda: f"boxship-control answers; its log:\n{self.said()}")

    def request(
        self,
        method: str,
        path: str,
        body: Any = None,
        headers: Mapping[str, str] | None = None,
        client: str | None = "admin",
    ) -> Answer:
        asked = functools.partial(super().request, method, path, body, headers, client)
        return self.namespace.run(asked)

    def connection(self, client: str | None = "admin") -> Any:
        connection = super().connection(client)
        connection.host = self.address
        return connection


class Cluster:
    """`nodes[0]` is the machine that the control plane stands on, too; `clients` a machine that is no node."""

    def __init__(
        self,
        home: Path,
        nodes: int,
        control_options: tuple[str, ...],
        node_options: tuple[str, ...],
        segments: int = 1,
    ) -> None:
        self.home = home
        self._segments = segments
        self.switch = Switch()
        self.clients = Namespace()
        self.switch.join(self.clients, CLIENTS)
        self.nodes = [self._node(number, node_options) for number in range(1, nodes + 1)]
        first = self.nodes[0]
        self.control = NodesControl(home / "control", first.address, first.namespace, *control_options)

    def _node(self, number: int, options: tuple[str, ...]) -> NodeDaemon:
        namespace = Namespace()
        address = f"192.168.{50 + (number - 1) % self._segments}.{10 + number}"
        self.switch.join(namespace, address)
        return NodeDaemon(self.home / f"n{number}", f"node{number}", address, namespace, *options)

    def start(self, *, join: bool, image: bool) -> None:
        """The control plane and the daemons at once, as on machines that are switched on together."""
        with concurrent.futures.ThreadPoolExecutor(len(self.nodes) + 1) as pool:
            begun = [pool.submit(self.control.start), *(pool.submit(node.start) for node in self.nodes)]
            for one in begun:
                one.result()
            if image:
                list(pool.map(NodeDaemon.load_busybox, self.nodes))
            if join:
                list(pool.map(self.join, self.nodes))
        if join:
            self.until_ready()

    def join(self, node: NodeDaemon, *options: str) -> None:
        """The machine becomes a node."""
        words = ("--token", self.token(), "--ca-hash", self.ca_hash(), "--node-name", node.name)
        node.boxship("node", "join", self.control.url, *words, *options)

    @functools.cache  # noqa: B019 – a cluster lives as long as its test module
    def token(self) -> str:
        """A bootstrap token, made as kubeadm makes one."""
        name, secret = os.urandom(3).hex(), os.urandom(8).hex()
        made = {
            "apiVersion": "v1",
            "kind": "Secret",
            "type": "bootstrap.kubernetes.io/token",
            "metadata": {"name": f"bootstrap-token-{name}", "namespace": "kube-system"},
            "stringData": {
                "token-id": name,
                "token-secret": secret,
                "usage-bootstrap-authentication": "true",
                "usage-bootstrap-signing": "true",
                "auth-extra-groups": "system:bootstrappers:kubeadm:default-node-token",
            },
        }
        answer = self.control.request("POST", "/api/v1/namespaces/kube-system/secrets", made)
        assert answer.status == 201, answer
        return f"{name}.{secret}"

    def ca_hash(self) -> str:
        """As kubeadm's --discovery-token-ca-cert-hash: of the authority's public key."""
        script = f"openssl x509 -in {self.control.data}/pki/ca.crt -pubkey -noout | openssl pkey -pubin -outform der"
        der = subprocess.run(["sh", "-c", script], capture_output=True, check=True).stdout
        return f"sha256:{hashlib.sha256(der).hexdigest()}"

    def until_ready(self, *names: str, seconds: float = READY_SECONDS) -> None:
        """Every node (or those) is Ready."""
        wanted = set(names or (node.name for node in self.nodes))
        until(lambda: wanted <= self.ready_nodes(), seconds, lambda: f"nodes {wanted} are Ready\n{self.report()}")

    def ready_nodes(self) -> set[str]:
        nodes = self.get("nodes")
        return {node["metadata"]["name"] for node in nodes if condition(node, "Ready") == "True"}

    def get(self, *words: str) -> list[dict[str, Any]]:
        """The objects of `kubectl get WORDS`, or the one."""
        found = json.loads(self.kubectl("get", *words, "-o", "json").stdout)
        return list(found["items"]) if found["kind"] == "List" or "items" in found else [found]

    def pods(self, labels: str = "", namespace: str = "default") -> list[dict[str, Any]]:
        """Fast: without starting kubectl."""
        query = f"?labelSelector={labels}" if labels else ""
        answer = self.control.request("GET", f"/api/v1/namespaces/{namespace}/pods{query}")
        assert answer.status == 200, answer
        return list(answer.object["items"])

    def until_pods(self, count: int, labels: str = "", namespace: str = "default", seconds: float = 30) -> None:
        """That many pods are Ready, and no other ones are there."""

        def there() -> bool:
            found = self.pods(labels, namespace)
            return len(found) == count and all(condition(pod, "Ready") == "True" for pod in found)

        until(there, seconds, lambda: f"{count} pods are Ready\n{self.report(namespace)}")

    def until(self, condition: Callable[[], object], seconds: float, what: str) -> None:
        until(condition, seconds, lambda: f"{what}\n{self.report()}")

    def report(self, namespace: str = "default") -> str:
        """What one wants to see where something did not come about."""
        asked = (
            ("get", "nodes,pods,services", "-A", "-o", "wide"),
            ("get", "events", "-n", namespace),
        )
        texts = [self.kubectl(*words, check=False).stdout[-5000:] for words in asked]
        texts += [f"{node.name}: {node.said()[-2500:]}" for node in self.nodes]
        return "\n".join([*texts, f"control: {self.control.said()[-2000:]}"])

    def kubectl(
        self,
        *arguments: str,
        check: bool = True,
        data: bytes | str | None = None,
        timeout: float = 60,
        program: str = "",
        environment: Mapping[str, str] | None = None,
        at: Namespace | None = None,
    ) -> "subprocess.CompletedProcess[str]":
        """The stock client as the administrator, on the first node or `at` another place. `program`: a version that is
        unpacked in build/kubectl, or a path."""
        known = KUBECTLS / program / "kubectl"
        chosen = str(known) if program and known.exists() else program or kubectl_program()
        command = [*(at or self.nodes[0].namespace).enter, chosen, *arguments]
        sent = data.encode() if isinstance(data, str) else data
        return _ran(command, {**self.kubectl_environment(), **(environment or {})}, sent, timeout, check, self.home)

    def kubectl_environment(self) -> dict[str, str]:
        """For a program of one's own: Popen([*cluster.nodes[0].namespace.enter, …], env=…)."""
        return {
            **surroundings(),
            "KUBECONFIG": str(self.control.kubeconfig),
            "HOME": str(self.home),
            "KUBECACHEDIR": str(self.home / "cache"),
        }

    def apply(self, manifest: str) -> None:
        self.kubectl("apply", "-f", "-", data=manifest)

    def docker(self, node: int, *arguments: str, **options: Any) -> "subprocess.CompletedProcess[str]":
        return self.nodes[node].docker(*arguments, **options)

    def boxship(self, node: int, *arguments: str, **options: Any) -> "subprocess.CompletedProcess[str]":
        return self.nodes[node].boxship(*arguments, **options)

    def shell(self, node: int, script: str, **options: Any) -> "subprocess.CompletedProcess[str]":
        return self.nodes[node].shell(script, **options)

    def close(self) -> None:
        """All that lives ends, and what is left of it is taken away. Whoever was killed or cut off stays so: what it
        had is taken away for it."""
        try:
            if self.control.process is not None and self.control.process.poll() is None:
                self.control.kill()
            with concurrent.futures.ThreadPoolExecutor(len(self.nodes)) as pool:
                for cleared in [pool.submit(self._clear, node) for node in self.nodes]:
                    cleared.result()
        finally:
            for pid in processes_naming(str(self.home)):
                with contextlib.suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGKILL)
            until(lambda: not processes_naming(str(self.home)), 10, "all processes of the cluster have ended")
            for node in self.nodes:
                _clear_cgroups(node)
            for namespace in (*(node.namespace for node in self.nodes), self.clients, self.switch):
                namespace.close()

    def _clear(self, node: NodeDaemon) -> None:
        if node.process is None:
            return
        if node.process.poll() is not None:
            if not node.data.joinpath("instance").exists():
                return  # it never was there
            node.start()
        node.boxship("node", "leave", "--force", check=False)
        node.remove_all()
        node.stop()


def _clear_cgroups(node: NodeDaemon) -> None:
    """Where a node could not be cleared in good order, its containers' processes are still there."""
    named = node.data / "instance"
    if not named.exists():
        return
    name, layout = named.read_text().strip(), cgroup.detect()
    for group in (f"boxship-pods-{name}", f"boxship-{name}"):
        cgroup.kill(layout, group)
        cgroup.remove(layout, group)


@contextlib.contextmanager
def running_cluster(
    home: Path,
    nodes: int = 1,
    *,
    join: bool = True,
    image: bool = True,
    control_options: tuple[str, ...] = (),
    node_options: tuple[str, ...] = (),
    segments: int = 1,
) -> Iterator[Cluster]:
    """A cluster whose nodes are all Ready and have the image busybox:latest. `home` should be a short path: sockets lie
    below it. Without `join` the machines are there and no nodes yet (`cluster.join(node)`). The nodes are dealt out to
    `segments` with a router between them: 192.168.50.0/24, 192.168.51.0/24 and so on."""
    home.chmod(0o711)  # pods with users of their own walk to their files
    cluster = Cluster(home, nodes, control_options, node_options, segments)
    try:
        cluster.start(join=join, image=image)
        yield cluster
    finally:
        cluster.close()


def condition(object: Mapping[str, Any], kind: str) -> str:
    """The status of a condition, "" where it is not there."""
    conditions = (object.get("status") or {}).get("conditions") or ()
    return next((str(one["status"]) for one in conditions if one["type"] == kind), "")


@functools.cache
def _busybox() -> bytes:
    return busybox_tar()


def _ran(
    command: list[str], environment: Mapping[str, str], data: bytes | None, timeout: float, check: bool, folder: Path
) -> "subprocess.CompletedProcess[str]":
    done = subprocess.run(
        command,
        **({"input": data} if data is not None else {"stdin": subprocess.DEVNULL}),  # type: ignore[call-overload]
        capture_output=True,
        timeout=timeout,
        env=environment,
        cwd=folder,
        check=False,
    )
    result = subprocess.CompletedProcess(
        done.args, done.returncode, done.stdout.decode(errors="replace"), done.stderr.decode(errors="replace")
    )
    words = " ".join(command)
    assert not check or result.returncode == 0, f"{words}: {result.stderr}{result.stdout}"
    return result
