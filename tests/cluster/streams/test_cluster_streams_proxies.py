"""pods/proxy, services/proxy and nodes/proxy: whatever is asked goes on as it came, and comes back as it is."""

import asyncio
import hashlib
import json
import ssl
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import Any

import aiohttp
import msgspec
from aiohttp import web
from streams_kit import NODE, StreamsNode
from world_kit import schemas

from boxship.cluster.api.admission import Lookup
from boxship.cluster.api.api import Api, Parts
from boxship.cluster.api.catalog import Catalog
from boxship.cluster.api.clock import SystemClock
from boxship.cluster.api.connecting.places import Places, is_elsewhere
from boxship.cluster.api.connecting.rewriting import rewritten
from boxship.cluster.api.drafts import PlainChain
from boxship.cluster.api.gate import Gate
from boxship.cluster.api.inside import Inside
from boxship.cluster.api.request import Ask, Decision, User
from boxship.cluster.api.storage import Storage, Unsealed
from boxship.cluster.objects import Object, protobuf
from boxship.cluster.objects.failure import Failure
from boxship.doors.kube.connecting import Connecting
from boxship.doors.kube.door import Door
from boxship.doors.kube.health import Health
from boxship.doors.kube.metrics import Metrics
from boxship.doors.kube.site import Facts, Site
from boxship.main.control_connecting import connecting_client, identity
from boxship.pki.cluster import open_authority
from boxship.store.memory import MemoryStore
from boxship.transport.listen import PlainAddress
from boxship.transport.server import Server
from boxship.transport.upgrading import Dialer


@asynccontextmanager
async def session(node: StreamsNode, client: str | None = "admin") -> AsyncIterator[aiohttp.ClientSession]:
    pki = node.control.data / "pki"
    context = ssl.create_default_context(cafile=str(pki / "ca.crt"))
    if client is not None:
        context.load_cert_chain(pki / f"{client}.crt", pki / f"{client}.key")
    async with aiohttp.ClientSession(node.control.url, connector=aiohttp.TCPConnector(ssl=context)) as made:
        yield made


@asynccontextmanager
async def page() -> AsyncIterator[int]:
    """A server that tells what it was asked."""

    async def tell(request: web.Request) -> web.StreamResponse:
        if request.path == "/talk":
            assert "secret" not in request.headers["Sec-WebSocket-Protocol"]
            socket = web.WebSocketResponse(protocols=("words",))
            await socket.prepare(request)
            async for message in socket:
                await socket.send_str(f"heard {message.data}")
            return socket
        if request.path == "/away":
            raise web.HTTPFound("/elsewhere?x=1")
        if request.path == "/page":
            return web.Response(text='<a href="/next">x</a> <img src="here.png">', content_type="text/html")
        body = await request.read()
        told = {
            "method": request.method,
            "path": request.path_qs,
            "headers": dict(request.headers),
            "body": hashlib.sha256(body).hexdigest(),
            "size": len(body),
        }
        answer = web.json_response(told, status=203, headers={"X-Own": "yes"})
        answer.headers.add("Set-Cookie", "a=1")
        answer.headers.add("Set-Cookie", "b=2")
        return answer

    application = web.Application(client_max_size=1 << 30)
    application.router.add_route("*", "/{rest:.*}", tell)
    runner = web.AppRunner(application)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    try:
        yield runner.addresses[0][1]
    finally:
        await runner.cleanup()


class Everybody:
    """Authentication and authorisation of a door that lets everybody in."""

    async def authenticate(self, headers: Mapping[str, list[str]], certificate: bytes | None) -> User:
        return User("somebody")

    async def impersonate(self, user: User, headers: Mapping[str, list[str]], authorizer: Any) -> User:
        return user

    async def authorize(self, ask: Ask) -> Decision:
        return Decision(True)

    def refusal(self, ask: Ask, decision: Decision) -> Failure:
        return Failure(403, "Forbidden", "forbidden")


class Here:
    """A Lookup whose endpoints are all on this machine, which no EndpointSlice may say."""

    def __init__(self, lookup: Lookup) -> None:
        self.get = lookup.get
        self._lookup = lookup

    async def list(self, resource: str, namespace: str = "") -> Sequence[Object]:
        found = await self._lookup.list(resource, namespace)
        return [msgspec.json.decode(msgspec.json.encode(each).replace(b"192.0.2.1", b"127.0.0.1")) for each in found]


@asynccontextmanager
async def proxy(folder: Path) -> AsyncIterator[tuple[Inside, aiohttp.ClientSession]]:
    """An API in this process, which may reach servers of this machine, and a client of it."""
    storage, catalog = Storage(MemoryStore(), Unsealed()), Catalog(schemas())
    api = Api(Parts(storage=storage, catalog=catalog, clock=SystemClock()))
    gate = Gate(api, Everybody(), Everybody())
    authority = open_authority(folder / "pki", [], datetime.now(UTC))
    places = Places(Here(api.lookup), PlainChain(), lambda address: True)
    http = connecting_client()
    behind = Connecting(gate, places, identity(authority), http, Dialer())
    site = Site(catalog, Facts("here", {}), Health([]), Metrics())
    server = Server(
        Door(gate, catalog, site, Metrics(), partial(protobuf.read, schemas=schemas()), None, behind).handle
    )
    await server.start([PlainAddress("127.0.0.1", 0)])
    inside = Inside(api, catalog, User("test"), "test")
    try:
        async with aiohttp.ClientSession(f"http://127.0.0.1:{server.addresses[0][1]}") as client:
            yield inside, client
    finally:
        await server.stop()
        await http.close()


async def test_pods_and_services(tmp_path: Path) -> None:
    async with page() as port, proxy(tmp_path) as (inside, client):
        await _put(inside, port)
        where = f"/api/v1/namespaces/default/pods/site:{port}/proxy"
        data = b"words" * 1_000_000
        headers = {"X-Mine": "kept", "Authorization": "Bearer never-told", "Cookie": "c=3"}
        async with client.put(f"{where}/a%20b/c?d=e&f", data=data, headers=headers) as answer:
            told = json.loads(await answer.read())
            assert answer.status == 203
            assert answer.headers.getall("Set-Cookie") == ["a=1", "b=2"]
            assert answer.headers["X-Own"] == "yes"
        assert (told["method"], told["path"]) == ("PUT", "/a%20b/c?d=e&f")
        assert (told["size"], told["body"]) == (len(data), hashlib.sha256(data).hexdigest())
        assert told["headers"]["X-Mine"] == "kept"
        assert told["headers"]["X-Forwarded-For"] == "127.0.0.1"
        assert told["headers"]["Cookie"] == "c=3"
        assert "Authorization" not in told["headers"]
        for method in ("POST", "DELETE", "PATCH", "GET", "HEAD", "OPTIONS"):
            async with client.request(method, f"{where}/x") as answer:
                assert answer.status == 203
                assert method == "HEAD" or json.loads(await answer.read())["method"] == method
        async with client.get(where, allow_redirects=False) as answer:
            assert (answer.status, answer.headers["Location"]) == (301, f"{where}/")
        async with client.get(f"{where}/away", allow_redirects=False) as answer:
            assert (answer.status, answer.headers["Location"]) == (302, f"{where}/elsewhere?x=1")
        async with client.get(f"{where}/page") as answer:
            assert await answer.text() == f'<a href="{where}/next">x</a> <img src="here.png">'
        shown = ("base64url.bearer.authorization.k8s.io.secret", "words")
        async with client.ws_connect(f"{where}/talk", protocols=shown) as socket:
            await socket.send_str("this")
            assert (await socket.receive()).data == "heard this"
            assert socket.protocol == "words"
        async with client.get("/api/v1/namespaces/default/pods/site:web/proxy/named") as answer:
            assert json.loads(await answer.read())["path"] == "/named"
        async with client.get("/api/v1/namespaces/default/pods/site:1/proxy/") as answer:
            assert answer.status == 503
            assert "error trying to reach service" in (await answer.json())["message"]
        for name in ("site", "site:main", "site:80", "http:site:main"):
            async with client.get(f"/api/v1/namespaces/default/services/{name}/proxy/there") as answer:
                assert json.loads(await answer.read())["path"] == "/there", name
        async with client.get("/api/v1/namespaces/default/services/site:none/proxy/") as answer:
            assert answer.status == 503
            assert (await answer.json())["message"] == 'no endpoints available for service "site"'
        async with client.get("/api/v1/namespaces/default/services/ftp:site:main/proxy/") as answer:
            assert answer.status == 400


async def _put(inside: Inside, port: int) -> None:
    """A pod, a service and an endpoint of it, all on this machine."""
    containers = [{"name": "site", "image": "none", "ports": [{"name": "web", "containerPort": port}]}]
    pod = {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "site"}, "spec": {"containers": containers}}
    pod = await inside.create("v1/pods", "default", pod)
    pod["status"] = {"phase": "Running", "podIP": "127.0.0.1", "podIPs": [{"ip": "127.0.0.1"}]}
    await inside.update("v1/pods", pod, subresource="status")
    ports = [{"name": "main", "port": 80, "targetPort": port}]
    spec = {"ports": ports, "clusterIP": "None", "clusterIPs": ["None"]}
    service = {"apiVersion": "v1", "kind": "Service", "metadata": {"name": "site"}, "spec": spec}
    await inside.create("v1/services", "default", service)
    endpoints = {
        "apiVersion": "discovery.k8s.io/v1",
        "kind": "EndpointSlice",
        "metadata": {"name": "site-own", "labels": {"kubernetes.io/service-name": "site"}},
        "addressType": "IPv4",
        "endpoints": [{"addresses": ["192.0.2.1"], "conditions": {"ready": True}}],
        "ports": [{"name": "main", "port": port}],
    }
    await inside.create("discovery.k8s.io/v1/endpointslices", "default", endpoints)


async def test_addresses_that_are_refused(node: StreamsNode) -> None:
    """This server must not be made to ask itself."""
    await node.pod("self")
    async with session(node) as client:
        async with client.get("/api/v1/namespaces/default/pods/self:80/proxy/") as answer:
            assert answer.status == 400
            assert (await answer.json())["message"] == "address not allowed"
        async with client.get(f"/api/v1/nodes/{NODE}:22/proxy/") as answer:
            assert answer.status == 400
    for address in ("", "127.0.0.1", "::1", "169.254.169.254", "fe80::1", "0.0.0.0", "224.0.0.1"):
        assert not is_elsewhere(address), address
    assert is_elsewhere("10.244.0.7") and is_elsewhere("fd00::7")


async def test_nodes(node: StreamsNode) -> None:
    await node.pod("inside")
    async with session(node) as client:
        for name in (NODE, f"{NODE}:{node.port}", f"https:{NODE}:{node.port}"):
            async with client.get(f"/api/v1/nodes/{name}/proxy/healthz") as answer:
                assert await answer.text() == "ok"
        async with client.get(f"/api/v1/nodes/{NODE}/proxy/pods") as answer:
            assert [pod["metadata"]["name"] for pod in (await answer.json())["items"]] == ["inside"]
        async with client.get(f"/api/v1/nodes/{NODE}/proxy/stats/summary") as answer:
            assert [pod["podRef"]["name"] for pod in (await answer.json())["pods"]] == ["inside"]
        async with client.get(f"/api/v1/nodes/{NODE}/proxy/metrics/resource") as answer:
            lines = (await answer.text()).splitlines()
            where = 'container="inside",namespace="default",pod="inside"'
            assert any(line.startswith(f"container_memory_working_set_bytes{{{where}}} 10485760 ") for line in lines)
        async with client.get(f"/api/v1/nodes/{NODE}/proxy/metrics/cadvisor") as answer:
            lines = (await answer.text()).splitlines()
            assert any('pod="inside"' in line and line.startswith("container_network_receive") for line in lines)
        async with client.get(f"/api/v1/nodes/{NODE}/proxy/logs/") as answer:
            refused = await answer.json()
            assert (answer.status, refused["message"]) == (405, "unsupported: logs of the machine")
        async with client.post(f"/api/v1/nodes/{NODE}/proxy/run/default/inside/inside?cmd=echo+it") as answer:
            assert await answer.text() == "it\n"
        async with client.get("/api/v1/nodes/nowhere/proxy/healthz") as answer:
            assert answer.status == 404


async def test_who_may(node: StreamsNode) -> None:
    """The API asks first; a node lets nobody in whom the API does not."""
    await node.pod("closed")
    async with session(node, "scheduler") as client:
        for path in ("pods/closed/log", "pods/closed/exec?command=true&stdout=1", "pods/closed:80/proxy/"):
            async with client.get(f"/api/v1/namespaces/default/{path}") as answer:
                assert answer.status == 403, path
    pki = node.control.data / "pki"
    context = ssl.create_default_context(cafile=str(pki / "ca.crt"))
    async with aiohttp.ClientSession(f"https://127.0.0.1:{node.port}") as client:
        async with client.get("/pods", ssl=context) as answer:
            assert answer.status == 401
        async with client.get("/pods", ssl=context, headers={"Authorization": "Bearer nonsense"}) as answer:
            assert answer.status == 401
        async with client.get("/healthz", ssl=context) as answer:
            assert answer.status == 200
        context.load_cert_chain(pki / "scheduler.crt", pki / "scheduler.key")
    base = f"https://127.0.0.1:{node.port}"
    async with aiohttp.ClientSession(base) as client, client.get("/pods", ssl=context) as answer:
        assert answer.status == 403
        text = "Forbidden (user=system:kube-scheduler, verb=get, resource=nodes, subresource(s)=[pods proxy])"
        assert await answer.text() == text


async def test_a_token_opens_a_node(node: StreamsNode) -> None:
    """Who has the right to a part of nodes may ask their agents by himself, as Prometheus does."""
    await node.kubectl("create", "serviceaccount", "looker")
    await node.kubectl("create", "clusterrole", "looker", "--verb=get", "--resource=nodes/metrics")
    await node.kubectl(
        "create", "clusterrolebinding", "looker", "--clusterrole=looker", "--serviceaccount=default:looker"
    )
    _, token, _ = await node.kubectl("create", "token", "looker")
    context = ssl.create_default_context(cafile=str(node.control.data / "pki" / "ca.crt"))
    headers = {"Authorization": f"Bearer {token.strip()}"}
    async with aiohttp.ClientSession(f"https://127.0.0.1:{node.port}", headers=headers) as client:
        async with client.get("/metrics/resource", ssl=context) as answer:
            assert answer.status == 200
        async with client.get("/pods", ssl=context) as answer:
            assert answer.status == 403
            assert "user=system:serviceaccount:default:looker" in await answer.text()


def test_links_of_pages() -> None:
    page = b'<A HREF=/a><img src=\'/b\'> /c <p title="/d"><a href="//other/e"><a href="http://h:1/f?g#h"><a href="i">'
    assert rewritten(page, "/p/proxy/", "h:1") == (
        b'<A HREF=/p/proxy/a><img src=\'/p/proxy/b\'> /c <p title="/d"><a href="//other/e">'
        b'<a href="/p/proxy/f?g#h"><a href="i">'
    )


async def test_a_node_that_is_away(node: StreamsNode) -> None:
    await node.pod("lost")
    await node.server.stop()
    async with asyncio.timeout(10):
        code, _, errors = await node.kubectl("exec", "lost", "--", "true", check=False)
        assert code == 1
        assert "error dialing backend: dial tcp 127.0.0.1" in errors and "connection refused" in errors
        code, _, errors = await node.kubectl("logs", "lost", check=False)
        assert code == 1
        assert "connection refused" in errors
