"""The control plane, built from the ground up out of the options and closed in reverse.

Every part gets what it needs by its constructor. The listener comes last: who can connect meets a server that is ready.
"""

import asyncio
import contextlib
import datetime
import logging
import ssl
from collections.abc import AsyncIterator
from pathlib import Path

import msgspec

from boxship.cluster.api.api import Api, Parts
from boxship.cluster.api.authentication.authenticator import Authenticator
from boxship.cluster.api.authentication.tokens import TokenIssuer
from boxship.cluster.api.authorization.authorizer import Authorizer
from boxship.cluster.api.catalog import Catalog
from boxship.cluster.api.clock import SystemClock
from boxship.cluster.api.gate import Gate
from boxship.cluster.api.lookup import StoredObjects
from boxship.cluster.api.storage import Storage, Unsealed
from boxship.cluster.objects.schema.builtin import load
from boxship.doors.kube.door import Door
from boxship.doors.kube.health import Health
from boxship.doors.kube.metrics import Metrics
from boxship.doors.kube.site import Facts, Site
from boxship.main.control_facts import checks, gauges, version_document
from boxship.main.control_options import ControlOptions, history_seconds
from boxship.pki.cluster import ClusterAuthority, open_authority
from boxship.store import Store
from boxship.store.memory import MemoryStore
from boxship.store.sqlite import SqliteStore
from boxship.transport.listen import TlsAddress
from boxship.transport.server import Server

log = logging.getLogger("boxship-control")

KUBECONFIG = "admin.kubeconfig"


class Plane(msgspec.Struct, frozen=True):
    """A running control plane, as far as tests of parts look into it."""

    api: Api
    gate: Gate
    door: Door
    server: Server
    authority: ClusterAuthority


@contextlib.asynccontextmanager
async def control_plane(options: ControlOptions) -> AsyncIterator[Plane]:
    """Serves inside the block."""
    data = Path(options.data_root)
    now = datetime.datetime.now(datetime.UTC)
    opening = asyncio.create_task(_open_store(options))  # its thread works while we make keys
    try:
        authority = open_authority(
            data / "pki",
            hosts_of(options),
            now,
            service_cidr=options.service_cidr,
            domain=options.cluster_domain,
        )
        write_kubeconfig(data / KUBECONFIG, authority, options)
        schemas = load(data / "cache")
    finally:
        store = await opening
    async with contextlib.AsyncExitStack() as stack:
        stack.push_async_callback(store.close)
        clock = SystemClock()
        storage = Storage(store, Unsealed())
        catalog = Catalog(schemas)
        lookup = StoredObjects(storage, catalog)
        api = Api(Parts(storage=storage, catalog=catalog, clock=clock))
        authorizer = Authorizer(storage)
        tokens = TokenIssuer(lookup, authority.tokens, clock, issuer=options.issuer)
        authenticator = Authenticator(lookup, authority.clients, tokens, clock)
        gate = Gate(api, authenticator, authorizer)
        metrics = Metrics(gauges(store))
        health = Health(checks(store))
        facts = Facts(options.advertise, version_document())
        site = Site(catalog, facts, health, metrics)
        door = Door(gate, catalog, site, metrics, lambda data: msgspec.json.decode(data))
        await authorizer.prepare()
        server = Server(door.handle)
        async with asyncio.TaskGroup() as tasks:
            running = [tasks.create_task(api.run()), tasks.create_task(authorizer.follow())]
            await server.start([TlsAddress(options.host, options.port, LiveContext(authority), clients=False)])
            try:
                yield Plane(api, gate, door, server, authority)
            finally:
                await server.stop()
                for task in running:
                    task.cancel()


class LiveContext:
    """Implements transport's TlsSource over the authority's server certificate."""

    version = 1

    def __init__(self, authority: ClusterAuthority) -> None:
        self._context = authority.server_context()

    def context(self) -> ssl.SSLContext:
        return self._context

    def revoked(self, serial: int) -> bool:
        return False


async def _open_store(options: ControlOptions) -> Store:
    kind, _, rest = options.store.partition(":")
    seconds = history_seconds(options)
    if kind == "memory":
        return MemoryStore()
    return await SqliteStore.open(Path(rest), history_limit=None, history_seconds=seconds)


def hosts_of(options: ControlOptions) -> list[str]:
    """Names and addresses that the server's certificate is for, besides those that it always is for."""
    own = [options.host, options.advertise.rpartition(":")[0].strip("[]"), *options.name]
    return [host for host in dict.fromkeys(own) if host not in ("", "0.0.0.0", "::")]


def write_kubeconfig(path: Path, authority: ClusterAuthority, options: ControlOptions) -> None:
    """The administrator's kubeconfig, for its owner alone; written anew where it changed."""
    text = authority.kubeconfig("admin", f"https://{options.advertise}", options.cluster)
    if path.exists() and path.read_bytes() == text:
        return
    half = path.with_suffix(".new")
    half.unlink(missing_ok=True)
    half.touch(mode=0o600)
    half.write_bytes(text)
    half.replace(path)
