"""Ways to a pod that the conformance list leaves out and people take: through an HTTP proxy, forwarded ports, the
client inside a pod; taints and quotas by the client; and a container that cannot begin."""

import contextlib
import socket
import subprocess
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from client_kit import EVERY, program_of
from conformance_kit import Space

pytestmark = pytest.mark.slow

HERE = "--image-pull-policy=IfNotPresent"
PAGE = b"GET /page HTTP/1.0\r\n\r\n"


class Proxy:
    """An HTTP proxy on a node that knows CONNECT alone, and what it was asked for."""

    def __init__(self, space: Space) -> None:
        self.asked: list[str] = []
        self._space = space
        self._server = space.cluster.nodes[0].namespace.run(lambda: socket.create_server(("127.0.0.1", 0)))
        self.url = f"http://127.0.0.1:{self._server.getsockname()[1]}"
        threading.Thread(target=self._serve, daemon=True).start()

    def close(self) -> None:
        with contextlib.suppress(OSError):
            self._server.shutdown(socket.SHUT_RDWR)
        self._server.close()

    def _serve(self) -> None:
        with contextlib.suppress(OSError):
            while True:
                client, _ = self._server.accept()
                threading.Thread(target=self._lead, args=(client,), daemon=True).start()

    def _lead(self, client: socket.socket) -> None:
        head = b""
        while b"\r\n\r\n" not in head:
            head += client.recv(4096)
        method, target, _ = head.split(b"\r\n")[0].decode().split()
        self.asked.append(f"{method} {target}")
        host, _, port = target.rpartition(":")
        far = self._space.cluster.nodes[0].namespace.run(lambda: socket.create_connection((host, int(port))))
        client.sendall(b"HTTP/1.1 200 Connection established\r\n\r\n")
        threading.Thread(target=_pass_on, args=(client, far), daemon=True).start()
        _pass_on(far, client)


def _pass_on(source: socket.socket, target: socket.socket) -> None:
    with contextlib.suppress(OSError):
        while data := source.recv(65536):
            target.sendall(data)
    with contextlib.suppress(OSError):
        target.shutdown(socket.SHUT_WR)


@EVERY
def test_exec_through_an_http_proxy(space: Space, version: str) -> None:
    space.kubectl("run", "p", "--image=busybox", HERE, "--", "sleep", "600")
    space.until_ready("p")
    proxy = Proxy(space)
    try:
        for variable in ("https_proxy", "HTTPS_PROXY"):
            proxy.asked.clear()
            said = space.kubectl(
                *("exec", "-i", "p", "--", "sh", "-c", "cat; echo behind it"),
                program=version,
                data="through the proxy\n",
                environment={variable: proxy.url},
            )
            assert said == "through the proxy\nbehind it\n"
            assert set(proxy.asked) == {f"CONNECT {space.cluster.control.url.removeprefix('https://')}"}
    finally:
        proxy.close()


@contextlib.contextmanager
def _forwarded(space: Space, version: str, target: str, *ports: str) -> Iterator[list[int]]:
    """The ports of this machine that lead to those."""
    words = ("-n", space.name, "port-forward", "--address=127.0.0.1", target, *ports)
    process = subprocess.Popen(
        [*space.cluster.nodes[0].namespace.enter, program_of(version), *words],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        env=space.cluster.kubectl_environment(),
    )
    try:
        assert process.stdout is not None
        lines = [process.stdout.readline().decode() for _ in ports]
        yield [int(line.split(" -> ")[0].rpartition(":")[2]) for line in lines]
    finally:
        process.kill()
        process.wait()


def _talked(space: Space, port: int, data: bytes, *, ends: bool = True) -> bytes:
    """What comes back to its end. `ends`: we say that nothing more will be sent."""

    def talk() -> bytes:
        with socket.create_connection(("127.0.0.1", port), 20) as connection:
            if data:
                connection.sendall(data)
            if ends:
                connection.shutdown(socket.SHUT_WR)
            found = b""
            while piece := connection.recv(65536):
                found += piece
            return found

    return space.cluster.nodes[0].namespace.run(talk)


@EVERY
def test_forwarded_ports(space: Space, version: str) -> None:
    """Servers of a pod's own loopback, of IPv6 too; who speaks first; half-closed connections; many at once."""
    space.apply("""
        apiVersion: v1
        kind: Pod
        metadata: {name: p, labels: {app: p}}
        spec:
          terminationGracePeriodSeconds: 0
          containers:
          - name: c
            image: busybox
            imagePullPolicy: IfNotPresent
            command:
            - sh
            - -c
            - >-
              echo hello > /tmp/page;
              httpd -p 127.0.0.1:81 -h /tmp; httpd -p '[::1]:82' -h /tmp;
              nc -ll -p 83 -e sh -c 'cat; echo END' &
              exec nc -ll -p 84 -e sh -c 'echo first; read x; echo got $x'
            readinessProbe: {tcpSocket: {port: 84}, periodSeconds: 1}
        ---
        apiVersion: v1
        kind: Service
        metadata: {name: p}
        spec:
          selector: {app: p}
          ports: [{name: talks, port: 8000, targetPort: 84}]
    """)
    space.until_ready("p")
    with _forwarded(space, version, "pod/p", ":81", ":82", ":83", ":84") as (four, six, echo, talks):
        assert _talked(space, four, PAGE).endswith(b"hello\n") and _talked(space, four, PAGE, ends=False).endswith(
            b"hello\n"
        )
        assert _talked(space, six, PAGE).endswith(b"hello\n")
        assert _talked(space, echo, b"") == b"END\n"
        large = bytes(range(256)) * 4096
        assert _talked(space, echo, large) == large + b"END\n"
        assert _talked(space, talks, b"word\n", ends=False) == b"first\ngot word\n"
        said: dict[int, bytes] = {}
        threads = [
            threading.Thread(target=lambda n=n: said.update({n: _talked(space, four, PAGE)}))  # type: ignore[misc]
            for n in range(10)
        ]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert all(said[n].endswith(b"hello\n") for n in range(10))
    with _forwarded(space, version, "service/p", ":talks") as (port,):
        assert _talked(space, port, b"word\n") == b"first\ngot word\n"


def test_the_client_inside_a_pod(space: Space) -> None:
    """It needs nothing but what is mounted and said by the environment."""
    client = Path(program_of()).resolve()
    space.kubectl("create", "rolebinding", "viewing", "--clusterrole=view", f"--serviceaccount={space.name}:default")
    mounts: dict[str, Any] = {"/client": str(client.parent), "/lib": "/usr/lib", "/lib64": "/lib64"}
    space.made(
        "pods",
        {
            "metadata": {"name": "inside"},
            "spec": {
                "terminationGracePeriodSeconds": 0,
                "volumes": [{"name": f"v{n}", "hostPath": {"path": mounts[at]}} for n, at in enumerate(mounts)],
                "containers": [
                    {
                        "name": "c",
                        "image": "busybox",
                        "imagePullPolicy": "IfNotPresent",
                        "command": ["sleep", "600"],
                        "volumeMounts": [
                            {"name": f"v{n}", "mountPath": at, "readOnly": True} for n, at in enumerate(mounts)
                        ],
                    }
                ],
            },
        },
    )
    space.until_ready("inside")

    def run(words: str) -> str:
        return space.shell("inside", f"HOME=/tmp /client/{client.name} {words} 2>&1; true")

    said = run("get pods --v=6")
    assert "Using in-cluster configuration" in said and f"/api/v1/namespaces/{space.name}/pods" in said
    assert "inside" in said.splitlines()[-1] and "Running" in said.splitlines()[-1]
    assert "Unauthorized" in run("get pods --token=invalid")
    assert "Forbidden" in run("get pods --namespace=kube-system")
    assert "forbidden" in run("create configmap one") and "Forbidden" in run("get secrets")
    place = "/var/run/secrets/kubernetes.io/serviceaccount"
    named = "--server=https://kubernetes.default.svc:$KUBERNETES_SERVICE_PORT"
    said = run(f"get pods -n {space.name} {named} --certificate-authority={place}/ca.crt --token=$(cat {place}/token)")
    assert "inside" in said and "Running" in said


def test_taints_by_the_client(space: Space) -> None:
    """On the second node, and gone again."""
    run, key = space.kubectl, f"{space.name}.example/no"
    try:
        run("taint", "nodes", "node2", f"{key}=one:NoSchedule")
        assert f"{key}=one:NoSchedule" in run("describe", "node", "node2")
        run("taint", "nodes", "node2", f"{key}=two:PreferNoSchedule")
        assert "already has" in space.refusal("taint", "nodes", "node2", f"{key}=three:NoSchedule")
        run("taint", "nodes", "node2", f"{key}=three:NoSchedule", "--overwrite")
        shown = run("describe", "node", "node2")
        assert f"{key}=two:PreferNoSchedule" in shown and f"{key}=three:NoSchedule" in shown
        run("taint", "nodes", "node2", f"{key}:NoSchedule-")
        assert f"{key}=three" not in run("describe", "node", "node2")
    finally:
        space.cluster.kubectl("taint", "nodes", "node2", f"{key}-", check=False)
    assert key not in run("describe", "node", "node2")


def test_quotas_by_the_client(space: Space) -> None:
    space.kubectl("create", "quota", "million", "--hard=pods=1000000,services=1000000")
    wanted = {"pods": "1M", "services": "1M"}
    assert space.read("resourcequotas/million")["spec"] == {"hard": wanted}
    space.kubectl("create", "quota", "scopes", "--hard=pods=1000000", "--scopes=BestEffort,NotTerminating")
    assert sorted(space.read("resourcequotas/scopes")["spec"]["scopes"]) == ["BestEffort", "NotTerminating"]
    assert "Foo" in space.refusal("create", "quota", "wrong", "--hard=pods=1", "--scopes=Foo")
    used = {"hard": wanted, "used": {"pods": "0", "services": "0"}}
    space.until(lambda: space.read("resourcequotas/million").get("status") == used, "what is used is told", 20)
    shown = space.kubectl("describe", "quota", "million")
    assert ["services", "0", "1M"] in [line.split() for line in shown.splitlines()]


def test_the_container_that_is_meant(space: Space) -> None:
    """An annotation names it, for logs and exec; a container that cannot begin waits as one that keeps ending."""
    space.apply("""
        apiVersion: v1
        kind: Pod
        metadata: {name: two, annotations: {kubectl.kubernetes.io/default-container: second}}
        spec:
          terminationGracePeriodSeconds: 0
          containers:
          - {name: first, image: busybox, imagePullPolicy: IfNotPresent, command: [sh, -c, echo 1; exec sleep 600]}
          - {name: second, image: busybox, imagePullPolicy: IfNotPresent, command: [sh, -c, echo 2; exec sleep 600]}
        ---
        apiVersion: v1
        kind: Pod
        metadata: {name: never}
        spec:
          terminationGracePeriodSeconds: 0
          containers:
          - {name: c, image: busybox, imagePullPolicy: IfNotPresent, command: [/nothing/here]}
    """)
    space.until_ready("two")
    space.until(lambda: space.log("two") == "2\n", "the second one is meant")
    assert space.kubectl("exec", "two", "--", "sh", "-c", "tr '\\0' ' ' < /proc/1/cmdline") == "sleep 600 "
    assert space.log("two", "-c", "first") == "1\n"

    def waits_for() -> str:
        states = space.pod("never")["status"].get("containerStatuses") or ({},)
        return str(states[0].get("state", {}).get("waiting", {}).get("reason", ""))

    space.until(lambda: waits_for() == "CrashLoopBackOff", "it waits")
    assert space.pod("never")["status"]["containerStatuses"][0]["lastState"]["terminated"]["reason"] == "StartError"
    space.until(lambda: space.events("--field-selector=reason=BackOff,involvedObject.name=never"), "that is told")
