"""Endpoints and slices: what stands in them while pods come and go, and what people write themselves."""

import json
import ssl
import urllib.request
from collections.abc import Mapping, Sequence
from typing import Any

import pytest
from conformance_kit import Space
from network_kit import REFUSED, answer, answering, idle, inside, service, started, until_answer, watched

pytestmark = pytest.mark.slow

SLICES = "discovery.k8s.io/v1/endpointslices"


def slices(space: Space, name: str) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = space.read(f"{SLICES}?labelSelector=kubernetes.io%2Fservice-name%3D{name}")["items"]
    return found


def in_slices(space: Space, name: str) -> dict[str, list[int]]:
    """Pods (or addresses of none) with their ports, as the slices have them."""
    found: dict[str, list[int]] = {}
    for one in slices(space, name):
        for endpoint in one["endpoints"] or ():
            target = (endpoint.get("targetRef") or {}).get("name", endpoint["addresses"][0])
            found.setdefault(target, []).extend(port["port"] for port in one["ports"] or ())
    return {target: sorted(ports) for target, ports in found.items()}


def in_endpoints(space: Space, name: str) -> dict[str, list[int]]:
    """The same as the Endpoints object has it."""
    found: dict[str, list[int]] = {}
    for subset in space.read(f"endpoints/{name}").get("subsets", ()):
        for address in subset.get("addresses", ()):
            target = (address.get("targetRef") or {}).get("name", address["ip"])
            found.setdefault(target, []).extend(port["port"] for port in subset.get("ports", ()))
    return {target: sorted(ports) for target, ports in found.items()}


def until_endpoints(space: Space, name: str, wanted: Mapping[str, Sequence[int]]) -> None:
    """Both say so."""
    wanted = {target: list(ports) for target, ports in wanted.items()}
    space.until(lambda: not space.is_gone(f"endpoints/{name}"), f"{name} has Endpoints")
    space.until(lambda: in_slices(space, name) == wanted, f"slices of {name}: {wanted}")
    space.until(lambda: in_endpoints(space, name) == wanted, f"Endpoints of {name}: {wanted}")


# Covers: EndpointSlice API.
def test_pods_of_a_service_are_in_its_slices(space: Space) -> None:
    one = {"name": "one", "containerPort": 3000}
    two = [{"name": "one", "containerPort": 3001}, {"name": "two", "containerPort": 3002}]
    for pod, ports in (("pod1", [one]), ("pod2", two)):
        made = idle(pod, {pod: "on", "shared": "on"})
        made["spec"]["containers"][0]["ports"] = ports
        space.made("pods", made)
    early = {"publishNotReadyAddresses": True}
    for name, port, target, selector in (
        ("by-number", "example", 3000, {"pod1": "on"}),
        ("by-name", "http", "one", {"shared": "on"}),
        ("nobody", "none", 8080, {"pod3": "on"}),
    ):
        spec = service(name, {"name": port, "port": 80, "targetPort": target}, selector=selector, **early)
        space.made("services", spec)
    space.until_ready("pod1", "pod2")
    until_endpoints(space, "by-number", {"pod1": [3000]})
    until_endpoints(space, "by-name", {"pod1": [3000], "pod2": [3001]})
    until_endpoints(space, "nobody", {})
    space.until(lambda: len(slices(space, "nobody")) == 1, "a service without pods has an empty slice")
    (empty,) = slices(space, "nobody")
    assert empty["metadata"]["labels"]["endpointslice.kubernetes.io/managed-by"] == "endpointslice-controller.k8s.io"
    assert empty["metadata"]["ownerReferences"][0]["kind"] == "Service"
    assert not empty["endpoints"] and empty["addressType"] == "IPv4"
    for old in slices(space, "by-name"):
        space.kubectl("delete", "endpointslice", old["metadata"]["name"])
    until_endpoints(space, "by-name", {"pod1": [3000], "pod2": [3001]})
    (by_number,) = slices(space, "by-number")
    (endpoint,) = by_number["endpoints"]
    found = space.pod("pod1")
    assert endpoint["nodeName"] == found["spec"]["nodeName"] and endpoint["addresses"] == [found["status"]["podIP"]]
    assert endpoint["conditions"] == {"ready": True, "serving": True, "terminating": False}
    assert by_number["ports"] == [{"name": "example", "port": 3000, "protocol": "TCP"}]
    for name in ("nobody", "by-name"):
        space.kubectl("delete", "service", name)
        space.until(lambda: space.is_gone(f"endpoints/{name}") and not slices(space, name), f"{name} is gone")  # noqa: B023


# Covers: EndpointSlice API; Kubernetes Service; Find Kubernetes Service in default Namespace.
def test_the_api_is_a_service_itself(space: Space) -> None:
    everywhere = space.cluster.get("services", "-A")
    (found,) = [one for one in everywhere if one["metadata"]["name"] == "kubernetes"]
    assert found["metadata"]["namespace"] == "default"
    assert found["spec"]["ports"][0] == {"name": "https", "port": 443, "protocol": "TCP", "targetPort": 6443}
    assert found["metadata"]["labels"] == {"component": "apiserver", "provider": "kubernetes"}
    default = Space(space.cluster, "default")
    wanted = {space.cluster.control.address: [6443]}
    assert in_endpoints(default, "kubernetes") == wanted == in_slices(default, "kubernetes")
    started(space, idle("one", nodeName="node1"), idle("two", nodeName="node2"))
    trust = ssl.create_default_context(cafile=space.cluster.control.data / "pki" / "ca.crt")

    def version() -> dict[str, Any]:
        with urllib.request.urlopen("https://10.96.0.1/version", timeout=5, context=trust) as answer:
            told: dict[str, Any] = json.load(answer)
            return told

    assert found["spec"]["clusterIP"] == "10.96.0.1"
    for pod in ("one", "two"):
        assert "gitVersion" in inside(space, pod).run(version)


# Covers: EndpointSlice Mirroring.
def test_endpoints_of_people_are_mirrored_and_served(space: Space) -> None:
    ports = [{"name": "one", "port": 80}, {"name": "two", "port": 81}]
    made = space.made("services", service("own", *ports))
    started(space, answering("web", "tcp:8090", "tcp:9090", nodeName="node1"), idle("asker", nodeName="node2"))
    address = space.pod("web")["status"]["podIP"]

    def subset(name: str, port: int) -> dict[str, Any]:
        return {"addresses": [{"ip": address}], "ports": [{"name": name, "port": port}]}

    both = {"apiVersion": "v1", "kind": "Endpoints", "metadata": {"name": "own"}}
    written = space.made("endpoints", {**both, "subsets": [subset("one", 8090), subset("two", 9090)]})
    space.until(lambda: in_slices(space, "own") == {address: [8090, 9090]}, "both ports are mirrored")
    asker, cluster = inside(space, "asker"), made["spec"]["clusterIP"]
    for port in (80, 81):
        until_answer(space, lambda: answer(asker, "tcp", cluster, port), "web", f"the endpoint answers at {port}")  # noqa: B023
    managed = {one["metadata"]["labels"]["endpointslice.kubernetes.io/managed-by"] for one in slices(space, "own")}
    assert managed == {"endpointslicemirroring-controller.k8s.io"}
    space.replaced("endpoints/own", {**written, "subsets": [{**subset("one", 80), "addresses": [{"ip": "10.2.3.4"}]}]})
    space.until(lambda: in_slices(space, "own") == {"10.2.3.4": [80]}, "the change is mirrored")
    space.until(lambda: len(slices(space, "own")) == 1, "one slice is left")
    space.kubectl("delete", "endpoints", "own")
    space.until(lambda: not slices(space, "own"), "the end is mirrored")
    until_answer(space, lambda: answer(asker, "tcp", cluster, 80), REFUSED, "nobody is there")


# Covers: Service, endpoints; Service, endpoints with multiple ports.
def test_endpoints_follow_the_pods(space: Space) -> None:
    plain = space.made("services", service("plain", {"port": 80}, selector={"in": "plain"}))["spec"]["clusterIP"]
    ports = [{"name": f"p{n}", "port": n, "targetPort": f"port{n}"} for n in (80, 81)]
    several = space.made("services", service("several", *ports, selector={"in": "several"}))["spec"]["clusterIP"]
    for name in ("plain", "several"):
        until_endpoints(space, name, {})
    asker = space.cluster.nodes[1].namespace
    assert answer(asker, "tcp", plain, 80) == REFUSED

    def pod(name: str, port: int, called: str = "") -> dict[str, Any]:
        named = [{"name": called, "containerPort": port}] if called else [{"containerPort": port}]
        return answering(name, f"tcp:{port}", labels={"in": name[:-1]}, ports=named, nodeName=f"node{name[-1]}")

    started(space, pod("plain1", 80), pod("several1", 100, "port80"))
    until_endpoints(space, "plain", {"plain1": [80]})
    until_endpoints(space, "several", {"several1": [100]})
    started(space, pod("plain2", 80), pod("several2", 101, "port81"))
    until_endpoints(space, "plain", {"plain1": [80], "plain2": [80]})
    until_endpoints(space, "several", {"several1": [100], "several2": [101]})
    until_answer(space, lambda: answer(asker, "tcp", several, 80), "several1", "the first port is the first pod's")
    until_answer(space, lambda: answer(asker, "tcp", several, 81), "several2", "the second port is the second pod's")
    space.kubectl("delete", "pod", "plain1", "several1", "--now")
    until_endpoints(space, "plain", {"plain2": [80]})
    until_endpoints(space, "several", {"several2": [101]})
    until_answer(space, lambda: answer(asker, "tcp", plain, 80), "plain2", "the other one answers")
    until_answer(space, lambda: answer(asker, "tcp", several, 80), REFUSED, "nobody has the first port")
    space.kubectl("delete", "pod", "plain2", "several2", "--now")
    until_endpoints(space, "plain", {})
    until_endpoints(space, "several", {})
    for address in (plain, several):
        until_answer(space, lambda: answer(asker, "tcp", address, 80), REFUSED, "nobody is there")  # noqa: B023


# Covers: Endpoint resource lifecycle.
def test_the_life_of_an_endpoint(space: Space) -> None:
    labels = {"test-endpoint-static": "true"}
    subsets = [{"addresses": [{"ip": "10.0.0.24"}], "ports": [{"name": "http", "port": 80, "protocol": "TCP"}]}]
    metadata = {"name": "alone", "labels": labels}
    made = space.made("endpoints", {"apiVersion": "v1", "kind": "Endpoints", "metadata": metadata, "subsets": subsets})
    chosen = "endpoints?labelSelector=test-endpoint-static%3Dtrue"
    assert [one["metadata"]["name"] for one in space.read(chosen)["items"]] == ["alone"]
    made["metadata"]["labels"]["test-service"] = "updated"
    assert space.replaced("endpoints/alone", made)["metadata"]["labels"]["test-service"] == "updated"
    changed = [{"addresses": [{"ip": "10.0.0.25"}], "ports": [{"name": "http-test", "port": 8080, "protocol": "TCP"}]}]
    patch = {"metadata": {"labels": {"test-service": "patched"}}, "subsets": changed}
    after = space.patched("endpoints/alone", patch, "application/strategic-merge-patch+json")
    assert after["subsets"] == changed and after["metadata"]["labels"]["test-service"] == "patched"
    everywhere = space.cluster.get("endpoints", "-A", "-l", "test-endpoint-static=true")
    assert [one["metadata"]["name"] for one in everywhere] == ["alone"]
    assert space.request("DELETE", chosen).status == 200
    assert not space.read(chosen)["items"]
    events = watched(space, chosen, made["metadata"]["resourceVersion"], lambda found: len(found) >= 3)
    assert [event["type"] for event in events] == ["MODIFIED", "MODIFIED", "DELETED"]


# Covers: Service endpoint latency, thresholds.
def test_endpoints_of_a_new_service_are_there_at_once(space: Space) -> None:
    started(space, idle("pod", {"name": "latency"}))
    names = [f"latency-{number}" for number in range(100)]
    for name in names:
        space.made("services", service(name, {"port": 80}, selector={"name": "latency"}))

    def there() -> bool:
        found = {one["metadata"]["name"] for one in space.read("endpoints")["items"] if one.get("subsets")}
        return found >= set(names)

    space.until(there, "a hundred services have their endpoint", 20)
