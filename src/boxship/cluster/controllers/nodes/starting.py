"""All controllers of nodes with their caches: one list."""

import ipaddress
from collections.abc import Awaitable, Callable

import msgspec

from boxship.cluster.access import Client
from boxship.cluster.controllers.nodes.addressing import NodeAddresses
from boxship.cluster.controllers.nodes.blocks import Blocks
from boxship.cluster.controllers.nodes.evicting import TaintEviction
from boxship.cluster.controllers.nodes.facts import LEASES, RESOURCE, facts_of, renewal_of
from boxship.cluster.controllers.nodes.lifecycle import NodeLifecycle, Settings
from boxship.cluster.controllers.nodes.residents import Residents
from boxship.cluster.controllers.podgarbage import FINISHED_LIMIT, PodGarbage
from boxship.cluster.controllers.workloads.times import Now
from boxship.cluster.reconcile.cache import Cache
from boxship.cluster.reconcile.recording import Recorder
from boxship.cluster.reconcile.runner import Controller


class NodeOptions(msgspec.Struct, frozen=True):
    """`range` is shared out among the nodes in blocks of /`bits`; "" gives them none. `finished`: pods that stay."""

    range: str = "10.244.0.0/16"
    bits: int = 24
    finished: int = FINISHED_LIMIT
    watching: Settings = Settings()


class NodeParts(msgspec.Struct, frozen=True):
    controllers: tuple[Controller, ...]
    parts: tuple[Callable[[], Awaitable[None]], ...]


def make_nodes(
    client_of: Callable[[str], Client], own: Client, pods: Cache, recorder: Recorder, options: NodeOptions, now: Now
) -> NodeParts:
    """`pods` keeps workloads' facts; `own` fills the caches."""
    nodes = Cache(own, RESOURCE, keep=facts_of)
    residents = Residents(pods)
    client = client_of("node-controller")
    events = recorder.events_of(client, "node-controller")
    lifecycle = NodeLifecycle(
        client, nodes, Cache(own, LEASES, keep=renewal_of), residents, events, now, options.watching
    )
    eviction = TaintEviction(client, nodes, residents, recorder.events_of(client, TaintEviction.name), now)
    garbage = PodGarbage(client_of(PodGarbage.name), nodes, residents, now, options.finished)
    controllers: list[Controller] = [lifecycle, eviction, garbage]
    if options.range:
        blocks = Blocks(ipaddress.ip_network(options.range), options.bits)
        controllers.append(NodeAddresses(client, nodes, blocks, events))
    return NodeParts(tuple(controllers), (lifecycle.run, garbage.run))
