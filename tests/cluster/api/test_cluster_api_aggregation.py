"""A group that another server serves: proxied for its users, shown in discovery, watched for its availability."""

import base64
import datetime
import json
import ssl
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, ClassVar

import pytest
from control_kit import Control, running_control

from boxship.cluster.api.aggregation.discovery import converted
from boxship.cluster.api.aggregation.forwarding import fields_for, passed
from boxship.cluster.api.aggregation.services import Elsewhere
from boxship.cluster.api.request import User
from boxship.pki.authority import create, open_authority
from boxship.pki.names import Subject
from daemons import until

RESOURCES = {
    "kind": "APIResourceList",
    "groupVersion": "things.example/v1",
    "resources": [
        {"name": "things", "singularName": "thing", "namespaced": True, "kind": "Thing", "verbs": ["get", "list"]},
        {"name": "things/status", "singularName": "", "namespaced": True, "kind": "Thing", "verbs": ["get"]},
    ],
}


class Handler(BaseHTTPRequestHandler):
    """The other server: tells what it heard."""

    protocol_version = "HTTP/1.1"
    heard: ClassVar[list[dict[str, list[str]]]] = []

    def answer(self) -> None:
        length = int(self.headers.get("Content-Length") or 0)
        body = self.rfile.read(length)
        self.heard.append({name.lower(): self.headers.get_all(name) or [] for name in self.headers})
        path = self.path.partition("?")[0]
        if "watch=true" in self.path:
            self.send_response(200)
            self.send_header("Transfer-Encoding", "chunked")
            self.end_headers()
            for line in (b'{"type":"ADDED"}\n', b'{"type":"DELETED"}\n'):
                self.wfile.write(b"%x\r\n%b\r\n" % (len(line), line))
            self.wfile.write(b"0\r\n\r\n")
            return
        documents: dict[str, Any] = {
            "/apis/things.example/v1": RESOURCES,
            "/apis/things.example/v1/namespaces/default/things": {
                "kind": "ThingList",
                "apiVersion": "things.example/v1",
                "metadata": {},
                "items": [
                    {
                        "kind": "Thing",
                        "apiVersion": "things.example/v1",
                        "metadata": {"name": "a", "namespace": "default"},
                    }
                ],
            },
        }
        found = documents.get(path, {"kind": "Status", "code": 404, "echo": body.decode()})
        data = json.dumps(found).encode()
        self.send_response(200 if path in documents else 404)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)

    do_GET = do_POST = do_DELETE = answer

    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture(scope="module")
def control(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Control]:
    with running_control(tmp_path_factory.mktemp("aggregation")) as control:
        yield control


@pytest.fixture(scope="module")
def other(control: Control, tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[int, bytes]]:
    """The other server's port and authority."""
    folder = tmp_path_factory.mktemp("pki")
    now = datetime.datetime.now(datetime.UTC)
    create(folder, "things", now)
    files = open_authority(folder).issue_server(Subject("things", ("things.default.svc",)), now)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(files / "cert.pem", files / "key.pem")
    context.load_verify_locations(control.data / "pki" / "front-proxy-ca.crt")
    context.verify_mode = ssl.CERT_REQUIRED
    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    server.socket = context.wrap_socket(server.socket, server_side=True)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    yield server.server_address[1], Path(files / "ca.pem").read_bytes()
    server.shutdown()
    server.server_close()


def condition_of(control: Control) -> Any:
    found = control.request("GET", "/apis/apiregistration.k8s.io/v1/apiservices/v1.things.example").object
    conditions = found.get("status", {}).get("conditions") or [{}]
    return {key: conditions[0].get(key) for key in ("status", "reason")}


def test_a_group_of_another_server(control: Control, other: tuple[int, bytes]) -> None:
    port, authority = other
    service = {
        "apiVersion": "apiregistration.k8s.io/v1",
        "kind": "APIService",
        "metadata": {"name": "v1.things.example"},
        "spec": {
            "group": "things.example",
            "version": "v1",
            "groupPriorityMinimum": 100,
            "versionPriority": 10,
            "caBundle": base64.b64encode(authority).decode(),
            "service": {"namespace": "default", "name": "things", "port": port},
        },
    }
    assert control.request("POST", "/apis/apiregistration.k8s.io/v1/apiservices", service).status == 201
    missing = {"status": "False", "reason": "ServiceNotFound"}
    until(lambda: condition_of(control) == missing, 10, "the service is missing")
    answer = control.request("GET", "/apis/things.example/v1/namespaces/default/things")
    assert (answer.status, answer.object["reason"]) == (503, "ServiceUnavailable")
    target = {
        "apiVersion": "v1",
        "kind": "Service",
        "metadata": {"name": "things"},
        "spec": {"type": "ExternalName", "externalName": "localhost", "ports": [{"port": port}]},
    }
    assert control.request("POST", "/api/v1/namespaces/default/services", target).status == 201
    passed = {"status": "True", "reason": "Passed"}
    until(lambda: condition_of(control) == passed, 10, lambda: f"it answers: {condition_of(control)}")
    groups = [group["name"] for group in control.request("GET", "/apis").object["groups"]]
    assert groups[-1] == "things.example"
    until(lambda: "things" in control.kubectl("api-resources", "--cached=false").stdout, 10, "the resource is shown")
    assert control.kubectl("get", "things", "-o", "name").stdout == "thing.things.example/a\n"
    assert "v1.things.example" in control.kubectl("get", "apiservices").stdout
    Handler.heard.clear()
    headers = {"Impersonate-User": "ann", "Impersonate-Group": "team", "X-Remote-User": "liar", "X-Own": "1"}
    refused = control.request("GET", "/apis/things.example/v1/namespaces/default/things", headers=headers)
    assert refused.status == 403 and not Handler.heard
    headers["Impersonate-Group"] = "system:masters"
    answer = control.request("POST", "/apis/things.example/v1/x?dryRun=All", {"a": 1}, headers=headers)
    assert (answer.status, answer.object["echo"]) == (404, '{"a": 1}')
    heard = Handler.heard[-1]
    assert heard["x-remote-user"] == ["ann"] and heard["x-own"] == ["1"] and "impersonate-user" not in heard
    assert heard["x-remote-group"] == ["system:masters", "system:authenticated"]
    assert heard["host"] == ["things.default.svc"] and heard["x-forwarded-for"] == ["127.0.0.1"]
    lines = control.request("GET", "/apis/things.example/v1/things?watch=true").body.splitlines()
    assert [json.loads(line)["type"] for line in lines] == ["ADDED", "DELETED"]
    control.request("DELETE", "/api/v1/namespaces/default/services/things")
    control.request("DELETE", "/apis/apiregistration.k8s.io/v1/apiservices/v1.things.example")
    gone = "/apis/things.example/v1/namespaces/default/things"
    until(lambda: control.request("GET", gone).status == 404, 10, "the group is gone")


def test_our_own_groups_have_services_too(control: Control) -> None:
    def names() -> list[str]:
        rows = control.kubectl("get", "apiservices", "--no-headers").stdout.splitlines()
        return [row.split()[0] for row in rows if row.split()[1:3] == ["Local", "True"]]

    until(lambda: {"v1.", "v1.apps", "v2.autoscaling"} <= set(names()), 10, "they are made")


def test_what_is_told_of_a_user_and_what_goes_on() -> None:
    user = User("ann", ("a", "b"), "7", {"Example.com/x": ("1", "2")})
    assert fields_for(user, "10.0.0.9") == {
        "X-Remote-User": "ann",
        "X-Remote-Group": ["a", "b"],
        "X-Remote-Uid": "7",
        "X-Remote-Extra-example.com%2Fx": ["1", "2"],
        "X-Forwarded-For": "10.0.0.9",
    }
    sent = {"accept": ["x"], "authorization": ["secret"], "x-remote-group": ["root"], "connection": ["close"]}
    assert passed(sent) == {"accept": ["x"]}


def test_old_discovery_becomes_new() -> None:
    place = Elsewhere("n", "things.example", "v1", "d", "s", 443, "", False, 1, 1, True)
    kind = {"group": "things.example", "version": "v1", "kind": "Thing"}
    assert converted(RESOURCES, place) == [
        {
            "resource": "things",
            "responseKind": kind,
            "scope": "Namespaced",
            "singularResource": "thing",
            "verbs": ["get", "list"],
            "subresources": [{"subresource": "status", "responseKind": kind, "verbs": ["get"]}],
        }
    ]
    assert converted({}, place) == []
