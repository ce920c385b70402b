"""What the cases about the network ask with: pods that answer over TCP and UDP, and questions from anywhere.

busybox has no UDP, so the pods' program is the test's own Python, lent to them by host folders. A pod answers with its
name; `client` asks whose address it sees, `hold` keeps the connection open. Questions are asked from inside a network
namespace (a pod's, a node's, that of a machine that is no node) by the test process itself, so one costs a
millisecond and hundreds can be asked.
"""

import collections
import json
import os
import socket
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from types import SimpleNamespace
from typing import Any, cast

from conformance_kit import Space
from namespaces_kit import Namespace

REFUSED = "refused"
SILENT = "silent"
PROGRAM = """
import os, socket, sys, threading
own = os.environ.get("HOSTNAME", "") or socket.gethostname()
def told(words, client):
    if words[:1] == [b"client"] or words[1:2] == [b"/client"]:
        return client[0].encode()
    if words[1:2] and words[1].startswith(b"/told"):
        return words[0] + b" " + words[1]
    return own.encode()
def answered(connection, client):
    with connection:
        data = connection.recv(65536)
        if data.startswith(b"hold"):
            connection.sendall(own.encode())
            while connection.recv(1024):
                connection.sendall(own.encode())
            return
        body = told(data.split(), client)
        if b"HTTP/1" in data[:500]:
            length = str(len(body)).encode()
            head = b"HTTP/1.1 200 OK\\r\\nContent-Type: text/plain\\r\\nConnection: close\\r\\nContent-Length: "
            body = head + length + b"\\r\\n\\r\\n" + (b"" if data.startswith(b"HEAD") else body)
        connection.sendall(body)
def streams(port):
    listening = socket.create_server(("", port), backlog=100)
    while True:
        threading.Thread(target=answered, args=listening.accept(), daemon=True).start()
def datagrams(port):
    listening = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    listening.bind(("", port))
    while True:
        data, client = listening.recvfrom(2048)
        listening.sendto(told(data.split(), client), client)
for protocol, _, port in (word.partition(":") for word in sys.argv[1:]):
    threading.Thread(target=streams if protocol == "tcp" else datagrams, args=(int(port),)).start()
"""


def answering(name: str, *serving: str, labels: Mapping[str, str] | None = None, **spec: Any) -> dict[str, Any]:
    """A pod that serves "tcp:8080", "udp:8081" and so on; it is Ready when the first TCP port answers."""
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": name, "labels": dict(labels or {})},
        "spec": answering_spec(*serving, **spec),
    }


def answering_spec(*serving: str, ports: Sequence[Mapping[str, Any]] = (), **spec: Any) -> dict[str, Any]:
    folders = sorted({"/usr", sys.base_prefix})
    python = os.path.realpath(sys.executable)
    first = next((int(word[4:]) for word in serving if word.startswith("tcp:")), 0)
    container = {
        "name": "answers",
        "image": "busybox",
        "imagePullPolicy": "IfNotPresent",
        "command": ["sh", "-c", 'ln -s usr/lib /lib; ln -s usr/lib64 /lib64; exec "$@"', "sh"],
        "args": [python, "-S", "-c", PROGRAM, *serving],
        "ports": list(ports),
        "volumeMounts": [{"name": f"v{i}", "mountPath": f, "readOnly": True} for i, f in enumerate(folders)],
        **({"readinessProbe": {"tcpSocket": {"port": first}, "periodSeconds": 1}} if first else {}),
    }
    volumes = [{"name": f"v{i}", "hostPath": {"path": folder}} for i, folder in enumerate(folders)]
    return {"terminationGracePeriodSeconds": 0, "containers": [container], "volumes": volumes, **spec}


def idle(name: str, labels: Mapping[str, str] | None = None, **spec: Any) -> dict[str, Any]:
    """A pod that only asks: busybox, asleep."""
    container = {"name": "asks", "image": "busybox", "imagePullPolicy": "IfNotPresent", "command": ["sleep", "3600"]}
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": name, "labels": dict(labels or {})},
        "spec": {"terminationGracePeriodSeconds": 0, "containers": [container], **spec},
    }


def replicated(name: str, count: int, *serving: str, labels: Mapping[str, str]) -> dict[str, Any]:
    """A ReplicationController of answering pods, spread over the nodes."""
    spread = {
        "maxSkew": 1,
        "topologyKey": "kubernetes.io/hostname",
        "whenUnsatisfiable": "DoNotSchedule",
        "labelSelector": {"matchLabels": dict(labels)},
    }
    spec = answering_spec(*serving, topologySpreadConstraints=[spread])
    template = {"metadata": {"labels": dict(labels)}, "spec": spec}
    return {
        "apiVersion": "v1",
        "kind": "ReplicationController",
        "metadata": {"name": name},
        "spec": {"replicas": count, "selector": dict(labels), "template": template},
    }


def service(name: str, *ports: Mapping[str, Any], **spec: Any) -> dict[str, Any]:
    return {"apiVersion": "v1", "kind": "Service", "metadata": {"name": name}, "spec": {"ports": list(ports), **spec}}


def started(space: Space, *pods: dict[str, Any]) -> None:
    """All of them begin at once, then all are waited for."""
    for pod in pods:
        space.made("pods", pod)
    space.until_ready(*(str(pod["metadata"]["name"]) for pod in pods))


def addresses(space: Space, labels: str) -> dict[str, str]:
    """Pods' addresses by name."""
    return {pod["metadata"]["name"]: pod["status"]["podIP"] for pod in space.cluster.pods(labels, space.name)}


class Inside(Namespace):
    """The network namespace of a process that runs, such as a pod's."""

    def __init__(self, pid: int) -> None:
        self._keeper = cast(Any, SimpleNamespace(pid=pid))

    def close(self) -> None:
        """It is the pod's own, and ends with it."""


def inside(space: Space, name: str) -> Inside:
    """Where a pod's own questions come from."""
    pod = space.pod(name)
    node = next(one for one in space.cluster.nodes if one.name == pod["spec"]["nodeName"])
    container = pod["status"]["containerStatuses"][0]["containerID"].partition("://")[2]
    return Inside(int(node.docker("inspect", "--format", "{{.State.Pid}}", container).stdout))


def answer(place: Namespace, protocol: str, address: str, port: int, said: str = "name", seconds: float = 0.7) -> str:
    """What comes back for one question: a pod's name, REFUSED or SILENT."""
    kind = socket.SOCK_STREAM if protocol == "tcp" else socket.SOCK_DGRAM

    def ask() -> str:
        with socket.socket(socket.AF_INET, kind) as asking:
            asking.settimeout(seconds)
            try:
                asking.connect((address, port))
                asking.sendall(said.encode())
                return asking.recv(4096).decode()
            except TimeoutError:
                return SILENT
            except ConnectionError:
                return REFUSED
            except OSError as error:
                return error.strerror or str(error)

    return place.run(ask)


def answers(place: Namespace, protocol: str, address: str, port: int, times: int = 20) -> collections.Counter[str]:
    """Who answers how often."""
    return collections.Counter(answer(place, protocol, address, port) for _ in range(times))


def until_all_answer(
    space: Space, place: Namespace, protocol: str, address: str, port: int, wanted: set[str], seconds: float = 20
) -> None:
    """Each of those answers there, and nobody else."""
    found: set[str] = set()

    def holds() -> bool:
        found.clear()
        found.update(answers(place, protocol, address, port, max(12, 8 * len(wanted))))
        return found == wanted

    what = f"{wanted} answer at {protocol} {address}:{port}"
    try:
        space.until(holds, what, seconds)
    except BaseException as error:
        error.add_note(f"those answered: {found}")
        raise


def until_answer(space: Space, ask: Callable[[], str], wanted: str, what: str, seconds: float = 15) -> None:
    """Until a question is answered so."""
    space.until(lambda: ask() == wanted, what, seconds)


def watched(
    space: Space, path: str, since: str, enough: Callable[[list[dict[str, Any]]], bool]
) -> list[dict[str, Any]]:
    """The events of a watch from a resource version on, until there are enough of them."""
    mark = "&" if "?" in path else "?"
    deadline = time.monotonic() + 20
    while time.monotonic() < deadline:
        answer = space.request("GET", f"{path}{mark}watch=1&resourceVersion={since}&timeoutSeconds=1")
        assert answer.status == 200, answer
        events = [json.loads(line) for line in answer.body.splitlines()]
        if enough(events):
            return events
    raise AssertionError(f"{path} tells too little: {events}")
