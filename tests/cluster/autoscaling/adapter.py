"""A server of metrics as cluster operators run them: an aggregated API that serves custom.metrics.k8s.io/v1beta2 and
external.metrics.k8s.io/v1beta1. It runs in a pod, with its service account: which pods there are it asks of the API,
the numbers lie in a config map. Nobody but the API server is answered: its certificate must come from the authority
that kube-system/extension-apiserver-authentication names.

Only Python's own library: the image has nothing else.
"""

import json
import os
import ssl
import urllib.parse
import urllib.request
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

ACCOUNT = "/var/run/secrets/kubernetes.io/serviceaccount"
CUSTOM, EXTERNAL = "custom.metrics.k8s.io/v1beta2", "external.metrics.k8s.io/v1beta1"
NOW = "2026-11-22T12:00:00Z"


def ask(path: str) -> Any:
    """The cluster's API, as the pod's account."""
    with open(f"{ACCOUNT}/token") as file:
        headers = {"Authorization": f"Bearer {file.read()}"}
    place = f"https://{os.environ['KUBERNETES_SERVICE_HOST']}:{os.environ['KUBERNETES_SERVICE_PORT']}{path}"
    context = ssl.create_default_context(cafile=f"{ACCOUNT}/ca.crt")
    with urllib.request.urlopen(urllib.request.Request(place, headers=headers), context=context, timeout=10) as answer:
        return json.load(answer)


def numbers(namespace: str) -> dict[str, float]:
    found = ask(f"/api/v1/namespaces/{namespace}/configmaps/numbers")["data"]
    return {key: float(value) for key, value in found.items()}


def quantity(value: float) -> str:
    return f"{round(value * 1000)}m"


def of_pods(namespace: str, metric: str, selector: str) -> list[Any]:
    """What there is of it in all, shared out among the pods."""
    query = urllib.parse.urlencode({"labelSelector": selector})
    pods = [
        pod
        for pod in ask(f"/api/v1/namespaces/{namespace}/pods?{query}")["items"]
        if pod["status"].get("phase") == "Running"
    ]
    share = numbers(namespace)[metric] / max(len(pods), 1)
    return [value("Pod", namespace, pod["metadata"]["name"], metric, share) for pod in pods]


def value(kind: str, namespace: str, name: str, metric: str, amount: float) -> Any:
    described = {"kind": kind, "namespace": namespace, "name": name, "apiVersion": "/v1"}
    return {"describedObject": described, "metric": {"name": metric}, "timestamp": NOW, "value": quantity(amount)}


def listing(group: str, kind: str, items: list[Any]) -> Any:
    return {"kind": kind, "apiVersion": group, "metadata": {}, "items": items}


def answer(path: str, query: dict[str, str]) -> Any:
    """None: there is no such page."""
    words = path.strip("/").split("/")
    group = "/".join(words[1:3])
    if len(words) == 3 and group in (CUSTOM, EXTERNAL):
        return {"kind": "APIResourceList", "apiVersion": "v1", "groupVersion": group, "resources": []}
    if len(words) < 6 or words[3] != "namespaces":
        return None
    namespace, rest = words[4], words[5:]
    if group == EXTERNAL and len(rest) == 1:
        if rest[0] not in numbers(namespace):
            return None
        labels = dict(part.split("=") for part in query.get("labelSelector", "").split(",") if part)
        item = {"metricName": rest[0], "metricLabels": labels, "timestamp": NOW}
        amount = quantity(numbers(namespace)[rest[0]])
        return listing(EXTERNAL, "ExternalMetricValueList", [{**item, "value": amount}])
    if group == CUSTOM and len(rest) == 3:
        resource, name, metric = rest
        if resource == "pods" and name == "*":
            items = of_pods(namespace, metric, query.get("labelSelector", ""))
        else:
            items = [value(resource, namespace, name, metric, numbers(namespace)[metric])]
        return listing(CUSTOM, "MetricValueList", items)
    return None


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_GET(self) -> None:
        parts = urllib.parse.urlsplit(self.path)
        query = dict(urllib.parse.parse_qsl(parts.query))
        assert isinstance(self.connection, ssl.SSLSocket)
        if not self.connection.getpeercert():
            self.reply(401, {"kind": "Status", "status": "Failure", "code": 401, "reason": "Unauthorized"})
            return
        print(self.headers.get("X-Remote-User"), self.path, flush=True)
        found = answer(parts.path, query)
        missing = {
            "kind": "Status",
            "status": "Failure",
            "code": 404,
            "reason": "NotFound",
            "message": "no such metric",
        }
        self.reply(200 if found is not None else 404, found if found is not None else missing)

    def reply(self, status: int, body: Any) -> None:
        data = json.dumps(body).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)

    def log_message(self, format: str, *arguments: object) -> None:
        return


def main() -> None:
    trusted = ask("/api/v1/namespaces/kube-system/configmaps/extension-apiserver-authentication")["data"]
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain("/tls/tls.crt", "/tls/tls.key")
    context.load_verify_locations(cadata=trusted["requestheader-client-ca-file"])
    context.verify_mode = ssl.CERT_OPTIONAL
    server = ThreadingHTTPServer(("0.0.0.0", 6443), Handler)
    server.socket = context.wrap_socket(server.socket, server_side=True)
    server.serve_forever()


if __name__ == "__main__":
    main()
