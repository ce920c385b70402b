"""NetworkPolicy objects → walls, pure: which pods a policy selects, whom it lets pass, and by which named groups of
addresses that is said. IPv6 blocks match nobody here."""

from collections.abc import Iterable, Mapping, Sequence

import msgspec

from boxship.cluster.objects import Object
from boxship.cluster.objects.selectors import EVERYTHING, LabelSelector, of_object
from boxship.cluster.proxy.facts import is_ipv4, subnets
from boxship.network.policies_rules import Block, Match, Ports, Wall, Walls

Key = tuple[str, str]
Labels = Mapping[str, str]


class PodFacts(msgspec.Struct, frozen=True, gc=False):
    """A pod with an address of its own, "" while it has none (not yet, or it has ended). `named` are its container
    ports: (name, protocol) → port."""

    uid: str
    address: str
    node: str
    labels: dict[str, str]
    named: dict[tuple[str, str], int]


class Group(msgspec.Struct, frozen=True):
    """Whose addresses: pods of one namespace, or (namespace "") of all those that `namespaces` selects."""

    namespace: str
    namespaces: LabelSelector
    pods: LabelSelector

    @property
    def name(self) -> str:
        return f"{self.namespace}|{self.namespaces.text}|{self.pods.text}"

    def matches(self, namespace: str, labels: Labels | None, pod: PodFacts) -> bool:
        """`labels` are the namespace's; None: it is not known."""
        if self.namespace:
            return namespace == self.namespace and self.pods.matches(pod.labels)
        return labels is not None and self.namespaces.matches(labels) and self.pods.matches(pod.labels)


class PolicyFacts(msgspec.Struct, frozen=True):
    """A policy: whom it selects, and its walls (None: it says nothing about the direction)."""

    pods: LabelSelector
    incoming: Wall | None
    outgoing: Wall | None
    groups: tuple[Group, ...]
    named: tuple[tuple[str, str], ...]  # port name, protocol


def pod_facts(pod: Object) -> PodFacts | None:
    """None: no policy is for it, and it is nobody's peer (host network)."""
    metadata, spec, status = pod["metadata"], pod.get("spec") or {}, pod.get("status") or {}
    address = status.get("podIP", "")
    if spec.get("hostNetwork"):
        return None
    ended = status.get("phase") in ("Succeeded", "Failed")
    sidecars = [item for item in spec.get("initContainers") or () if item.get("restartPolicy") == "Always"]
    return PodFacts(
        uid=metadata.get("uid", ""),
        address=address if is_ipv4(address) and not ended else "",
        node=spec.get("nodeName", ""),
        labels=metadata.get("labels") or {},
        named={
            (port["name"], (port.get("protocol") or "TCP").lower()): port["containerPort"]
            for container in (*(spec.get("containers") or ()), *sidecars)
            for port in container.get("ports") or ()
            if port.get("name")
        },
    )


def socket_key(name: str, protocol: str) -> str:
    return f"{name}/{protocol}"


def policy_facts(policy: Object) -> PolicyFacts:
    metadata, spec = policy["metadata"], policy.get("spec") or {}
    namespace = metadata["namespace"]
    types = spec.get("policyTypes") or (["Ingress", "Egress"] if spec.get("egress") else ["Ingress"])
    groups: dict[str, Group] = {}
    named: set[tuple[str, str]] = set()

    def wall(direction: str, rules: Iterable[Object], peers: str) -> Wall:
        matches = [_match(namespace, rule.get(peers), rule.get("ports"), groups, named) for rule in rules]
        return Wall(f"{namespace}/{metadata['name']}/{direction}", tuple(matches))

    incoming = wall("in", spec.get("ingress") or (), "from") if "Ingress" in types else None
    outgoing = wall("out", spec.get("egress") or (), "to") if "Egress" in types else None
    selector = of_object(spec.get("podSelector") or {})
    return PolicyFacts(selector, incoming, outgoing, tuple(groups.values()), tuple(sorted(named)))


def _match(
    namespace: str,
    peers: Sequence[Object] | None,
    ports: Sequence[Object] | None,
    groups: dict[str, Group],
    named: set[tuple[str, str]],
) -> Match:
    names, blocks = [], []
    for peer in peers or ():
        if "ipBlock" in peer:
            blocks += _block(peer["ipBlock"])
            continue
        group = _group(namespace, peer)
        groups[group.name] = group
        names.append(group.name)
    ranges, sockets = [], []
    for port in ports or ():
        protocol = (port.get("protocol") or "TCP").lower()
        number = port.get("port")
        if isinstance(number, str):
            named.add((number, protocol))
            sockets.append(socket_key(number, protocol))
        else:
            ranges.append(Ports(protocol, number or 0, port.get("endPort") or number or 0))
    return Match(not peers, tuple(names), tuple(blocks), not ports, tuple(ranges), tuple(sockets))


def _group(namespace: str, peer: Object) -> Group:
    pods = of_object(peer["podSelector"]) if peer.get("podSelector") is not None else EVERYTHING
    if peer.get("namespaceSelector") is None:
        return Group(namespace, EVERYTHING, pods)
    return Group("", of_object(peer["namespaceSelector"]), pods)


def _block(block: Object) -> list[Block]:
    without = subnets(block.get("except") or ())
    return [Block(subnet, without) for subnet in subnets([block["cidr"]])]


Sides = tuple[Walls | None, Walls | None]  # for what comes in and for what goes out; None: no policy is about it


def walls_of(selected: Iterable[PolicyFacts]) -> Sides:
    """The walls of a pod that these policies select."""
    found = list(selected)
    incoming = sorted((policy.incoming for policy in found if policy.incoming), key=lambda wall: wall.name)
    outgoing = sorted((policy.outgoing for policy in found if policy.outgoing), key=lambda wall: wall.name)
    return tuple(incoming) or None, tuple(outgoing) or None
