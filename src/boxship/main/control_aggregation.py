"""Puts together what is needed for groups that other servers serve."""

import msgspec

from boxship.cluster.access import Client
from boxship.cluster.api.admission import Lookup
from boxship.cluster.api.aggregation.availability import Availability
from boxship.cluster.api.aggregation.discovery import Joined
from boxship.cluster.api.aggregation.forwarding import Forwarding
from boxship.cluster.api.aggregation.services import Services
from boxship.cluster.api.catalog import Catalog
from boxship.cluster.api.clock import Clock
from boxship.cluster.api.storage import Storage
from boxship.pki.cluster import ClusterAuthority
from boxship.transport.client import HttpClient, Waits

DAY = 86_400.0  # seconds; a watch may be silent for long
WAITS = Waits(connect_seconds=5.0, stall_seconds=DAY, window_seconds=DAY, slowest_bytes=0)
CONNECTIONS = 1000  # to one server: each watch is one
FRONT_PROXY = "front-proxy-client"


class Aggregation(msgspec.Struct, frozen=True):
    """The parts; `availability` is the one that runs."""

    services: Services
    forwarding: Forwarding
    joined: Joined
    availability: Availability


def passing_client() -> HttpClient:
    """The client for connections to other servers of APIs."""
    return HttpClient(waits=WAITS, connections_per_host=CONNECTIONS, user_agent="boxship-control")


def aggregation(
    storage: Storage,
    lookup: Lookup,
    catalog: Catalog,
    itself: Client,
    clock: Clock,
    authority: ClusterAuthority,
    client: HttpClient,
) -> Aggregation:
    """`itself` acts for the API, without admission."""
    services = Services(storage)
    forwarding = Forwarding(client, lookup, *authority.client(FRONT_PROXY))
    joined = Joined(services, forwarding)
    return Aggregation(services, forwarding, joined, Availability(services, forwarding, joined, catalog, itself, clock))
