"""All controllers with their caches: one list. Who composes the process gives a client for each name."""

from collections.abc import Callable
from datetime import UTC, datetime

import msgspec

from boxship.cluster.access import Client, Discovery
from boxship.cluster.controllers.accounts import DEFAULT, ServiceAccounts
from boxship.cluster.controllers.authorities import NAME, RootAuthorities
from boxship.cluster.controllers.clusterroles import RESOURCE as CLUSTER_ROLES
from boxship.cluster.controllers.clusterroles import ClusterRoleAggregation
from boxship.cluster.controllers.garbage.collector import GarbageCollector
from boxship.cluster.controllers.namespaces import Namespaces
from boxship.cluster.reconcile.cache import Cache
from boxship.cluster.reconcile.runner import Controller, Runner

Clients = Callable[[str], Client]  # the name of a service account in kube-system → a client that acts as it


class Means(msgspec.Struct, frozen=True):
    """What controllers need besides clients. `reader` is the client by which all caches are filled."""

    client_of: Clients
    reader: Client
    discovery: Discovery
    authority: bytes  # the cluster's certificate authority, PEM


def make_runner(means: Means) -> Runner:
    collector = GarbageCollector(means.client_of(GarbageCollector.name), means.reader, means.discovery)
    return Runner([*make_controllers(means), collector], [collector.run])


def make_controllers(means: Means) -> list[Controller]:
    """Those that are nothing but controllers."""
    client_of, reader = means.client_of, means.reader
    namespaces = Cache(reader, "v1/namespaces")
    accounts = Cache(reader, "v1/serviceaccounts", fields=f"metadata.name={DEFAULT}")
    authorities = Cache(reader, "v1/configmaps", fields=f"metadata.name={NAME}")
    return [
        ServiceAccounts(client_of(ServiceAccounts.name), namespaces, accounts),
        RootAuthorities(client_of(RootAuthorities.name), namespaces, authorities, means.authority),
        ClusterRoleAggregation(client_of(ClusterRoleAggregation.name), Cache(reader, CLUSTER_ROLES)),
        Namespaces(client_of(Namespaces.name), namespaces, means.discovery, stamp_now),
    ]


def stamp_now() -> str:
    """The time as metav1.Time is written."""
    return datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
