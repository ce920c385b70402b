"""The node's parts in the order in which they begin: one visible list. Each gets what it needs by its constructor; who
fails is started again by `node_supervising`."""

import contextlib
from collections.abc import Sequence

from boxship.cluster.dns.server import ClusterDns
from boxship.cluster.proxy.announcing import Announcer
from boxship.cluster.proxy.led import Led
from boxship.cluster.proxy.ranges import ServiceRanges
from boxship.cluster.proxy.routes import PodRoutes
from boxship.cluster.proxy.services import ServiceProxy
from boxship.main.node_agent import Pods
from boxship.main.node_ingress import ingress_server
from boxship.main.node_means import Means
from boxship.main.node_names import cluster_dns, serve_names
from boxship.main.node_policies import Policies
from boxship.main.node_supervising import Part
from boxship.main.node_traffic import NodeTraffic


async def make_parts(means: Means, stack: contextlib.AsyncExitStack) -> Sequence[Part]:
    """All of them, ready to run. What has to be closed is put on the stack."""
    led = Led()
    policies = Policies(means)
    pods = Pods(means, NodeTraffic(led, means.rooms.networks), policies)
    await pods.listen(stack)
    rules = Part("rules", means.network.keep_rules)
    judging = Part("policies", policies.run)
    network = [rules, _routes(means), judging, _ranges(means), _services(means, led), _announcer(means)]
    return [Part("pods", pods.run), *network, _dns(means), _ingress(means)]


def _routes(means: Means) -> Part:
    return Part("routes", lambda: PodRoutes(means.client, means.network, means.record.node).run())


def _ranges(means: Means) -> Part:
    return Part("ranges", lambda: ServiceRanges(means.client, means.network).run())


def _announcer(means: Means) -> Part:
    return Part("announcer", lambda: Announcer(means.client, means.network, means.record.node).run())


def _services(means: Means, led: Led) -> Part:
    return Part("services", lambda: ServiceProxy(means.client, means.network, means.record.node, led).run())


def _ingress(means: Means) -> Part:
    return Part("ingress", lambda: ingress_server(means.client, means.rooms, means.address).run())


def _dns(means: Means) -> Part:
    networks = means.rooms.networks

    def dns() -> ClusterDns:
        return cluster_dns(means.client, networks, means.site.answered, means.record.domain)

    return Part("names", lambda: serve_names(dns(), networks))
