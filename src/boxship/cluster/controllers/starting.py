"""All controllers with their caches: one list. Who composes the process gives a client for each name."""

import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta

import msgspec

from boxship.cluster.access import Client, Discovery
from boxship.cluster.controllers.accounts import ServiceAccounts
from boxship.cluster.controllers.ages import TOKEN_TYPE, EventAges, TokenAges
from boxship.cluster.controllers.authorities import NAME, RootAuthorities
from boxship.cluster.controllers.autoscaling.controller import RESOURCE as SCALERS
from boxship.cluster.controllers.autoscaling.controller import HorizontalPodAutoscalers
from boxship.cluster.controllers.autoscaling.controller import Settings as ScalerSettings
from boxship.cluster.controllers.autoscaling.measuring import Elsewhere, Measuring, Nowhere
from boxship.cluster.controllers.certificates import LIFE as SIGNING
from boxship.cluster.controllers.certificates import RESOURCE as REQUESTS
from boxship.cluster.controllers.certificates import CertificateRequests
from boxship.cluster.controllers.clusterroles import RESOURCE as CLUSTER_ROLES
from boxship.cluster.controllers.clusterroles import ClusterRoleAggregation
from boxship.cluster.controllers.disruption.controller import RESOURCE as BUDGETS
from boxship.cluster.controllers.disruption.controller import Disruption
from boxship.cluster.controllers.disruption.leftovers import StaleDisruptions
from boxship.cluster.controllers.endpoints.starting import make_endpoints
from boxship.cluster.controllers.flows import LEVELS, SCHEMAS, FlowSchemas
from boxship.cluster.controllers.garbage.collector import GarbageCollector
from boxship.cluster.controllers.joining import MAPS, ClusterInfoSigner
from boxship.cluster.controllers.joining import NAME as CLUSTER_INFO
from boxship.cluster.controllers.namespaces import Namespaces
from boxship.cluster.controllers.nodes.starting import NodeOptions, make_nodes
from boxship.cluster.controllers.protection import protections
from boxship.cluster.controllers.quotas import RESOURCE as QUOTAS
from boxship.cluster.controllers.quotas import ResourceQuotas
from boxship.cluster.controllers.scaling import Scales
from boxship.cluster.controllers.services.balancing import Pool
from boxship.cluster.controllers.services.starting import make_services
from boxship.cluster.controllers.storage.starting import make_storage
from boxship.cluster.controllers.tokens import TYPE, Sign, TokenSecrets, uid_only
from boxship.cluster.controllers.workloads.starting import Workloads, make_workloads
from boxship.cluster.objects.times import stamp
from boxship.cluster.reconcile.cache import Cache
from boxship.cluster.reconcile.runner import Controller, Runner
from boxship.pki.certificates import Issuer

Clients = Callable[[str], Client]  # the name of a service account in kube-system → a client that acts as it


class Means(msgspec.Struct, frozen=True):
    """What controllers need besides clients. `own` acts as the controller manager itself: all caches are filled by it,
    and what is no single controller's is done by it."""

    client_of: Clients
    own: Client
    discovery: Discovery
    authority: bytes  # the cluster's certificate authority, PEM
    issuer: Issuer  # the same with its key
    sign: Sign  # tokens that lie in secrets
    nodes: NodeOptions = NodeOptions()
    pool: Pool | None = None  # of load balancers; None: the nodes' own addresses
    elsewhere: Elsewhere = Nowhere()  # metrics that other servers serve
    scalers: ScalerSettings = ScalerSettings()
    signing: timedelta = SIGNING  # how long what is signed holds, at the longest


def make_runner(means: Means) -> Runner:
    """All of them."""
    client_of, own, discovery = means.client_of, means.own, means.discovery
    namespaces = Cache(own, "v1/namespaces")
    accounts = Cache(own, "v1/serviceaccounts", keep=uid_only)
    quotas = ResourceQuotas(client_of(ResourceQuotas.name), Cache(own, QUOTAS), discovery, now)
    collector = GarbageCollector(client_of(GarbageCollector.name), own, discovery, quotas.told)
    events = EventAges(client_of(EventAges.name), now)
    workloads = make_workloads(client_of, own)
    controllers: list[Controller] = [
        ServiceAccounts(client_of(ServiceAccounts.name), namespaces, accounts),
        RootAuthorities(
            client_of(RootAuthorities.name),
            namespaces,
            Cache(own, "v1/configmaps", fields=f"metadata.name={NAME}"),
            means.authority,
        ),
        ClusterRoleAggregation(client_of(ClusterRoleAggregation.name), Cache(own, CLUSTER_ROLES)),
        Namespaces(client_of(Namespaces.name), namespaces, discovery, stamp_now),
        TokenSecrets(own, accounts, Cache(own, "v1/secrets", fields=f"type={TYPE}"), means.sign, means.authority),
        CertificateRequests(
            client_of(CertificateRequests.name), Cache(own, REQUESTS), means.issuer, now, means.signing
        ),
        TokenAges(client_of(TokenAges.name), Cache(own, "v1/secrets", fields=f"type={TOKEN_TYPE}"), now),
        ClusterInfoSigner(
            client_of(ClusterInfoSigner.name),
            Cache(own, MAPS, fields=f"metadata.name={CLUSTER_INFO}"),
            Cache(own, "v1/secrets", fields=f"type={TOKEN_TYPE}"),
            now,
        ),
        FlowSchemas(client_of(FlowSchemas.name), Cache(own, SCHEMAS), Cache(own, LEVELS, keep=bool), stamp_now),
        *protections(client_of, own, workloads.pods.cache),
        events,
        quotas,
        collector,
    ]
    controllers += workloads.controllers
    nodes = make_nodes(client_of, own, workloads.pods.cache, workloads.recorder, means.nodes, time.time)
    controllers += nodes.controllers
    controllers += make_storage(client_of, own, workloads.pods.cache, workloads.recorder)
    controllers += _make_disruption(means, workloads)
    controllers.append(_make_scaler(means, workloads))
    endpoints = make_endpoints(client_of, own)
    controllers += endpoints.controllers
    controllers += make_services(
        client_of, own, endpoints.services, endpoints.recorder, means.pool, means.issuer, means.nodes.range
    )
    return Runner(controllers, [collector.run, events.run, *workloads.parts, *nodes.parts, *endpoints.parts])


def _make_disruption(means: Means, workloads: Workloads) -> list[Controller]:
    client, pods = means.client_of(Disruption.name), workloads.pods.cache
    events = workloads.recorder.events_of(client, "controllermanager")
    budgets = Cache(means.own, BUDGETS)
    return [
        Disruption(client, budgets, pods, Scales(client, means.discovery), events, time.time),
        StaleDisruptions(client, pods, time.time),
    ]


def _make_scaler(means: Means, workloads: Workloads) -> Controller:
    client = means.client_of(HorizontalPodAutoscalers.name)
    scales = Scales(client, means.discovery)
    measuring = Measuring(client, means.elsewhere, scales)
    events = workloads.recorder.events_of(client, HorizontalPodAutoscalers.name)
    return HorizontalPodAutoscalers(
        client, Cache(means.own, SCALERS), measuring, scales, events, time.time, means.scalers
    )


def now() -> datetime:
    return datetime.now(UTC)


def stamp_now() -> str:
    """The time as metav1.Time is written."""
    return stamp(now())
