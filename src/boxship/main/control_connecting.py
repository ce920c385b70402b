"""Puts together what carries clients on to pods and nodes."""

from boxship.cluster.api.admission import Lookup
from boxship.cluster.api.connecting.places import Places
from boxship.cluster.api.drafts import Chain
from boxship.cluster.api.gate import Gate
from boxship.doors.kube.connecting import Connecting, Identity
from boxship.pki.cluster import ClusterAuthority
from boxship.transport.client import HttpClient, Waits
from boxship.transport.upgrading import Dialer

DAY = 86_400.0  # seconds; a log that is followed may be silent for long
WAITS = Waits(connect_seconds=10.0, first_byte_seconds=DAY, stall_seconds=DAY, window_seconds=DAY, slowest_bytes=0)
CONNECTIONS = 10_000  # to one node: each log that is followed is one
CLIENT = "apiserver-kubelet-client"


def connecting_client() -> HttpClient:
    """The client for connections to nodes, pods and services."""
    return HttpClient(waits=WAITS, connections_per_host=CONNECTIONS, user_agent="boxship-control")


def connecting(gate: Gate, lookup: Lookup, chain: Chain, authority: ClusterAuthority, client: HttpClient) -> Connecting:
    identity = Identity(*authority.client(CLIENT), authority.client_ca)
    return Connecting(gate, Places(lookup, chain), identity, client, Dialer())
