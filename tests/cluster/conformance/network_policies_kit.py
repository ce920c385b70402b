"""A small world for NetworkPolicies: three namespaces of two pods, dealt out to both nodes, and who reaches whom.

    world.policies("x", {"spec": {"podSelector": {}, "policyTypes": ["Ingress"]}})
    world.until(lambda asking, asked: asked[0] != "x")

Pods are named "x/a"; one always reaches itself, so that is never asked.
"""

import concurrent.futures
import itertools
from collections.abc import Callable, Iterable
from typing import Any

from conformance_kit import Space
from network_kit import Inside, answer, answering, inside, started
from nodes_kit import Cluster

NAMESPACES, PODS = "xyz", "ab"
SERVING = ("tcp:80", "tcp:81", "udp:80", "udp:81")
PORTS = [
    {"name": f"{protocol}-{port}", "containerPort": port, "protocol": protocol.upper()}
    for protocol, _, port in ((*word.partition(":")[:2], int(word.partition(":")[2])) for word in SERVING)
]
Pair = tuple[str, str]
Allowed = Callable[[str, str], bool]


class World:
    def __init__(self, cluster: Cluster, prefix: str) -> None:
        self.cluster = cluster
        self.spaces = {letter: Space(cluster, f"{prefix}-{letter}") for letter in NAMESPACES}
        self.insides: dict[str, Inside] = {}
        self.addresses: dict[str, str] = {}
        self._pool = concurrent.futures.ThreadPoolExecutor(40)

    def start(self) -> None:
        for letter, space in self.spaces.items():
            self.cluster.kubectl("create", "namespace", space.name)
            self.cluster.kubectl("label", "namespace", space.name, f"ns={letter}")
            space.until(lambda: not space.is_gone("serviceaccounts/default"), "the account is there")  # noqa: B023
        for (letter, space), pod in itertools.product(self.spaces.items(), PODS):
            node = f"node{1 + (ord(letter) + ord(pod)) % 2}"
            space.made("pods", answering(pod, *SERVING, labels={"pod": pod}, ports=PORTS, nodeName=node))
        for letter, space in self.spaces.items():
            space.until_ready(*PODS)
            for pod in PODS:
                self.insides[f"{letter}/{pod}"] = inside(space, pod)
                self.addresses[f"{letter}/{pod}"] = str(space.pod(pod)["status"]["podIP"])

    def more(self, letter: str, pod: str, **labels: str) -> None:
        """One pod more."""
        space = self.spaces[letter]
        started(space, answering(pod, *SERVING, labels={"pod": pod, **labels}, ports=PORTS))
        self.insides[f"{letter}/{pod}"] = inside(space, pod)
        self.addresses[f"{letter}/{pod}"] = str(space.pod(pod)["status"]["podIP"])

    def fewer(self, letter: str, pod: str) -> None:
        self.spaces[letter].kubectl("delete", "pod", pod, "--now")
        del self.insides[f"{letter}/{pod}"], self.addresses[f"{letter}/{pod}"]

    def stop(self) -> None:
        self._pool.shutdown()
        self.cluster.kubectl("delete", "namespace", "--wait=false", *(space.name for space in self.spaces.values()))

    def policies(self, letter: str, *specs: dict[str, Any]) -> None:
        """The namespace's policies from now on: p0, p1 and so on."""
        space = self.spaces[letter]
        wanted = {f"p{number}": spec for number, spec in enumerate(specs)}
        root = "networking.k8s.io/v1/networkpolicies"
        known = {one["metadata"]["name"] for one in space.read(root)["items"]}
        for name, spec in wanted.items():
            made = {"apiVersion": "networking.k8s.io/v1", "kind": "NetworkPolicy", "metadata": {"name": name}}
            if name in known:
                space.replaced(f"{root}/{name}", {**made, "spec": spec})
            else:
                space.made(root, {**made, "spec": spec})
        for name in known - set(wanted):
            assert space.request("DELETE", f"{root}/{name}").status == 200

    def clear(self) -> None:
        for letter in NAMESPACES:
            self.policies(letter)

    def pairs(self) -> Iterable[Pair]:
        return itertools.permutations(self.insides, 2)

    def reached(self, protocol: str, port: int) -> set[Pair]:
        """Who is answered by whom."""
        pairs = list(self.pairs())

        def ask(pair: Pair) -> bool:
            asking, asked = pair
            told = answer(self.insides[asking], protocol, self.addresses[asked], port, seconds=0.3)
            return told == asked.partition("/")[2]

        return {pair for pair, there in zip(pairs, self._pool.map(ask, pairs), strict=True) if there}

    def until(self, allowed: Allowed, protocol: str = "tcp", port: int = 80, seconds: float = 20) -> None:
        """Until those reach each other who may, and nobody else."""
        wanted = {pair for pair in self.pairs() if allowed(*pair)}
        wrong: list[str] = []

        def holds() -> bool:
            found = self.reached(protocol, port)
            wrong[:] = [f"{a} reaches {b}" for a, b in sorted(found - wanted)]
            wrong.extend(f"{a} does not reach {b}" for a, b in sorted(wanted - found))
            return not wrong

        try:
            self.cluster.until(holds, seconds, f"{protocol}:{port} is as the policies have it")
        except BaseException as error:
            error.add_note("; ".join(wrong))
            raise
