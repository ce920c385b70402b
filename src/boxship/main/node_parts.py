"""The node's parts in the order in which they begin: one visible list. Each gets what it needs by its constructor; who
fails is started again by `node_supervising`."""

import contextlib
from collections.abc import Sequence

import msgspec

from boxship.cluster.access import Client
from boxship.cluster.dns.server import ClusterDns
from boxship.cluster.node.engine_runtime import EngineRuntime
from boxship.cluster.node.identity.certificates import NodeCertificates
from boxship.cluster.proxy.services import ServiceProxy
from boxship.engine import Engine
from boxship.main.node_record import NodeRecord
from boxship.main.node_supervising import Part
from boxship.main.rooms import Rooms
from boxship.network.cluster import ClusterNetwork, Site
from boxship.network.files import FALLBACK_NAMESERVERS
from boxship.network.hostfiles import HostFiles
from boxship.network.model import Settings
from boxship.transport.client import HttpClient

PORT, DNS_PORT = 10250, 53


class Means(msgspec.Struct, frozen=True, kw_only=True):
    """What parts are made of. `address` is the node's own, `gateway` the pod network's on this machine."""

    record: NodeRecord
    address: str
    gateway: str
    network: ClusterNetwork
    site: Site
    client: Client
    certificates: NodeCertificates
    engine: Engine
    rooms: Rooms
    http: HttpClient


async def make_parts(means: Means, stack: contextlib.AsyncExitStack) -> Sequence[Part]:
    """All of them, ready to run. What has to be closed is put on the stack."""
    EngineRuntime(means.engine, means.rooms.data)
    return [_services(means), _dns(means)]


def _services(means: Means) -> Part:
    node, answered = means.record.node, means.site.answered
    return Part("services", lambda: ServiceProxy(means.client, means.network, node, answered=answered).run())


def _dns(means: Means) -> Part:
    places = [(address, DNS_PORT) for address in means.site.answered]
    host = HostFiles(Settings())

    def nameservers() -> Sequence[str]:
        return host.config.nameservers or FALLBACK_NAMESERVERS

    return Part("names", lambda: ClusterDns(means.client, nameservers, places, domain=means.record.domain).run())
