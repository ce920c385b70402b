"""The server that the conformance suite runs in a pod, behind a Service: admission webhooks, a conversion webhook and
an aggregated API of its own. The path says what it does; it keeps nothing but the objects of the API.

Only Python's own library: the pod has nothing else.
"""

import base64
import json
import ssl
import time
import uuid
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

GROUP, VERSION = "wares.example.com", "v1alpha1"
ROOT = f"/apis/{GROUP}/{VERSION}"
SLOW_SECONDS = 2.5
Object = dict[str, Any]

kept: dict[tuple[str, str], Object] = {}
versions = iter(range(1, 1 << 30))


def denied(told: Object) -> Object:
    return {"allowed": False, "status": {"message": f"{told['operation']} is not wanted", "code": 403}}


def judged(told: Object) -> Object:
    """Objects say themselves whether they are wanted: by data.verdict or a label. A deletion is of the old object."""
    shown = told.get("object") or told.get("oldObject") or {}
    verdict = (shown.get("data") or {}).get("verdict") or (shown["metadata"].get("labels") or {}).get("verdict")
    if verdict == "hang":
        time.sleep(60)
    if verdict == "no":
        return {"allowed": False, "status": {"message": f"the {told['kind']['kind']} contains unwanted data"}}
    return {"allowed": True}


def patched(*operations: Object) -> Object:
    return {
        "allowed": True,
        "patchType": "JSONPatch",
        "patch": base64.b64encode(json.dumps(operations).encode()).decode(),
    }


def stage(wanted: str, added: str) -> Callable[[Object], Object]:
    """Adds a key to the data of an object that has another one."""

    def answer(told: Object) -> Object:
        if wanted not in (told["object"].get("data") or {}):
            return {"allowed": True}
        return patched({"op": "add", "path": f"/data/{added}", "value": "yes"})

    return answer


def sidecar(told: Object) -> Object:
    """One more init container, with no more than has to be there."""
    container = {"name": "added-by-webhook", "image": "busybox", "command": ["true"], "imagePullPolicy": "IfNotPresent"}
    return patched({"op": "add", "path": "/spec/initContainers", "value": [container]})


def labelled(told: Object) -> Object:
    return patched({"op": "add", "path": "/metadata/labels", "value": {"changed-by": "webhook"}})


def slow(told: Object) -> Object:
    time.sleep(SLOW_SECONDS)
    return {"allowed": True}


REVIEWS: dict[str, Callable[[Object], Object]] = {
    "/deny": denied,
    "/judge": judged,
    "/first": stage("start", "first"),
    "/second": stage("first", "second"),
    "/sidecar": sidecar,
    "/label": labelled,
    "/slow": slow,
}


def converted(object: Object, version: str) -> Object:
    """v1 has `host` and `port`, v2 has both in `hostPort`."""
    made = {key: value for key, value in object.items() if key not in ("host", "port", "hostPort")}
    made["apiVersion"] = version
    if version.endswith("/v2"):
        made["hostPort"] = f"{object.get('host', '')}:{object.get('port', '')}"
    else:
        made["host"], _, made["port"] = str(object.get("hostPort", "")).partition(":")
    return made


def conversion(told: Object) -> Object:
    version = told["desiredAPIVersion"]
    return {"convertedObjects": [converted(each, version) for each in told["objects"]], "result": {"status": "Success"}}


def failure(code: int, reason: str, message: str) -> tuple[int, Object]:
    status = {"kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Failure"}
    return code, {**status, "message": message, "reason": reason, "code": code}


def stored(method: str, namespace: str, name: str, body: Object) -> tuple[int, Object]:
    """The aggregated API: flunders, kept in memory."""
    if method == "POST":
        name = body["metadata"]["name"]
        if (namespace, name) in kept:
            return failure(409, "AlreadyExists", f'flunders.{GROUP} "{name}" already exists')
        own = {"namespace": namespace, "uid": str(uuid.uuid4()), "resourceVersion": str(next(versions))}
        stamp = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())
        body["metadata"] = {**body["metadata"], **own, "creationTimestamp": stamp}
        kept[namespace, name] = {"kind": "Flunder", "apiVersion": f"{GROUP}/{VERSION}", **body}
        return 201, kept[namespace, name]
    if not name:
        found = [each for (place, _), each in sorted(kept.items()) if place == namespace]
        if method == "DELETE":
            for each in found:
                kept.pop((namespace, each["metadata"]["name"]), None)
        metadata = {"resourceVersion": str(next(versions))}
        return 200, {"kind": "FlunderList", "apiVersion": f"{GROUP}/{VERSION}", "metadata": metadata, "items": found}
    if (namespace, name) not in kept:
        return failure(404, "NotFound", f'flunders.{GROUP} "{name}" not found')
    if method == "DELETE":
        kept.pop((namespace, name))
        return 200, {"kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Success"}
    return 200, kept[namespace, name]


def discovery() -> Object:
    verbs = ["create", "delete", "deletecollection", "get", "list"]
    flunders = {"name": "flunders", "singularName": "flunder", "namespaced": True, "kind": "Flunder", "verbs": verbs}
    return {
        "kind": "APIResourceList",
        "apiVersion": "v1",
        "groupVersion": f"{GROUP}/{VERSION}",
        "resources": [flunders],
    }


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def answer(self) -> None:
        length = int(self.headers.get("Content-Length") or 0)
        body = json.loads(self.rfile.read(length) or b"{}")
        path = self.path.partition("?")[0].rstrip("/")
        if path in REVIEWS or path == "/convert":
            told = body["request"]
            made = conversion(told) if path == "/convert" else REVIEWS[path](told)
            self.send(
                200, {**{key: body[key] for key in ("kind", "apiVersion")}, "response": {"uid": told["uid"], **made}}
            )
        elif path == ROOT:
            self.send(200, discovery())
        elif path.startswith(f"{ROOT}/namespaces/"):
            words = [*path.removeprefix(f"{ROOT}/namespaces/").split("/"), "", ""]
            self.send(*stored(self.command, words[0], words[2], body))
        else:
            self.send(*failure(404, "NotFound", f"{path} is not here"))

    do_GET = do_POST = do_DELETE = answer

    def send(self, code: int, body: Object) -> None:
        data = json.dumps(body).encode()
        self.send_response(code)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)


def main() -> None:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain("/tls/tls.crt", "/tls/tls.key")
    server = ThreadingHTTPServer(("", 8443), Handler)
    server.socket = context.wrap_socket(server.socket, server_side=True, do_handshake_on_connect=False)
    server.serve_forever()


if __name__ == "__main__":
    main()
