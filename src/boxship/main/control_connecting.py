"""Puts together what carries clients on to pods and nodes."""

from collections.abc import Mapping

from boxship.cluster.api.admission import Lookup
from boxship.cluster.api.api import Handler
from boxship.cluster.api.connecting.identity import Identity
from boxship.cluster.api.connecting.places import Place, Places
from boxship.cluster.api.drafts import Chain
from boxship.cluster.api.gate import Gate
from boxship.cluster.api.usage.answering import UsageAnswers
from boxship.cluster.api.usage.collecting import Collector
from boxship.doors.kube.connecting import Connecting
from boxship.errors import Unavailable
from boxship.pki.cluster import ClusterAuthority
from boxship.transport.client import HttpClient, Waits
from boxship.transport.upgrading import Dialer

DAY = 86_400.0  # seconds; a log that is followed may be silent for long
WAITS = Waits(connect_seconds=10.0, first_byte_seconds=DAY, stall_seconds=DAY, window_seconds=DAY, slowest_bytes=0)
CONNECTIONS = 10_000  # to one node: each log that is followed is one
SAMPLE_BYTES = 32 << 20
CLIENT = "apiserver-kubelet-client"


def connecting_client() -> HttpClient:
    """The client for connections to nodes, pods and services."""
    return HttpClient(waits=WAITS, connections_per_host=CONNECTIONS, user_agent="boxship-control")


def identity(authority: ClusterAuthority) -> Identity:
    return Identity(*authority.client(CLIENT), authority.client_ca)


def connecting(gate: Gate, lookup: Lookup, chain: Chain, authority: ClusterAuthority, client: HttpClient) -> Connecting:
    return Connecting(gate, Places(lookup, chain), identity(authority), client, Dialer())


def collector(lookup: Lookup, authority: ClusterAuthority, client: HttpClient) -> Collector:
    """Of what nodes and pods use."""
    shown = identity(authority)

    async def fetch(place: Place) -> str:
        async with client.request("GET", place.url, trust=shown.trust(place)) as answer:
            if answer.status != 200:
                raise Unavailable(f"{place.url} answered {answer.status}")
            return (await answer.read(SAMPLE_BYTES)).decode(errors="replace")

    return Collector(lookup, fetch)


def usage_handlers(lookup: Lookup, collecting: Collector) -> Mapping[str, Handler]:
    """Who answers for metrics.k8s.io."""
    answers = UsageAnswers(lookup, collecting)
    return {"metrics.k8s.io/v1beta1/pods": answers.pods, "metrics.k8s.io/v1beta1/nodes": answers.nodes}
