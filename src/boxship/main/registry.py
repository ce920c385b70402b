"""Joins the registry role: the room, its door, its listener, and the engine's images beside what was pushed."""

import asyncio
import ipaddress
import os
import secrets
import time
from collections.abc import Callable
from pathlib import Path

from boxship.content import Content, Garbage
from boxship.doors.oci.door import Door
from boxship.doors.oci.gate import Gate
from boxship.engine.tasks import Tasks
from boxship.errors import Invalid
from boxship.images.library import Images
from boxship.main.certificates import Certificates
from boxship.main.options import Options
from boxship.main.own_registry import EngineImages, OwnRegistry, RemoteUpstream
from boxship.registry import Registry
from boxship.registry.access import Access
from boxship.registry.logins import Users
from boxship.registry.policy import Policy, read_policy
from boxship.registry.tokens import KEY_BYTES, Tokens
from boxship.store import Store
from boxship.transport.listen import Address, PlainAddress, TlsAddress
from boxship.transport.server import Server

TOKEN_KEY = "registry-token.key"


class RegistryRole:
    """The registry of one daemon. `recover` comes before the collector's sweep, `start` after it."""

    def __init__(
        self,
        options: Options,
        data: Path,
        content: Content,
        garbage: Garbage,
        store: Store,
        certificates: Certificates,
        images: Callable[[], Images],
    ) -> None:
        """`images` is asked while the registry serves. Raises Invalid where a file that the options name cannot be
        used."""
        policy = _policy(options.registry_policy)
        users = Users(Path(options.registry_auth)) if options.registry_auth else None
        tokens = Tokens(_token_key(data / TOKEN_KEY), options.registry) if options.registry_token else None
        names = own_names(options)
        upstreams = {cache.prefix: RemoteUpstream(cache, lambda: images().remote) for cache in policy.caches}
        self.registry = Registry(
            content,
            garbage,
            store,
            policy=policy,
            local=EngineImages(names, content, images),
            upstreams=upstreams,
        )
        access = Access(policy, closed=users is not None)
        self.own = OwnRegistry(names, content, self.registry, access, users, tokens, time.time_ns)
        gate = Gate(access, users, tokens)
        self._server = Server(Door(self.registry, gate, shows_metrics=options.registry_metrics).handle)
        self._address = _address(options, certificates)
        self._tasks: list[asyncio.Task[None]] = []

    async def recover(self) -> None:
        await self.registry.recover()

    def users_of(self, digest: str) -> list[str]:
        """The repositories that need a blob, and their tags where it is what they stand for."""
        found = []
        for repository in self.registry.repositories:
            tags = repository.tags_of(digest)
            found += [f"{repository.name}:{tag}" for tag in sorted(tags)[:3]]
            if not tags and (digest in repository.manifests or repository.has_blob(digest)):
                found.append(f"repository {repository.name}")
        return found

    async def start(self, tasks: Tasks) -> None:
        self._tasks.append(tasks.start("end what the registry keeps for a time", self.registry.run))
        await self._server.start([self._address])

    async def stop(self) -> None:
        await self._server.stop()
        for task in self._tasks:
            task.cancel()


def own_names(options: Options) -> frozenset[str]:
    """The addresses under which the registry is known; on this machine it has the machine's own names too."""
    host, _, port = options.registry.rpartition(":")
    names = {options.registry, *options.registry_name}
    if host in ("", "0.0.0.0", "[::]", "localhost") or _is_loopback(host):
        names |= {f"{name}:{port}" for name in ("localhost", "127.0.0.1", "[::1]")}
    return frozenset(names)


def _is_loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host.strip("[]")).is_loopback
    except ValueError:
        return False


def _address(options: Options, certificates: Certificates) -> Address:
    """With certificates the registry speaks TLS. It knows its clients by name and password; where asked for, they need
    certificates as well."""
    host, _, port = options.registry.rpartition(":")
    source = certificates.registry()
    if source is not None:
        return TlsAddress(host.strip("[]"), int(port), source, clients=options.registry_tls_clients)
    return PlainAddress(host.strip("[]"), int(port), anywhere=options.registry_plain_http)


def _policy(path: str) -> Policy:
    if not path:
        return Policy()
    try:
        return read_policy(Path(path).read_text(), path)
    except (OSError, UnicodeDecodeError) as error:
        raise Invalid(f"cannot read {path}: {error}") from error


def _token_key(path: Path) -> bytes:
    """The key of the registry's tokens: made once, kept, readable by root alone."""
    if not path.exists():
        staged = path.with_suffix(".new")
        staged.unlink(missing_ok=True)
        descriptor = os.open(staged, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        with os.fdopen(descriptor, "wb") as file:
            file.write(secrets.token_bytes(KEY_BYTES))
            os.fsync(file.fileno())
        staged.rename(path)
    return path.read_bytes()
