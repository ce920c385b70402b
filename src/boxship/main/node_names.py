"""The cluster's nameserver on this machine, and what it shares with the machine's own networks: their containers find
services, and pods find their containers."""

from collections.abc import Sequence

from boxship.cluster.access import Client
from boxship.cluster.dns.server import ClusterDns
from boxship.network.networks import Networks

PORT = 53


def cluster_dns(client: Client, networks: Networks, addresses: Sequence[str], domain: str) -> ClusterDns:
    """Ready to be served at these addresses, which need not be on any interface yet."""
    places = [(address, PORT) for address in addresses]
    return ClusterDns(client, networks.nameservers, places, domain=domain, neighbours=networks.neighbours)


async def serve_names(dns: ClusterDns, networks: Networks) -> None:
    """Without end."""
    with networks.elsewhere.asked(dns):
        await dns.run()
