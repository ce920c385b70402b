"""A small registry for tests that can lie, break off, hang, drip, refuse, redirect and ask for tokens, on demand.

It runs in a thread with a loop of its own, so that daemons and tests of any kind can use it, and counts what it sends.
"""

import asyncio
import base64
import contextlib
import hashlib
import itertools
import json
import re
import ssl
import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import parse_qs

OCI_MANIFEST = "application/vnd.oci.image.manifest.v1+json"
OCI_INDEX = "application/vnd.oci.image.index.v1+json"
PIECE = 64 * 1024


def sha(data: bytes) -> str:
    return "sha256:" + hashlib.sha256(data).hexdigest()


@dataclass
class Asked:
    """One request, as it came."""

    method: str
    target: str
    headers: dict[str, str]
    body: bytes = b""

    @property
    def path(self) -> str:
        return self.target.partition("?")[0]

    @property
    def query(self) -> dict[str, list[str]]:
        return parse_qs(self.target.partition("?")[2], keep_blank_values=True)


@dataclass
class Said:
    """One answer. `length` may lie; the body breaks off after `cut` bytes; `pause` seconds lie between pieces of
    `piece` bytes; `hang` sends nothing at all; `endless` repeats the body for ever."""

    status: int = 200
    headers: dict[str, str] = field(default_factory=dict)
    body: bytes = b""
    length: int | None = None
    cut: int | None = None
    pause: float = 0.0
    piece: int = PIECE
    hang: bool = False
    endless: bool = False


Rule = Callable[[Asked], Said | None]


class FakeRegistry:
    """Repositories in memory. `rule` adds a misbehaviour; `users` (name: password) makes it ask for them, by tokens
    where `tokens` is set."""

    def __init__(self, context: ssl.SSLContext | None = None, address: str = "127.0.0.1") -> None:
        self.blobs: dict[str, bytes] = {}
        self.manifests: dict[tuple[str, str], tuple[str, bytes]] = {}
        self.members: set[tuple[str, str]] = set()  # (repository, blob)
        self.uploads: dict[str, bytearray] = {}
        self.asked: list[Asked] = []
        self.sent: dict[str, int] = {}  # bytes of bodies by path
        self.users: dict[str, str] = {}
        self.tokens = False
        self.realm = ""
        self.valid_tokens: set[str] = set()
        self.token_scopes: list[list[str]] = []
        self.referrers_api = True
        self.open = 0
        self.most_open = 0
        self._rules: list[tuple[str, re.Pattern[str], Rule, list[int]]] = []
        self._count = itertools.count(1)
        self._context = context
        self._address = address
        self._loop = asyncio.new_event_loop()
        self._ready = threading.Event()
        self._stop: asyncio.Event | None = None
        self.port = 0
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()
        assert self._ready.wait(10)

    @property
    def host(self) -> str:
        return f"{self._address}:{self.port}"

    @property
    def url(self) -> str:
        return f"{'https' if self._context else 'http'}://{self.host}"

    def close(self) -> None:
        if self._stop is not None:
            self._loop.call_soon_threadsafe(self._stop.set)
        self._thread.join(10)

    def __enter__(self) -> "FakeRegistry":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    # what a test sets up

    def rule(self, method: str, path: str, rule: Rule | Said, times: int = 1_000_000) -> None:
        """Answer requests whose path matches so, `times` times."""
        said = rule
        made: Rule = (lambda asked: said) if isinstance(said, Said) else said
        self._rules.append((method, re.compile(path), made, [times]))

    def calm(self) -> None:
        """Forget all misbehaviour."""
        self._rules.clear()

    def add_blob(self, repository: str, data: bytes) -> str:
        digest = sha(data)
        self.blobs[digest] = data
        self.members.add((repository, digest))
        return digest

    def add_manifest(self, repository: str, document: dict[str, Any] | bytes, media_type: str, *tags: str) -> str:
        data = document if isinstance(document, bytes) else json.dumps(document).encode()
        for name in (sha(data), *tags):
            self.manifests[(repository, name)] = (media_type, data)
        return sha(data)

    def add_image(
        self, repository: str, tag: str, layers: list[bytes], config: bytes, media_type: str = "", **fields: Any
    ) -> str:
        """Blobs and a manifest; its digest."""
        kind = media_type or "application/vnd.oci.image.layer.v1.tar"
        document = {
            "schemaVersion": 2,
            "mediaType": OCI_MANIFEST,
            "config": self.descriptor(repository, config, "application/vnd.oci.image.config.v1+json"),
            "layers": [self.descriptor(repository, layer, kind) for layer in layers],
            **fields,
        }
        return self.add_manifest(repository, document, OCI_MANIFEST, *([tag] if tag else []))

    def descriptor(self, repository: str, data: bytes, media_type: str) -> dict[str, Any]:
        return {"mediaType": media_type, "digest": self.add_blob(repository, data), "size": len(data)}

    def count(self, method: str, path: str) -> int:
        return len([asked for asked in self.asked if asked.method == method and re.search(path, asked.path)])

    def sent_of(self, digest: str) -> int:
        """Bytes of a blob that went out."""
        return sum(size for path, size in self.sent.items() if path.endswith(digest))

    # the server

    def _run(self) -> None:
        asyncio.set_event_loop(self._loop)
        self._loop.run_until_complete(self._serve())
        self._loop.close()

    async def _serve(self) -> None:
        self._stop = asyncio.Event()
        server = await asyncio.start_server(self._connection, self._address, 0, ssl=self._context)
        self.port = server.sockets[0].getsockname()[1]
        self._ready.set()
        await self._stop.wait()
        server.close()
        for task in asyncio.all_tasks():
            if task is not asyncio.current_task():
                task.cancel()
        await asyncio.sleep(0)

    async def _connection(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while (asked := await self._read(reader)) is not None:
                self.asked.append(asked)
                self.open += 1
                self.most_open = max(self.most_open, self.open)
                try:
                    if not await self._write(writer, asked, self._answer(asked)):
                        break
                finally:
                    self.open -= 1
        except (ConnectionError, asyncio.IncompleteReadError, ValueError, asyncio.CancelledError):
            pass
        finally:
            with contextlib.suppress(Exception):
                writer.close()

    async def _read(self, reader: asyncio.StreamReader) -> Asked | None:
        first = await reader.read(1)
        if not first or first == b"\x16":  # the client tries TLS
            return None
        line = first + await reader.readline()
        method, target, _ = line.decode("latin-1").split(" ", 2)
        headers: dict[str, str] = {}
        while (line := await reader.readline()) not in (b"\r\n", b""):
            name, _, value = line.decode("latin-1").partition(":")
            headers[name.strip().lower()] = value.strip()
        body = bytearray()
        if "chunked" in headers.get("transfer-encoding", ""):
            while size := int((await reader.readline()).split(b";")[0], 16):
                body += await reader.readexactly(size)
                await reader.readline()
            await reader.readline()
        elif int(headers.get("content-length", 0)):
            body += await reader.readexactly(int(headers["content-length"]))
        return Asked(method, target, headers, bytes(body))

    async def _write(self, writer: asyncio.StreamWriter, asked: Asked, said: Said) -> bool:
        """Whether the connection can be used on."""
        if said.hang:
            await asyncio.sleep(3600)
        length = len(said.body) if said.length is None else said.length
        headers = {"Content-Length": str(length), **said.headers}
        if said.endless:
            headers.pop("Content-Length")
        head = f"HTTP/1.1 {said.status} Status\r\n" + "".join(f"{name}: {value}\r\n" for name, value in headers.items())
        writer.write(head.encode() + b"\r\n")
        await writer.drain()
        if asked.method == "HEAD":
            return True
        body = said.body if said.cut is None else said.body[: said.cut]
        while True:
            for start in range(0, len(body), said.piece):
                piece = body[start : start + said.piece]
                writer.write(piece)
                await writer.drain()
                self.sent[asked.path] = self.sent.get(asked.path, 0) + len(piece)
                if said.pause:
                    await asyncio.sleep(said.pause)
            if not said.endless:
                break
        return said.cut is None and length == len(body) and not said.endless

    def _answer(self, asked: Asked) -> Said:
        for method, pattern, rule, left in self._rules:
            if left[0] > 0 and method in ("*", asked.method) and pattern.search(asked.path):
                left[0] -= 1
                said = rule(asked)
                if said is not None:
                    return said
        if asked.path == "/token":
            return self._token(asked)
        refused = self._refused(asked)
        return refused or self._serve_path(asked)

    def _refused(self, asked: Asked) -> Said | None:
        if not self.users:
            return None
        scheme, _, value = asked.headers.get("authorization", "").partition(" ")
        if self.tokens:
            if scheme == "Bearer" and value in self.valid_tokens:
                return None
            realm = self.realm or f"{self.url}/token"
            match = re.match(r"/v2/(.+)/(blobs|manifests|tags|referrers)/", asked.path)
            scope = f',scope="repository:{match[1]}:pull"' if match else ""
            challenge = f'Bearer realm="{realm}",service="fake"{scope}'
        else:
            name, _, password = base64.b64decode(value or "").decode().partition(":")
            if scheme == "Basic" and self.users.get(name) == password:
                return None
            challenge = 'Basic realm="fake"'
        return error(401, "UNAUTHORIZED", "authentication required", {"WWW-Authenticate": challenge})

    def _token(self, asked: Asked) -> Said:
        _, _, value = asked.headers.get("authorization", "").partition(" ")
        name, _, password = base64.b64decode(value or "").decode().partition(":")
        if value and self.users.get(name) != password:
            return error(401, "UNAUTHORIZED", "incorrect username or password")
        token = f"token-{next(self._count)}"
        self.valid_tokens.add(token)
        self.token_scopes.append(asked.query.get("scope", []))
        return Said(body=json.dumps({"token": token, "expires_in": 300}).encode())

    def _serve_path(self, asked: Asked) -> Said:
        if asked.path in ("/v2/", "/v2"):
            return Said(body=b"{}")
        match = re.fullmatch(r"/v2/(.+)/(manifests|blobs|tags|referrers)/(.*)", asked.path)
        if not match:
            return error(404, "NAME_UNKNOWN", "no such page")
        repository, kind, name = match.groups()
        if repository.endswith("/blobs"):  # …/blobs/uploads/ID
            repository, kind, name = repository.removesuffix("/blobs"), "blobs", f"uploads/{name}"
        if kind == "manifests":
            return self._manifest(asked, repository, name)
        if kind == "tags":
            tags = sorted(tag for known, tag in self.manifests if known == repository and ":" not in tag)
            return Said(body=json.dumps({"name": repository, "tags": tags}).encode())
        if kind == "referrers":
            return self._referrers(repository, name)
        if name.startswith("uploads/"):
            return self._upload(asked, repository, name.removeprefix("uploads/"))
        return self._blob(asked, repository, name)

    def _manifest(self, asked: Asked, repository: str, name: str) -> Said:
        if asked.method == "PUT":
            self.add_manifest(repository, asked.body, asked.headers.get("content-type", ""), *[name])
            return Said(
                201, {"Docker-Content-Digest": sha(asked.body), "Location": f"/v2/{repository}/manifests/{name}"}
            )
        found = self.manifests.get((repository, name))
        if found is None:
            if not any(known == repository for known, _ in self.manifests):
                return error(404, "NAME_UNKNOWN", "repository name not known to registry")
            return error(404, "MANIFEST_UNKNOWN", "manifest unknown")
        return Said(headers={"Content-Type": found[0], "Docker-Content-Digest": sha(found[1])}, body=found[1])

    def _referrers(self, repository: str, digest: str) -> Said:
        if not self.referrers_api:
            return error(404, "UNSUPPORTED", "no such page")
        found = []
        for (known, name), (media_type, data) in self.manifests.items():
            document = json.loads(data)
            if known == repository and ":" in name and (document.get("subject") or {}).get("digest") == digest:
                kind = document.get("artifactType") or document.get("config", {}).get("mediaType", "")
                found.append({"mediaType": media_type, "digest": name, "size": len(data), "artifactType": kind})
        body = {"schemaVersion": 2, "mediaType": OCI_INDEX, "manifests": found}
        return Said(headers={"Content-Type": OCI_INDEX}, body=json.dumps(body).encode())

    def _blob(self, asked: Asked, repository: str, digest: str) -> Said:
        if (repository, digest) not in self.members:
            return error(404, "BLOB_UNKNOWN", "blob unknown to registry")
        data = self.blobs[digest]
        wanted = re.fullmatch(r"bytes=(\d+)-", asked.headers.get("range", ""))
        if wanted:
            start = int(wanted[1])
            return Said(206, {"Content-Range": f"bytes {start}-{len(data) - 1}/{len(data)}"}, data[start:])
        return Said(headers={"Docker-Content-Digest": digest}, body=data)

    def _upload(self, asked: Asked, repository: str, name: str) -> Said:
        if asked.method == "POST":
            mount, origin = asked.query.get("mount", [""])[0], asked.query.get("from", [""])[0]
            if mount and (origin, mount) in self.members:
                self.members.add((repository, mount))
                return Said(201, {"Location": f"/v2/{repository}/blobs/{mount}", "Docker-Content-Digest": mount})
            identifier = f"u{next(self._count)}"
            self.uploads[identifier] = bytearray()
            return Said(202, {"Location": f"/v2/{repository}/blobs/uploads/{identifier}?state=1%2F2"})
        if name not in self.uploads:
            return error(404, "BLOB_UPLOAD_UNKNOWN", "blob upload unknown to registry")
        location = f"/v2/{repository}/blobs/uploads/{name}?state=1%2F2"
        if asked.method == "GET":
            size = len(self.uploads[name])
            return Said(204, {"Location": location, "Range": f"0-{max(0, size - 1)}"})
        self.uploads[name] += asked.body
        if asked.method == "PATCH":
            return Said(202, {"Location": location, "Range": f"0-{len(self.uploads[name]) - 1}"})
        data = bytes(self.uploads.pop(name))
        if sha(data) != asked.query["digest"][0]:
            return error(400, "DIGEST_INVALID", "provided digest did not match uploaded content")
        self.add_blob(repository, data)
        return Said(201, {"Location": f"/v2/{repository}/blobs/{sha(data)}"})


def error(status: int, code: str, message: str, headers: dict[str, str] | None = None) -> Said:
    """A refusal as registries word it."""
    body = json.dumps({"errors": [{"code": code, "message": message}]}).encode()
    return Said(status, {"Content-Type": "application/json", **(headers or {})}, body)
