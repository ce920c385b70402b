"""What the node's parts are made of: one value, given to each of them."""

import msgspec

from boxship.cluster.access import Client
from boxship.cluster.node.identity.certificates import NodeCertificates
from boxship.engine import Engine
from boxship.main.node_record import NodeRecord
from boxship.main.rooms import Rooms
from boxship.network.cluster import ClusterNetwork, Site
from boxship.transport.client import HttpClient


class Means(msgspec.Struct, frozen=True, kw_only=True):
    """`address` is the node's own, `gateway` the pod network's on this machine."""

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
