"""The API's own proxies of pods, services and nodes."""

from typing import Any

import pytest
from conformance_kit import Space
from control_kit import Answer
from network_kit import answering, service, started

pytestmark = pytest.mark.slow

TLS = """
import http.server, ssl, sys, threading
class Says(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        told = sys.argv[self.server.server_port - 459].encode()
        self.send_response(200)
        self.send_header("Content-Type", "text/html")
        self.send_header("Content-Length", str(len(told)))
        self.end_headers()
        self.wfile.write(told)
context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
context.load_cert_chain("/keys/tls.crt", "/keys/tls.key")
for number in range(len(sys.argv) - 1):
    server = http.server.ThreadingHTTPServer(("", 460 + number), Says)
    server.socket = context.wrap_socket(server.socket, server_side=True)
    threading.Thread(target=server.serve_forever).start()
"""
METHODS = ("DELETE", "GET", "HEAD", "OPTIONS", "PATCH", "POST", "PUT")
PORTER = """
mkdir -p /a/cgi-bin /b /c; cd /a
printf '<a href="/rewriteme">test</a>' >/a/index.html; printf foo >/b/index.html; printf bar >/c/index.html
httpd -p 80 -h /a; httpd -p 1080 -h /a; httpd -p 160 -h /b; exec httpd -f -p 162 -h /c
"""


def asked(space: Space, method: str, path: str) -> Answer:
    return space.request(method, path)


# Covers: Proxy, validate Proxy responses; Proxy, validate ProxyWithPath responses.
@pytest.mark.parametrize("node", ["node1", "node2"])
def test_every_method_passes_to_pods_and_services(space: Space, node: str) -> None:
    space.made("services", service("web", {"port": 80, "targetPort": 80}, selector={"app": "web"}))
    ports = [{"containerPort": 80}]
    started(space, answering("web", "tcp:80", labels={"app": "web"}, ports=ports, nodeName=node))
    space.until(lambda: asked(space, "GET", "services/web/proxy/").status == 200, "the service has its endpoint")
    for kind in ("pods", "services"):
        for method in METHODS:
            for path in ("told", f"told/some/path/with/{method}", f"told?method={method}"):
                found = asked(space, method, f"{kind}/web/proxy/{path}")
                wanted = "" if method == "HEAD" else f"{method} /{path}"
                assert (found.status, found.body.decode()) == (200, wanted), (kind, method, path)
        for method in ("GET", "HEAD"):
            moved = asked(space, method, f"{kind}/web/proxy?method={method}")
            assert (moved.status, moved.headers["Location"].partition("?")[0]) == (
                301,
                f"/api/v1/namespaces/{space.name}/{kind}/web/proxy/",
            )
        for method in ("DELETE", "OPTIONS", "PATCH", "POST", "PUT"):
            found = asked(space, method, f"{kind}/web/proxy?method={method}")
            assert (found.status, found.body) == (200, b"web"), (kind, method)


# Covers: Proxy, logs service endpoint.
def test_ports_by_name_and_number_and_links_of_pages(space: Space) -> None:
    ports = [
        {"name": "portname1", "port": 80, "targetPort": "dest1"},
        {"name": "portname2", "port": 81, "targetPort": 162},
    ]
    space.made("services", service("porter", *ports, selector={"app": "porter"}))
    container: dict[str, Any] = {"name": "porter", "image": "busybox", "imagePullPolicy": "IfNotPresent"}
    container["command"] = ["sh", "-c", PORTER]
    container["ports"] = [{"name": "dest1", "containerPort": 160}, {"name": "dest2", "containerPort": 162}]
    container["readinessProbe"] = {"httpGet": {"port": 162}, "periodSeconds": 1}
    metadata = {"name": "porter", "labels": {"app": "porter"}}
    spec = {"terminationGracePeriodSeconds": 0, "nodeName": "node2", "containers": [container]}
    started(space, {"apiVersion": "v1", "kind": "Pod", "metadata": metadata, "spec": spec})
    space.until(lambda: asked(space, "GET", "services/porter:portname1/proxy/").status == 200, "it has its endpoint")
    root = f"/api/v1/namespaces/{space.name}"
    wanted = {
        "services/porter:portname1": "foo",
        "services/http:porter:portname1": "foo",
        "services/porter:portname2": "bar",
        "services/http:porter:portname2": "bar",
        "services/porter:80": "foo",
        "pods/porter:160": "foo",
        "pods/http:porter:160": "foo",
        "pods/porter:162": "bar",
        "pods/http:porter:162": "bar",
        **{
            f"pods/{name}": f'<a href="{root}/pods/{name}/proxy/rewriteme">test</a>'
            for name in ("porter:80", "porter:1080", "http:porter:1080")
        },
    }
    for _ in range(3):
        for name, text in wanted.items():
            found = asked(space, "GET", f"{name}/proxy/")
            assert (found.status, found.body.decode()) == (200, text), name
    for name in ("node2", "node2:10250"):
        found = space.cluster.control.request("GET", f"/api/v1/nodes/{name}/proxy/pods")
        assert found.status == 200 and "porter" in [pod["metadata"]["name"] for pod in found.object["items"]]
    assert asked(space, "GET", "services/porter:other/proxy/").status == 503
    assert asked(space, "GET", "pods/nobody/proxy/").status == 404


# Covers: Proxy, logs service endpoint.
def test_what_speaks_tls_behind_its_own_certificate(space: Space) -> None:
    names = "-subj /CN=nobody -keyout tls.key -out tls.crt -days 2"
    space.cluster.nodes[0].shell(f"cd {space.cluster.home} && openssl req -x509 -newkey rsa:2048 -nodes {names}")
    keys = [f"--{kind}={space.cluster.home}/tls.{end}" for kind, end in (("cert", "crt"), ("key", "key"))]
    space.kubectl("create", "secret", "tls", "keys", *keys)
    ports = [{"name": "one", "port": 443, "targetPort": "dest"}, {"name": "two", "port": 444, "targetPort": 461}]
    space.made("services", service("porter", *ports, selector={"app": "porter"}))
    pod = answering(
        "porter", labels={"app": "porter"}, ports=[{"name": "dest", "containerPort": 460}], nodeName="node2"
    )
    container = pod["spec"]["containers"][0]
    page = '<a href="/rewriteme">test</a>'
    container["args"] = [*container["args"][:3], TLS, "tls baz", "tls qux", page]
    container["readinessProbe"] = {"httpGet": {"scheme": "HTTPS", "port": 460}, "periodSeconds": 1}
    container["volumeMounts"].append({"name": "keys", "mountPath": "/keys"})
    pod["spec"]["volumes"].append({"name": "keys", "secret": {"secretName": "keys"}})
    started(space, pod)
    space.until(lambda: asked(space, "GET", "services/https:porter:one/proxy/").status == 200, "it has its endpoint")
    linked = f'<a href="/api/v1/namespaces/{space.name}/pods/https:porter:462/proxy/rewriteme">test</a>'
    wanted = {
        "services/https:porter:one": "tls baz",
        "services/https:porter:two": "tls qux",
        "pods/https:porter:460": "tls baz",
        "pods/https:porter:461": "tls qux",
        "pods/https:porter:462": linked,
    }
    for name, text in wanted.items():
        found = asked(space, "GET", f"{name}/proxy/")
        assert (found.status, found.body.decode()) == (200, text), name
