"""All controllers with their caches: one list. Who composes the process gives a client for each name."""

from collections.abc import Callable

import msgspec

from boxship.cluster.access import Client
from boxship.cluster.controllers.accounts import DEFAULT, ServiceAccounts
from boxship.cluster.controllers.authorities import NAME, RootAuthorities
from boxship.cluster.reconcile.cache import Cache
from boxship.cluster.reconcile.runner import Controller, Runner

Clients = Callable[[str], Client]  # the name of a service account in kube-system → a client that acts as it


class Means(msgspec.Struct, frozen=True):
    """What controllers need besides clients. `reader` is the client by which all caches are filled."""

    client_of: Clients
    reader: Client
    authority: bytes  # the cluster's certificate authority, PEM


def make_runner(means: Means) -> Runner:
    return Runner(make_controllers(means))


def make_controllers(means: Means) -> list[Controller]:
    client_of, reader = means.client_of, means.reader
    namespaces = Cache(reader, "v1/namespaces")
    accounts = Cache(reader, "v1/serviceaccounts", fields=f"metadata.name={DEFAULT}")
    authorities = Cache(reader, "v1/configmaps", fields=f"metadata.name={NAME}")
    return [
        ServiceAccounts(client_of(ServiceAccounts.name), namespaces, accounts),
        RootAuthorities(client_of(RootAuthorities.name), namespaces, authorities, means.authority),
    ]
