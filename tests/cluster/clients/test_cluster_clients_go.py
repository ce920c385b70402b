"""What client-go does, in its order and with its bytes: protobuf bodies, aggregated discovery, informers that begin
with the initial events, DeleteOptions as protobuf, status and scale, leader election."""

import http.client
import json
import threading
from collections.abc import Iterator
from typing import Any

import pytest
from control_kit import Answer, Control

from boxship.cluster.objects import protobuf
from boxship.cluster.objects.schema.builtin import load

SCHEMAS = load(None)
PROTOBUF = "application/vnd.kubernetes.protobuf"
TYPED = {"Accept": f"{PROTOBUF},application/json", "User-Agent": "controller/v0.0.0 (linux/amd64) kubernetes/$Format"}
POD = {
    "kind": "Pod",
    "apiVersion": "v1",
    "metadata": {"name": "p", "namespace": "go", "labels": {"app": "p"}},
    "spec": {
        "containers": [
            {
                "name": "c",
                "image": "nginx",
                "ports": [{"containerPort": 80, "protocol": "TCP"}],
                "resources": {"limits": {"cpu": "500m", "memory": "64Mi"}},
                "livenessProbe": {"httpGet": {"path": "/", "port": "http"}, "periodSeconds": 5},
            }
        ],
        "terminationGracePeriodSeconds": 0,
        "schedulerName": "nobody",  # who else would change it under our hands
    },
}


@pytest.fixture(scope="module")
def go(control: Control) -> Iterator["Go"]:
    client = Go(control)
    namespace = {"kind": "Namespace", "apiVersion": "v1", "metadata": {"name": "go"}}
    assert client.send("POST", "/api/v1/namespaces", namespace).status == 201
    with client.stream("/api/v1/namespaces/go/serviceaccounts?watch=true&timeoutSeconds=10") as events:
        next(events)
    yield client


class Events:
    """An open watch."""

    def __init__(self, connection: http.client.HTTPSConnection, path: str) -> None:
        self._connection = connection
        connection.request("GET", path, headers=TYPED)
        self._answer = connection.getresponse()
        self.status = self._answer.status

    def __enter__(self) -> "Events":
        return self

    def __exit__(self, *_: object) -> None:
        self._connection.close()

    def __next__(self) -> Any:
        line = self._answer.readline()
        assert line, "the watch ended"
        return json.loads(line)

    def until_bookmark(self) -> tuple[list[str], Any]:
        """Names of the initial objects, and the bookmark that ends them."""
        names = []
        while True:
            event = next(self)
            if event["type"] == "BOOKMARK":
                return names, event["object"]
            names.append(event["object"]["metadata"]["name"])


class Go:
    """A client that writes protobuf and reads JSON."""

    def __init__(self, control: Control) -> None:
        self.control = control

    def send(self, method: str, path: str, object: Any = None) -> Answer:
        body = protobuf.write(object, SCHEMAS) if object is not None else None
        headers = {**TYPED, **({"Content-Type": PROTOBUF} if body else {})}
        return self.control.request(method, path, body, headers)

    def stream(self, path: str) -> Events:
        return Events(self.control.connection(), path)


def test_discovery_before_anything_else(go: Go) -> None:
    forms = [
        f"application/json;g=apidiscovery.k8s.io;v={version};as=APIGroupDiscoveryList" for version in ("v2", "v2beta1")
    ]
    accept = {"Accept": ",".join([*forms, "application/json"])}
    core = go.control.request("GET", "/api", headers=accept)
    assert core.headers["Content-Type"] == forms[0] and core.object["items"][0]["versions"][0]["version"] == "v1"
    groups = go.control.request("GET", "/apis", headers=accept)
    names = [item["metadata"]["name"] for item in groups.object["items"]]
    assert names[:2] == ["apiregistration.k8s.io", "apps"] and len(groups.object["items"]) >= 19
    again = go.control.request("GET", "/apis", headers={**accept, "If-None-Match": groups.headers["ETag"]})
    assert again.status == 304 and not again.body


def test_protobuf_bodies(go: Go) -> None:
    made = go.send("POST", "/api/v1/namespaces/go/pods", POD)
    assert made.status == 201 and made.headers["Content-Type"] == "application/json"
    pod = made.object
    assert pod["spec"]["containers"][0]["resources"]["limits"] == {"cpu": "500m", "memory": "64Mi"}
    assert pod["spec"]["containers"][0]["livenessProbe"]["httpGet"]["port"] == "http"
    assert pod["spec"]["terminationGracePeriodSeconds"] == 0
    pod["metadata"]["annotations"] = {"a": "b"}
    kept = {key: pod[key] for key in ("kind", "apiVersion", "metadata", "spec")}
    changed = go.send("PUT", "/api/v1/namespaces/go/pods/p", kept)
    assert changed.status == 200 and changed.object["metadata"]["annotations"] == {"a": "b"}
    stale = go.send("PUT", "/api/v1/namespaces/go/pods/p", {**kept, "metadata": {**kept["metadata"], "labels": {}}})
    assert (stale.status, stale.object["reason"]) == (409, "Conflict")
    kept["metadata"]["resourceVersion"] = changed.object["metadata"]["resourceVersion"]
    status = {**kept, "status": {"phase": "Running", "podIP": "10.0.0.1", "startTime": "2026-01-02T03:04:05Z"}}
    told = go.send("PUT", "/api/v1/namespaces/go/pods/p/status", status)
    assert told.status == 200, told.body
    assert told.object["status"]["startTime"] == "2026-01-02T03:04:05Z"
    eviction = {"kind": "Eviction", "apiVersion": "policy/v1", "metadata": {"name": "p", "namespace": "go"}}
    assert go.send("POST", "/api/v1/namespaces/go/pods/p/eviction", eviction).status == 201
    assert go.send("GET", "/api/v1/namespaces/go/pods/p").status == 404


def test_delete_options_as_protobuf(go: Go) -> None:
    uid = go.send("POST", "/api/v1/namespaces/go/pods", POD).object["metadata"]["uid"]
    options = {"kind": "DeleteOptions", "apiVersion": "v1", "preconditions": {"uid": "other"}, "gracePeriodSeconds": 0}
    refused = go.send("DELETE", "/api/v1/namespaces/go/pods/p", options)
    assert refused.status == 409 and "the UID in the precondition (other) does not match" in refused.object["message"]
    options |= {"preconditions": {"uid": uid}, "propagationPolicy": "Background"}
    assert go.send("DELETE", "/api/v1/namespaces/go/pods/p", options).status == 200


def config_map(name: str, value: str) -> Any:
    return {"kind": "ConfigMap", "apiVersion": "v1", "metadata": {"name": name}, "data": {"x": value}}


def test_an_informer(go: Go) -> None:
    path = "/api/v1/namespaces/go/configmaps"
    for name in ("a", "b"):
        go.send(
            "POST", path, {"kind": "ConfigMap", "apiVersion": "v1", "metadata": {"name": name}, "data": {"x": name}}
        )
    begin = "allowWatchBookmarks=true&resourceVersionMatch=NotOlderThan&sendInitialEvents=true&watch=true"
    with go.stream(f"{path}?{begin}&timeoutSeconds=300&timeout=5m0s") as events:
        names, bookmark = events.until_bookmark()
        assert sorted(names) == ["a", "b", "kube-root-ca.crt"]
        assert bookmark["metadata"]["annotations"] == {"k8s.io/initial-events-end": "true"}
        go.send(
            "PUT", f"{path}/a", {"kind": "ConfigMap", "apiVersion": "v1", "metadata": {"name": "a"}, "data": {"x": "2"}}
        )
        event = next(events)
        assert (event["type"], event["object"]["data"]) == ("MODIFIED", {"x": "2"})
        version = event["object"]["metadata"]["resourceVersion"]
    go.send("DELETE", f"{path}/b")
    with go.stream(f"{path}?allowWatchBookmarks=true&resourceVersion={version}&watch=true") as events:
        event = next(events)
        assert (event["type"], event["object"]["metadata"]["name"]) == ("DELETED", "b")
    metadata = {**TYPED, "Accept": "application/json;as=PartialObjectMetadataList;g=meta.k8s.io;v=v1"}
    listed = go.control.request("GET", f"{path}?limit=500&resourceVersion=0", headers=metadata)
    assert listed.object["kind"] == "PartialObjectMetadataList" and "data" not in listed.object["items"][0]


def test_leader_election(go: Go) -> None:
    path = "/apis/coordination.k8s.io/v1/namespaces/go/leases"
    lease = {
        "kind": "Lease",
        "apiVersion": "coordination.k8s.io/v1",
        "metadata": {"name": "leader", "namespace": "go"},
        "spec": {
            "holderIdentity": "one",
            "leaseDurationSeconds": 15,
            "acquireTime": "2026-01-02T03:04:05.000006Z",
            "renewTime": "2026-01-02T03:04:05.000006Z",
            "leaseTransitions": 0,
        },
    }
    made = go.send("POST", path, lease)
    assert made.status == 201 and made.object["spec"]["renewTime"] == "2026-01-02T03:04:05.000006Z"
    assert go.send("POST", path, lease).object["reason"] == "AlreadyExists"
    won: list[int] = []

    def take(name: str) -> None:
        mine = json.loads(json.dumps(made.object))
        mine["spec"] |= {"holderIdentity": name, "leaseTransitions": 1}
        won.append(go.send("PUT", f"{path}/leader", mine).status)

    threads = [threading.Thread(target=take, args=(f"t{number}",)) for number in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(20)
    assert sorted(won) == [200, 409, 409, 409, 409, 409]


def test_events_scales_and_reviews(go: Go) -> None:
    event = {
        "kind": "Event",
        "apiVersion": "v1",
        "metadata": {"name": "e.1", "namespace": "go"},
        "involvedObject": {"kind": "Pod", "namespace": "go", "name": "p"},
        "reason": "Pulled",
        "message": "x",
        "type": "Normal",
        "firstTimestamp": "2026-01-02T03:04:05Z",
        "lastTimestamp": "2026-01-02T03:04:05Z",
        "count": 1,
    }
    assert go.send("POST", "/api/v1/namespaces/go/events", event).status == 201
    review = {
        "kind": "SelfSubjectAccessReview",
        "apiVersion": "authorization.k8s.io/v1",
        "metadata": {},
        "spec": {"resourceAttributes": {"verb": "get", "resource": "pods", "namespace": "go"}},
    }
    answer = go.send("POST", "/apis/authorization.k8s.io/v1/selfsubjectaccessreviews", review)
    assert answer.status == 201 and answer.object["status"]["allowed"]
    request = {
        "kind": "TokenRequest",
        "apiVersion": "authentication.k8s.io/v1",
        "metadata": {},
        "spec": {"audiences": ["api"], "expirationSeconds": 600},
    }
    token = go.send("POST", "/api/v1/namespaces/go/serviceaccounts/default/token", request)
    assert token.status == 201 and token.object["status"]["token"].count(".") == 2
    for name, code in (("application/json;as=Tree", 406), (PROTOBUF, 406), ("application/yaml", 200)):
        assert go.control.request("GET", "/api/v1/namespaces/go", headers={"Accept": name}).status == code
