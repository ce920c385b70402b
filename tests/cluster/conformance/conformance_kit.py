"""What a case of the conformance suite asks of a cluster: a namespace of its own, the stock client in it, and waiting.

The cases are our own renditions of what Kubernetes' conformance tests ask for; docs/conformance.md says which of them
there are. `Space` is all that most of them need:

    def test_a_pod_reads_its_map(space: Space) -> None:
        space.kubectl("create", "configmap", "words", "--from-literal=one=eins")
        assert space.output(POD) == "eins\n"
"""

import json
import textwrap
from collections.abc import Callable, Mapping
from typing import Any

from control_kit import Answer
from nodes_kit import Cluster, condition

from boxship.wire.yaml_text import read_all

SECONDS = 60.0  # the longest that a condition may take on a quiet machine


class Space:
    """A namespace of its own on a cluster that others use at the same time."""

    def __init__(self, cluster: Cluster, name: str) -> None:
        self.cluster, self.name = cluster, name

    # the stock client

    def kubectl(self, *words: str, **options: Any) -> str:
        """What `kubectl -n NAMESPACE WORDS` prints; it has to succeed."""
        return self.cluster.kubectl("-n", self.name, *words, **options).stdout

    def refusal(self, *words: str, **options: Any) -> str:
        """What kubectl complains of; it has to fail."""
        done = self.cluster.kubectl("-n", self.name, *words, check=False, **options)
        assert done.returncode != 0, f"kubectl {' '.join(words)} succeeds: {done.stdout}"
        return done.stderr + done.stdout

    def apply(self, manifest: str) -> None:
        """`kubectl apply` of text that may be indented as the test is."""
        self.kubectl("apply", "-f", "-", data=textwrap.dedent(manifest))

    def get(self, *words: str) -> list[dict[str, Any]]:
        """The objects of `kubectl get WORDS`, or the one."""
        return self.cluster.get("-n", self.name, *words)

    # the API itself

    def request(
        self, method: str, path: str, body: Any = None, headers: Mapping[str, str] | None = None, client: str = "admin"
    ) -> Answer:
        """A request below the namespace: "pods/web/status" of v1, "apps/v1/deployments/web/scale" of a group."""
        return self.cluster.control.request(method, self.path(path), body, headers, client)

    def path(self, path: str) -> str:
        """The whole path of one below the namespace."""
        parts = path.split("/")
        grouped = len(parts) > 2 and parts[1][:1] == "v" and parts[1][1:2].isdigit()
        root = f"/apis/{parts[0]}/{parts[1]}" if grouped else "/api/v1"
        rest = "/".join(parts[2:] if grouped else parts)
        return f"{root}/namespaces/{self.name}/{rest}"

    def made(self, path: str, body: Any) -> dict[str, Any]:
        """The object as it was created by POST."""
        return self._whole(self.request("POST", path, body), 201)

    def read(self, path: str) -> dict[str, Any]:
        return self._whole(self.request("GET", path), 200)

    def patched(self, path: str, change: Any, kind: str = "application/merge-patch+json") -> dict[str, Any]:
        return self._whole(self.request("PATCH", path, change, {"Content-Type": kind}), 200)

    def replaced(self, path: str, body: Any) -> dict[str, Any]:
        return self._whole(self.request("PUT", path, body), 200)

    def is_gone(self, path: str) -> bool:
        return self.request("GET", path).status == 404

    @staticmethod
    def _whole(answer: Answer, status: int) -> dict[str, Any]:
        assert answer.status == status, (answer.status, answer.body[:2000])
        found: dict[str, Any] = answer.object
        return found

    # pods

    def pod(self, name: str) -> dict[str, Any]:
        return self.read(f"pods/{name}")

    def phase(self, name: str) -> str:
        return str(self.pod(name)["status"].get("phase", ""))

    def until_phase(self, name: str, *phases: str, seconds: float = SECONDS) -> dict[str, Any]:
        self.until(lambda: self.phase(name) in phases, f"pod {name} is {' or '.join(phases)}", seconds)
        return self.pod(name)

    def until_ready(self, *names: str, seconds: float = SECONDS) -> None:
        """Those pods are Ready."""
        self.until(
            lambda: all(condition(self.pod(name), "Ready") == "True" for name in names),
            f"pods {', '.join(names)} are Ready",
            seconds,
        )

    def until_pods(self, count: int, labels: str = "", seconds: float = SECONDS) -> None:
        """That many pods are Ready, and no other ones with the labels are there."""
        self.cluster.until_pods(count, labels, self.name, seconds)

    def log(self, pod: str, *words: str) -> str:
        return self.kubectl("logs", pod, *words)

    def shell(self, pod: str, script: str, container: str = "") -> str:
        """What a script prints in a container."""
        chosen = ("-c", container) if container else ()
        return self.kubectl("exec", pod, *chosen, "--", "sh", "-c", script)

    def output(self, manifest: str, *, succeeds: bool = True, container: str = "") -> str:
        """Run the manifest's last pod to its end: what it printed. `succeeds`: the phase that it must end in."""
        self.apply(manifest)
        pods = [one for one in read_all(textwrap.dedent(manifest)) if one["kind"] == "Pod"]
        name = str(pods[-1]["metadata"]["name"])
        ended = self.until_phase(name, "Succeeded", "Failed")
        said = self.log(name, *(("-c", container) if container else ()))
        wanted = "Succeeded" if succeeds else "Failed"
        assert ended["status"]["phase"] == wanted, f"{json.dumps(ended['status'], indent=1)}\n{said}"
        return said

    # waiting

    def until(self, holds: Callable[[], object], what: str, seconds: float = SECONDS) -> None:
        """Wait until it holds; fail with what, and what stands in the namespace."""
        self.cluster.until(holds, seconds, what)

    def events(self, *words: str) -> list[dict[str, Any]]:
        """Events of the namespace; words such as `--field-selector=reason=Failed`."""
        return self.get("events", *words)
