"""The control plane, built from the ground up out of the options and closed in reverse.

Every part gets what it needs by its constructor. The listener comes last: who can connect meets a server that is ready.
"""

import asyncio
import contextlib
import datetime
import logging
from collections.abc import AsyncIterator, Coroutine, Iterator
from functools import partial
from pathlib import Path
from typing import Any

import msgspec

from boxship.cluster.api.admission.policies.status import PolicyStatus
from boxship.cluster.api.api import Api, Parts
from boxship.cluster.api.audit.auditor import Auditor
from boxship.cluster.api.authentication.authenticator import Authenticator
from boxship.cluster.api.authentication.tokens import TokenIssuer
from boxship.cluster.api.authorization.authorizer import Authorizer
from boxship.cluster.api.authorization.plugins import guards
from boxship.cluster.api.authorization.reviews import Reviews
from boxship.cluster.api.bootstrap import objects
from boxship.cluster.api.bootstrap.keeping import keep
from boxship.cluster.api.bootstrap.presence import attend, leave
from boxship.cluster.api.bootstrap.start import announce, begin
from boxship.cluster.api.catalog import Catalog
from boxship.cluster.api.clock import SystemClock
from boxship.cluster.api.custom.customs import Customs
from boxship.cluster.api.fairness.fairness import Fairness
from boxship.cluster.api.gate import Gate
from boxship.cluster.api.history import History
from boxship.cluster.api.inside import Inside
from boxship.cluster.api.lookup import StoredObjects
from boxship.cluster.api.request import SYSTEM_MASTERS, User
from boxship.cluster.api.sealing.sealer import ConfiguredSealer
from boxship.cluster.api.service_repair import ServiceRepair
from boxship.cluster.api.services import ServiceAddresses
from boxship.cluster.api.storage import Storage
from boxship.cluster.api.undoing import Undoing
from boxship.cluster.api.usage.collecting import Collector
from boxship.cluster.controllers.nodes.starting import NodeOptions
from boxship.cluster.controllers.services.balancing import parse_pool
from boxship.cluster.objects import protobuf
from boxship.cluster.objects.openapi.documents import Documents
from boxship.cluster.objects.openapi.usage import usage_kinds
from boxship.cluster.objects.schema.builtin import Schemas, load
from boxship.cluster.reconcile.leading import Leading
from boxship.doors.kube.door import Door
from boxship.doors.kube.health import Health
from boxship.doors.kube.metrics import Metrics
from boxship.doors.kube.passing import Passing
from boxship.doors.kube.site import Facts, Site
from boxship.errors import BoxshipError
from boxship.main.control_admission import admission
from boxship.main.control_aggregation import Aggregation, aggregation, passing_client
from boxship.main.control_audit import auditor
from boxship.main.control_autoscaling import OtherMetrics
from boxship.main.control_certificates import Certificates
from boxship.main.control_connecting import collector, connecting, connecting_client, usage_handlers
from boxship.main.control_controllers import SCALER, account_of, controllers
from boxship.main.control_facts import checks, gauges, version_document
from boxship.main.control_history import history_handlers
from boxship.main.control_leading import CONTROLLERS, SCHEDULER, Fenced, leading, together
from boxship.main.control_options import ControlOptions, chosen_plugins, history_seconds, signing_seconds
from boxship.main.control_scheduler import Scheduling, settings_of
from boxship.main.control_sealing import seal_again, sealer_by
from boxship.main.control_store import files_of, handlers
from boxship.main.control_why import why_handlers
from boxship.pki.cluster import ClusterAuthority
from boxship.store import Store
from boxship.store.opening import open_store
from boxship.transport.client import HttpClient
from boxship.transport.exchange import Limits
from boxship.transport.listen import TlsAddress, outgoing_address
from boxship.transport.server import Server

log = logging.getLogger("boxship-control")

SERVER = User("system:apiserver", (SYSTEM_MASTERS,))
LIMITS = Limits(
    head_bytes=64 * 1024,
    connections=10_000,  # a watch has one to itself
    idle_seconds=300.0,
    first_seconds=15.0,
    body_stall_seconds=30.0,
    inflates=False,  # the original does not, and a megabyte can hold a gigabyte
)


class Plane(msgspec.Struct, frozen=True):
    """The parts of one control plane. `itself` is the client of the API that passes no admission."""

    store: Store
    sealer: ConfiguredSealer
    api: Api
    itself: Inside
    catalog: Catalog
    authorizer: Authorizer
    fairness: Fairness
    audit: Auditor | None
    customs: Customs
    others: Aggregation
    collecting: Collector
    scheduling: Scheduling
    door: Door
    authority: ClusterAuthority
    tokens: TokenIssuer
    place: objects.Site


@contextlib.asynccontextmanager
async def control_plane(options: ControlOptions) -> AsyncIterator[Plane]:
    """Serves inside the block."""
    data = Path(options.data_root)
    opening = asyncio.create_task(_open_store(options))  # its thread works while we make keys
    try:
        certificates = Certificates(options)
        schemas = load(data / "cache")
    finally:
        store = await opening
    async with contextlib.AsyncExitStack() as stack:
        stack.push_async_callback(store.close)
        client = HttpClient(user_agent="boxship-control")
        stack.push_async_callback(client.close)
        passing = passing_client()
        stack.push_async_callback(passing.close)
        carrying = connecting_client()
        stack.push_async_callback(carrying.close)
        plane = build(options, store, certificates.authority, schemas, client, passing, carrying)
        await begin(plane.itself, plane.place)
        await plane.authorizer.prepare()
        await plane.fairness.prepare()
        await plane.customs.prepare()
        await plane.others.services.prepare()
        async with asyncio.TaskGroup() as tasks:
            running = [tasks.create_task(part) for part in (*followers(options, plane), certificates.keep())]
            server = Server(plane.door.handle, LIMITS)
            await server.start(list(listeners(options, certificates)))
            try:
                yield plane
            finally:
                await server.stop()
                with contextlib.suppress(BoxshipError):
                    await announce(plane.itself, plane.place, present=False)
                    if is_shared(options):
                        await leave(plane.itself, plane.place)
                for task in running:
                    task.cancel()


def build(
    options: ControlOptions,
    store: Store,
    authority: ClusterAuthority,
    schemas: Schemas,
    client: HttpClient,
    passing: HttpClient,
    carrying: HttpClient,
) -> Plane:
    """All parts, from the store up to the door. Nothing runs yet."""
    data = Path(options.data_root)
    clock = SystemClock()
    sealer = sealer_by(options, data)
    storage = Storage(store, sealer)
    catalog = Catalog(schemas)
    lookup = StoredObjects(storage, catalog)
    companions = {"services/specs": ServiceAddresses(store, options.service_cidr, clock, storage.opened)}
    parts = Parts(storage=storage, catalog=catalog, clock=clock, companions=companions)
    # The API itself makes what a cluster begins with and counts quotas: no admission stands before that.
    itself = Inside(Api(parts), catalog, SERVER, "boxship-control")
    authorizer = Authorizer(storage)
    chosen = chosen_plugins(options)
    chain = admission(lookup, catalog, itself, client, authorizer.decide, validating=guards(authorizer), chosen=chosen)
    tokens = TokenIssuer(lookup, authority.tokens, clock, issuer=options.issuer)
    authenticator = Authenticator(lookup, authority.clients, tokens, clock)
    reviews = Reviews(authorizer, authenticator)
    collecting = collector(lookup, authority, carrying)
    computed = usage_handlers(lookup, collecting)
    api = Api(msgspec.structs.replace(parts, chain=chain, reviews=reviews, tokens=tokens, computed=computed))
    fairness = Fairness(storage)
    audit = auditor(options, clock, schemas)
    gate = Gate(api, authenticator, authorizer, fairness, audit)
    scheduling = Scheduling(api, catalog, authorizer, settings_of(options.scheduler_config))
    metrics = Metrics(gauges(store, scheduling.gauges))
    documents = Documents(data / "cache", usage_kinds())
    customs = Customs(storage, catalog, documents, itself, client, lookup, clock)
    history = History(storage, catalog)
    others = aggregation(storage, lookup, catalog, itself, clock, authority, passing)
    site = Site(
        catalog,
        Facts(options.advertise, version_document()),
        Health(checks(store)),
        metrics,
        documents=documents,
        keys=tokens,
        elsewhere=others.joined,
        own={
            **handlers(store),
            **history_handlers(history, Undoing(history, api.perform), catalog, clock),
            **why_handlers(scheduling),
        },
    )
    read = partial(protobuf.read, schemas=schemas)
    behind = connecting(gate, lookup, chain, authority, carrying)
    door = Door(gate, catalog, site, metrics, read, Passing(others.services, others.forwarding, gate), behind)
    place = site_of(options, authority)
    return Plane(
        store,
        sealer,
        api,
        itself,
        catalog,
        authorizer,
        fairness,
        audit,
        customs,
        others,
        collecting,
        scheduling,
        door,
        authority,
        tokens,
        place,
    )


def followers(options: ControlOptions, plane: Plane) -> Iterator[Coroutine[Any, Any, None]]:
    """What runs as long as the control plane does."""
    yield plane.api.run()
    yield plane.authorizer.follow()
    yield plane.fairness.follow()
    yield plane.customs.follow()
    yield seal_again(plane.store, plane.sealer, plane.catalog)
    yield plane.others.availability.run()
    yield ServiceRepair(Storage(plane.store, plane.sealer), SystemClock()).run()
    yield plane.collecting.run()
    if plane.audit is not None:
        yield plane.audit.run()
    if is_shared(options):
        yield attend(plane.itself, plane.place, SystemClock())
    teller = Inside(plane.api, plane.catalog, SERVER, "boxship-control")
    shared = is_shared(options)
    yield keep(plane.itself, teller, plane.place, alone=not shared)
    if "controllers" in options.role:
        yield lead_controllers(options, plane, leading(teller, CONTROLLERS, options, shared=shared))
    if "scheduler" in options.role:
        yield lead_scheduler(plane, leading(teller, SCHEDULER, options, shared=shared))


async def lead_controllers(options: ControlOptions, plane: Plane, lead: Leading) -> None:
    """Without end: they run whenever this control plane leads."""
    fenced = Fenced(plane.api, lead)
    nodes = NodeOptions(options.cluster_cidr, int(options.node_cidr_mask_size))
    pool = parse_pool(options.load_balancer_pool)
    signing = datetime.timedelta(seconds=signing_seconds(options))
    elsewhere = OtherMetrics(plane.others.services, plane.others.forwarding, account_of(SCALER))

    async def work() -> None:
        status = PolicyStatus(Inside(fenced, plane.catalog, SERVER, "boxship-control"), plane.catalog)
        runner = controllers(
            fenced,
            plane.catalog,
            plane.authorizer,
            plane.authority,
            plane.tokens,
            nodes,
            pool,
            elsewhere,
            signing=signing,
            shared=plane.scheduling.shared,
        )
        await together(status.follow, runner.run)

    await lead.run(work)


async def lead_scheduler(plane: Plane, lead: Leading) -> None:
    """Without end: it runs whenever this control plane leads."""
    fenced = Fenced(plane.api, lead)
    await lead.run(lambda: plane.scheduling.run(fenced))


def is_shared(options: ControlOptions) -> bool:
    """Whether other API servers may stand over the same store."""
    return options.store.startswith("etcd:")


async def _open_store(options: ControlOptions) -> Store:
    return await open_store(options.store, history_seconds=history_seconds(options), files=files_of(options))


def listeners(options: ControlOptions, certificates: Certificates) -> Iterator[TlsAddress]:
    yield TlsAddress(options.host, options.port, certificates, clients=False)
    if options.also_listen:
        host, _, port = options.also_listen.rpartition(":")
        yield TlsAddress(host, int(port), certificates, clients=False, early=True)


def site_of(options: ControlOptions, authority: ClusterAuthority) -> objects.Site:
    """Where this server stands. Pods cannot reach a loopback address: they get the other one, or the machine's own."""
    if options.also_listen:
        host, _, port = options.also_listen.rpartition(":")
        return _site(options, authority, host, int(port))
    host = options.advertise.rpartition(":")[0].strip("[]")
    local = host == "localhost" or host.startswith("127.") or host == "::1"
    address = (outgoing_address() or options.service_cidr.partition("/")[0]) if local else host
    return _site(options, authority, address, options.port)


def _site(options: ControlOptions, authority: ClusterAuthority, address: str, port: int) -> objects.Site:
    return objects.Site(
        address=address,
        port=port,
        server=f"https://{options.advertise}",
        service_cidrs=(options.service_cidr,),
        authority=authority.ca_pem,
        front_proxy_authority=authority.front_proxy_ca_pem,
    )
