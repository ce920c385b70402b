"""The network's objects as the API keeps them: each verb of each resource, status where there is one."""

import contextlib
import socket
from typing import Any, NamedTuple

import pytest
from conformance_kit import Space
from network_kit import service, watched

pytestmark = pytest.mark.slow

MERGE = {"Content-Type": "application/merge-patch+json"}
BACKEND = {"service": {"name": "web", "port": {"number": 80}}}
RULES = [{"host": "foo.example.com", "http": {"paths": [{"path": "/", "pathType": "Prefix", "backend": BACKEND}]}}]


class Resource(NamedTuple):
    group: str
    plural: str
    kind: str
    content: dict[str, Any]
    namespaced: bool = True
    status: dict[str, Any] | None = None


RESOURCES = [
    Resource(
        "networking.k8s.io",
        "ingresses",
        "Ingress",
        {"spec": {"ingressClassName": "nobody", "rules": RULES}},
        status={"loadBalancer": {"ingress": [{"ip": "169.1.1.1"}]}},
    ),
    Resource("networking.k8s.io", "ingressclasses", "IngressClass", {"spec": {"controller": "example.com/c"}}, False),
    Resource("networking.k8s.io", "networkpolicies", "NetworkPolicy", {"spec": {"podSelector": {}}}),
    Resource(
        "discovery.k8s.io",
        "endpointslices",
        "EndpointSlice",
        {"addressType": "IPv4", "endpoints": [{"addresses": ["1.2.3.4", "5.6.7.8"]}, {"addresses": ["2.2.3.4"]}]},
    ),
]


# Covers: Ingress API; IngressClass API; EndpointSlice API.
@pytest.mark.parametrize("resource", RESOURCES, ids=lambda one: one.plural)
def test_every_verb(space: Space, resource: Resource) -> None:
    group = f"/apis/{resource.group}"
    ask = space.cluster.control.request
    assert resource.group in [one["name"] for one in ask("GET", "/apis").object["groups"]]
    assert f"{resource.group}/v1" in [one["groupVersion"] for one in ask("GET", group).object["versions"]]
    described = {one["name"]: one for one in ask("GET", f"{group}/v1").object["resources"]}
    verbs = {"create", "get", "list", "watch", "update", "patch", "delete", "deletecollection"}
    assert verbs == set(described[resource.plural]["verbs"])
    assert described[resource.plural]["namespaced"] == resource.namespaced
    assert (f"{resource.plural}/status" in described) == (resource.status is not None)

    within = f"/namespaces/{space.name}" if resource.namespaced else ""
    path = f"{group}/v1{within}/{resource.plural}"
    chosen = f"{path}?labelSelector=special%3D{space.name}"

    def made() -> dict[str, Any]:
        metadata = {"generateName": "example-", "labels": {"special": space.name}}
        content = {"apiVersion": f"{resource.group}/v1", "kind": resource.kind, "metadata": metadata}
        content |= resource.content
        answer = ask("POST", path, content)
        assert answer.status == 201, answer
        found: dict[str, Any] = answer.object
        return found

    first, *_others = [made() for _ in range(3)]
    one = f"{path}/{first['metadata']['name']}"
    assert ask("GET", one).object["metadata"]["uid"] == first["metadata"]["uid"]
    listed = ask("GET", chosen).object
    assert len(listed["items"]) == 3
    if resource.namespaced:
        assert (
            len(ask("GET", f"{group}/v1/{resource.plural}?labelSelector=special%3D{space.name}").object["items"]) == 3
        )
    patched = ask("PATCH", one, {"metadata": {"annotations": {"patched": "true"}}}, MERGE)
    assert patched.object["metadata"]["annotations"]["patched"] == "true", patched
    current = ask("GET", one).object
    current["metadata"]["annotations"]["updated"] = "true"
    updated = ask("PUT", one, current)
    assert updated.status == 200, updated
    assert updated.object["metadata"]["annotations"]["updated"] == "true"
    stale = ask("PUT", one, {**first, "metadata": {**first["metadata"], "labels": {"special": "stale"}}})
    assert stale.status == 409, stale
    if resource.status is not None:
        _status(space, one, resource.status)
    events = watched_at(space, chosen, listed["metadata"]["resourceVersion"], "updated")
    assert {event["type"] for event in events} == {"MODIFIED"}
    assert ask("DELETE", one).status == 200
    space.until(lambda: ask("GET", one).status == 404, "it is gone")
    assert ask("DELETE", chosen).status == 200
    space.until(lambda: not ask("GET", chosen).object["items"], "all are gone")
    ended = watched_at(space, chosen, listed["metadata"]["resourceVersion"], "")
    assert sum(event["type"] == "DELETED" for event in ended) == 3


def watched_at(space: Space, path: str, since: str, annotated: str) -> list[dict[str, Any]]:
    """A watch of a cluster's path, as `watched` has it for a namespace's."""

    class Whole(Space):
        def request(self, method: str, path: str, *rest: Any, **more: Any) -> Any:
            return self.cluster.control.request(method, path, *rest, **more)

    def enough(events: list[dict[str, Any]]) -> bool:
        if annotated:
            return any(annotated in dict(event["object"]["metadata"].get("annotations") or {}) for event in events)
        return len([1 for event in events if event["type"] == "DELETED"]) == 3

    return watched(Whole(space.cluster, space.name), path, since, enough)


def _status(space: Space, path: str, status: dict[str, Any]) -> None:
    """Patched and updated, and nothing else changes with it."""
    ask = space.cluster.control.request
    change = {"metadata": {"annotations": {"patchedstatus": "true"}}, "status": status, "spec": {"cidrs": ["::/64"]}}
    patched = ask("PATCH", f"{path}/status", change, MERGE)
    assert patched.status == 200, patched
    assert patched.object["metadata"]["annotations"]["patchedstatus"] == "true"
    current = ask("GET", f"{path}/status").object
    for kind, wanted in status.items():
        for one in wanted if isinstance(wanted, list) else ():
            assert one in current["status"][kind]
        assert isinstance(wanted, list) or current["status"][kind] == wanted
    current["spec"], spec = {}, current["spec"]
    updated = ask("PUT", f"{path}/status", current)
    assert updated.status == 200, updated
    assert updated.object["spec"] == spec, "a status's update does not touch the rest"


# Covers: Service, complete ServiceStatus lifecycle.
def test_the_status_of_a_service(space: Space) -> None:
    made = space.made("services", service("web", {"name": "http", "port": 80}, type="LoadBalancer"))
    given = {"loadBalancer": {"ingress": [{"ip": "203.0.113.1"}]}}
    change = {"metadata": {"annotations": {"patchedstatus": "true"}}, "status": given, "spec": {"ports": [{"port": 1}]}}
    patched = space.patched("services/web/status", change)
    assert patched["status"]["loadBalancer"]["ingress"][0]["ip"] == "203.0.113.1"
    assert patched["metadata"]["annotations"]["patchedstatus"] == "true"
    assert patched["spec"]["ports"][0]["port"] == 80

    def updated() -> bool:
        current = space.read("services/web/status")
        condition = {"type": "StatusUpdate", "status": "True", "reason": "E2E", "message": "Set by the test"}
        current["status"]["conditions"] = [{**condition, "lastTransitionTime": "2026-01-01T00:00:00Z"}]
        answer = space.request("PUT", "services/web/status", current)
        assert answer.status in (200, 409), answer
        return answer.status == 200

    space.until(updated, "the status is updated")
    assert space.read("services/web")["status"]["conditions"][0]["reason"] == "E2E"
    space.patched("services/web", {"metadata": {"labels": {"test-service": "patched"}}})
    chosen = "services?labelSelector=test-service%3Dpatched"
    assert [one["metadata"]["name"] for one in space.read(chosen)["items"]] == ["web"]
    space.kubectl("delete", "service", "web")
    since = made["metadata"]["resourceVersion"]
    events = watched(space, "services", since, lambda found: any(one["type"] == "DELETED" for one in found))
    assert [event["object"]["metadata"]["name"] for event in events if event["type"] == "DELETED"] == ["web"]


# Covers: Service, deletes a collection of services.
def test_a_collection_of_services_is_deleted(space: Space) -> None:
    for number in range(3):
        one = service(f"web-{number}", {"name": "http", "port": 80})
        one["metadata"]["labels"] = {"group": "two" if number == 2 else "one"}
        space.made("services", one)
    assert len(space.read("services")["items"]) == 3
    assert space.request("DELETE", "services?labelSelector=group%3Done").status == 200
    space.until(lambda: len(space.read("services")["items"]) == 1, "one is left")
    assert space.read("services/web-2")["metadata"]["labels"] == {"group": "two"}


def test_addresses_of_services_are_objects(space: Space) -> None:
    """IPAddress and ServiceCIDR: what is given out is there, and a range more makes more."""
    ask = space.cluster.control.request
    root = "/apis/networking.k8s.io/v1"
    address = space.made("services", service("web", {"port": 80}))["spec"]["clusterIP"]
    found = ask("GET", f"{root}/ipaddresses/{address}").object
    parent = {"resource": "services", "namespace": space.name, "name": "web"}
    assert found["spec"]["parentRef"] == parent
    assert found["metadata"]["labels"]["ipaddress.kubernetes.io/managed-by"] == "ipallocator.k8s.io"
    space.kubectl("delete", "service", "web")
    space.until(lambda: ask("GET", f"{root}/ipaddresses/{address}").status == 404, "it is given back")
    default = ask("GET", f"{root}/servicecidrs/kubernetes").object
    assert default["spec"]["cidrs"][0].startswith("10.96.0.0/")
    ready = {one["type"]: one["status"] for one in default["status"]["conditions"]}
    assert ready == {"Ready": "True"}
    cidr = {"apiVersion": "networking.k8s.io/v1", "kind": "ServiceCIDR", "metadata": {"name": space.name}}
    made = ask("POST", f"{root}/servicecidrs", {**cidr, "spec": {"cidrs": ["10.250.7.0/28"]}})
    assert made.status == 201, made
    try:
        space.until(lambda: _is_ready(space, f"{root}/servicecidrs/{space.name}"), "the new range is ready")
        condition = {"type": "Own", "status": "True", "reason": "R", "message": "m"}
        times = {"lastTransitionTime": "2026-01-01T00:00:00Z"}
        _status(space, f"{root}/servicecidrs/{space.name}", {"conditions": [{**condition, **times}]})
        space.until(lambda: _is_ready(space, f"{root}/servicecidrs/{space.name}"), "it is ready again")
        own = space.made("services", service("own", {"port": 80}, clusterIP="10.250.7.5"))
        assert own["spec"]["clusterIP"] == "10.250.7.5"
        ask("DELETE", f"{root}/servicecidrs/{space.name}")
        space.until(lambda: not _is_ready(space, f"{root}/servicecidrs/{space.name}"), "it is leaving")
        assert ask("GET", f"{root}/servicecidrs/{space.name}").status == 200, "while an address is in use it stays"
        assert space.request("POST", "services", service("more", {"port": 80}, clusterIP="10.250.7.6")).status == 422
        space.kubectl("delete", "service", "own")
        space.until(lambda: ask("GET", f"{root}/servicecidrs/{space.name}").status == 404, "it goes with the last one")
    finally:
        ask("DELETE", f"{root}/servicecidrs/{space.name}")


def _is_ready(space: Space, path: str) -> bool:
    found = space.cluster.control.request("GET", path).object
    conditions = (found.get("status") or {}).get("conditions") or ()
    return any(one["type"] == "Ready" and one["status"] == "True" for one in conditions)


def test_the_api_is_found_though_its_service_was_deleted(space: Space) -> None:
    """`kubectl delete all --all` in the default namespace takes it, too."""
    default = Space(space.cluster, "default")
    address = default.read("services/kubernetes")["spec"]["clusterIP"]
    taken = ("services/kubernetes", "endpoints/kubernetes", "discovery.k8s.io/v1/endpointslices/kubernetes")
    old = {path: default.read(path)["metadata"]["uid"] for path in taken}
    for path in taken:
        assert default.request("DELETE", path).status == 200

    def is_back(path: str) -> bool:
        found = default.request("GET", path)
        return found.status == 200 and found.object["metadata"]["uid"] != old[path]

    space.until(lambda: all(is_back(path) for path in taken), "all of it is back")
    assert default.read("services/kubernetes")["spec"]["clusterIP"] == address
    for node in space.cluster.nodes:
        space.until(lambda: node.namespace.run(lambda: _connects(address)), f"{node.name} reaches the API")  # noqa: B023


def _connects(address: str) -> bool:
    with contextlib.suppress(OSError), socket.create_connection((address, 443), 2):
        return True
    return False


def test_an_ingress_without_a_class_has_the_newest_default_one(space: Space) -> None:
    ask, classes = space.cluster.control.request, "/apis/networking.k8s.io/v1/ingressclasses"

    def chosen(name: str) -> str:
        spec = {"defaultBackend": BACKEND}
        made = {"apiVersion": "networking.k8s.io/v1", "kind": "Ingress", "metadata": {"name": name}, "spec": spec}
        return str(space.made("networking.k8s.io/v1/ingresses", made)["spec"].get("ingressClassName"))

    assert chosen("first") == "boxship"
    marked = {"ingressclass.kubernetes.io/is-default-class": "true"}
    metadata = {"name": space.name, "annotations": marked}
    own = {"apiVersion": "networking.k8s.io/v1", "kind": "IngressClass", "metadata": metadata}
    assert ask("POST", classes, {**own, "spec": {"controller": "example.com/own"}}).status == 201
    try:
        assert chosen("second") == space.name
        old = f"{classes}/boxship"
        assert (
            ask("PATCH", old, {"metadata": {"annotations": {**marked, next(iter(marked)): "false"}}}, MERGE).status
            == 200
        )
        assert ask("PATCH", f"{classes}/{space.name}", {"metadata": {"annotations": None}}, MERGE).status == 200
        assert chosen("third") == "None"
        assert ask("PATCH", old, {"metadata": {"annotations": marked}}, MERGE).status == 200
    finally:
        ask("DELETE", f"{classes}/{space.name}")
