"""Ingresses for tests, servers behind them, and haproxy between, all on loopback."""

import asyncio
import base64
import contextlib
import hashlib
import json
import os
import signal
import ssl
import urllib.parse
from collections.abc import AsyncIterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple

from page_kit import Page

from boxship.cluster.ingress.facts import Place
from boxship.cluster.ingress.server import IngressServer
from boxship.cluster.objects import Object
from daemons import free_port

WEBSOCKET = "258EAFA5-E914-47DA-95CA-C5AB0DC85B11"  # RFC 6455
NGINX = "nginx.ingress.kubernetes.io/"
CLASS = {
    "metadata": {
        "name": "boxship",
        "annotations": {"ingressclass.kubernetes.io/is-default-class": "true"},
    },
    "spec": {"controller": "boxship.io/ingress"},
}


def path(service: str, path: str = "/", kind: str = "Prefix", port: int | str = 80) -> Object:
    reference = {"name": port} if isinstance(port, str) else {"number": port}
    return {"path": path, "pathType": kind, "backend": {"service": {"name": service, "port": reference}}}


def ingress(
    name: str, *paths: Object, host: str = "a.test", tls: Any = (), annotations: Mapping[str, str] | None = None
) -> Object:
    rule: Object = {"http": {"paths": list(paths)}}
    if host:
        rule["host"] = host
    marked = {NGINX + key: value for key, value in (annotations or {}).items()}
    metadata = {
        "name": name,
        "namespace": "default",
        "annotations": marked,
        "creationTimestamp": "2026-01-01T00:00:00Z",
    }
    return {"metadata": metadata, "spec": {"rules": [rule], "tls": list(tls)}}


def service(name: str) -> Object:
    spec = {"clusterIP": "10.96.0.9", "ports": [{"name": "http", "port": 80, "protocol": "TCP"}]}
    return {"metadata": {"name": name, "namespace": "default"}, "spec": spec}


def slice(name: str, *places: tuple[str, int], ready: bool = True) -> Object:
    """All of its endpoints have the same port."""
    labels = {"kubernetes.io/service-name": name}
    return {
        "metadata": {"name": f"{name}-x", "namespace": "default", "labels": labels},
        "addressType": "IPv4",
        "endpoints": [{"addresses": [address], "conditions": {"ready": ready}} for address, _ in places],
        "ports": [{"name": "http", "port": places[0][1] if places else 0, "protocol": "TCP"}],
    }


def secret(name: str, **data: bytes) -> Object:
    encoded = {key.replace("_", "."): base64.b64encode(value).decode() for key, value in data.items()}
    return {"metadata": {"name": name, "namespace": "default"}, "data": encoded}


class Answer(NamedTuple):
    status: int
    headers: Mapping[str, str]
    body: bytes

    @property
    def seen(self) -> Any:
        """What the server behind it says of the request."""
        return json.loads(self.body)


class Behind:
    """A server that says what it was asked."""

    def __init__(self, name: str, address: str, port: int) -> None:
        self.name, self.place = name, (address, port)
        self.count = 0
        self.pause = 0.0
        self._server: asyncio.Server | None = None

    async def start(self) -> None:
        self._server = await asyncio.start_server(self._serve, *self.place)

    async def stop(self) -> None:
        if self._server is not None:
            self._server.close()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(OSError, asyncio.IncompleteReadError):
            while True:
                head = (await reader.readuntil(b"\r\n\r\n")).decode().split("\r\n")
                method, target, _ = head[0].split(" ")
                headers = {
                    name.lower(): value.strip() for name, _, value in (line.partition(":") for line in head[1:] if line)
                }
                if headers.get("upgrade") == "websocket":
                    digest = hashlib.sha1((headers["sec-websocket-key"] + WEBSOCKET).encode()).digest()
                    accepted = base64.b64encode(digest)
                    writer.write(b"HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n")
                    writer.write(b"Sec-WebSocket-Accept: " + accepted + b"\r\n\r\n")
                    while data := await reader.read(1024):
                        writer.write(data)
                    return
                await reader.readexactly(int(headers.get("content-length", 0)))
                while headers.get("transfer-encoding") and (await reader.readline()).strip() != b"0":
                    pass
                self.count += 1
                if self.pause:
                    await asyncio.sleep(self.pause)
                body = json.dumps(
                    {"server": self.name, "method": method, "target": target, "headers": headers}
                ).encode()
                writer.write(
                    b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n" % len(body)
                )
                writer.write(body)
                await writer.drain()
        writer.close()


class Door:
    """haproxy with what is behind it."""

    def __init__(self, page: Page, folder: Path) -> None:
        self.page, self.folder = page, folder
        self.plain, self.tls = free_port(), free_port()
        self.servers: dict[str, Behind] = {}
        self.task: asyncio.Task[None] | None = None
        self.server = self._made()

    def _made(self) -> IngressServer:
        plain, tls = [Place("127.0.0.1", self.plain)], [Place("127.0.0.1", self.tls)]
        return IngressServer(self.page, self.folder, plain, tls)

    def start(self) -> None:
        self.server = self._made()
        self.task = asyncio.create_task(self.server.run())

    async def stop(self) -> None:
        if self.task is not None:
            self.task.cancel()
            await asyncio.gather(self.task, return_exceptions=True)

    @property
    def pid(self) -> int:
        return int(json.loads((self.folder / "process.json").read_text())["pid"])

    async def behind(self, name: str, address: str = "127.0.0.1", port: int = 0) -> Behind:
        made = Behind(name, address, port or free_port())
        await made.start()
        self.servers[name] = made
        return made

    async def ask(
        self,
        target: str = "/",
        *,
        host: str = "a.test",
        method: str = "GET",
        headers: Mapping[str, str] | None = None,
        body: bytes = b"",
        chunks: bytes = b"",
        tls: ssl.SSLContext | None = None,
        name: str = "",
    ) -> Answer:
        where: dict[str, Any] = {"ssl": tls, "server_hostname": name or host} if tls else {}
        reader, writer = await asyncio.open_connection("127.0.0.1", self.tls if tls else self.plain, **where)
        try:
            lines = [f"{method} {target} HTTP/1.1", f"Host: {host}", "Connection: close"]
            lines += [f"{key}: {value}" for key, value in (headers or {}).items()]
            lines += [f"Content-Length: {len(body)}"] if body else []
            writer.write("\r\n".join([*lines, "", ""]).encode() + body + chunks)
            data = await asyncio.wait_for(reader.read(-1), 10)
        finally:
            writer.close()
        if not data:
            raise ConnectionError("no answer")
        head, _, rest = data.partition(b"\r\n\r\n")
        first, *others = head.decode().split("\r\n")
        found = {key.lower(): value.strip() for key, _, value in (line.partition(":") for line in others)}
        if found.get("transfer-encoding") == "chunked":
            rest = rest.partition(b"\r\n")[2]
        return Answer(int(first.split(" ")[1]), found, rest)

    async def until(self, condition: Any, seconds: float = 30.0) -> Any:
        """What the condition (a coroutine function) says, as soon as it is true."""
        end = asyncio.get_running_loop().time() + seconds
        why: object = ""
        while asyncio.get_running_loop().time() < end:
            try:
                if found := await condition():
                    return found
            except (OSError, ValueError, IndexError, AssertionError) as error:
                why = error
            await asyncio.sleep(0.02)
        raise AssertionError(f"not within {seconds} s: {why}")

    async def serves(self, target: str = "/", *, by: str, **options: Any) -> None:
        async def served() -> bool:
            answer = await self.ask(target, **options)
            return answer.status == 200 and answer.seen["server"] == by

        await self.until(served)


@contextlib.asynccontextmanager
async def running_door(folder: Path, *ingresses: Object, **others: Any) -> AsyncIterator[Door]:
    page = Page(
        ingresses=list(ingresses),
        ingressclasses=[CLASS],
        services=others.get("services", [service("web"), service("api")]),
        endpointslices=others.get("endpointslices", []),
        secrets=others.get("secrets", []),
    )
    door = Door(page, folder)
    web, api = await door.behind("web"), await door.behind("api")
    if "endpointslices" not in others:
        page.put("endpointslices", slice("web", web.place))
        page.put("endpointslices", slice("api", api.place))
    door.start()
    try:
        yield door
    finally:
        await door.stop()
        with contextlib.suppress(OSError, ValueError):
            os.kill(door.pid, signal.SIGTERM)
        await door.server.clear()
        for one in door.servers.values():
            await one.stop()


def quoted(text: str) -> str:
    return urllib.parse.quote(text)
