"""Who is called what: the names and addresses of the containers on networks that resolve names. In memory, no I/O.

A question is always asked by a container, and answered only with what lies on the networks that it is on itself. A name
that several containers have is answered with all of them in a changing order; of a service group, with those members
that stand best; a name that has a virtual address, with that alone.
"""

import random
from collections.abc import Iterable, Mapping

import msgspec

from boxship.network import groups
from boxship.network.model import AttachmentRecord, Network, VirtualAddress


class Found(msgspec.Struct, frozen=True):
    """IPv4 addresses of a name, shuffled. `passing`: they may be others soon, so nobody should remember them."""

    addresses: list[str]
    passing: bool = False


class _Names:
    """The names of one network: name -> container -> address, and address -> container's first name."""

    def __init__(self, name: str) -> None:
        self.network_name = name
        self.addresses: dict[str, dict[str, str]] = {}
        self.owners: dict[str, str] = {}


def _key(name: str) -> str:
    return name.rstrip(".").lower()


class Directory:
    """Filled by attachments, asked by the resolver."""

    def __init__(self, standings: Mapping[str, groups.Standing] | None = None) -> None:
        self._standings = standings if standings is not None else {}
        self._groups: dict[str, str] = {}  # container -> group
        self._virtual: dict[tuple[str, str], dict[str, str]] = {}  # network, name -> group -> address
        self._networks: dict[str, _Names] = {}
        self._memberships: dict[str, dict[str, dict[str, str]]] = {}  # container -> network -> link alias -> target

    def put(self, record: AttachmentRecord, networks: Iterable[Network]) -> None:
        """Learn a container's names anew; what was known of it is forgotten."""
        self.forget(record.container_id)
        resolving = {network.id: network for network in networks if network.resolves}
        memberships: dict[str, dict[str, str]] = {}
        for item in record.endpoints:
            endpoint = item.endpoint
            if endpoint.network_id not in resolving:
                continue
            names = self._networks.setdefault(endpoint.network_id, _Names(resolving[endpoint.network_id].name))
            for name in endpoint.dns_names:
                names.addresses.setdefault(_key(name), {})[record.container_id] = endpoint.ipv4_address
            if endpoint.dns_names:
                names.owners[endpoint.ipv4_address] = endpoint.dns_names[0]
            links = (link.partition(":") for link in item.links)
            memberships[endpoint.network_id] = {_key(alias or target): _key(target) for target, _, alias in links}
        if memberships:
            self._memberships[record.container_id] = memberships
        if memberships and record.group:
            self._groups[record.container_id] = record.group

    def forget(self, container_id: str) -> None:
        """Drop a container's names."""
        self._groups.pop(container_id, None)
        for network_id in self._memberships.pop(container_id, {}):
            names = self._networks[network_id]
            for name in [name for name, found in names.addresses.items() if container_id in found]:
                address = names.addresses[name].pop(container_id)
                names.owners.pop(address, None)
                if not names.addresses[name]:
                    del names.addresses[name]
            if not names.addresses:
                del self._networks[network_id]

    def put_virtual(self, virtual: VirtualAddress) -> None:
        """A name stands for one address on a network."""
        self._virtual.setdefault((virtual.network_id, _key(virtual.name)), {})[virtual.group] = virtual.address

    def forget_virtual(self, virtual: VirtualAddress) -> None:
        key = (virtual.network_id, _key(virtual.name))
        found = self._virtual.get(key, {})
        found.pop(virtual.group, None)
        if not found:
            self._virtual.pop(key, None)

    def look_up(self, container_id: str, name: str) -> Found:
        """What a container sees under a name; a name may carry its network's name behind a dot. Empty where the name is
        not known."""
        memberships = self._memberships.get(container_id, {})
        wanted = _key(name)
        found: list[str] = []
        passing = False
        for network_id, links in memberships.items():
            addresses, grouped = self._on(network_id, links.get(wanted, wanted))
            found, passing = found + addresses, passing or grouped
        stem, dot, last = wanted.rpartition(".")
        if not found and dot:
            for network_id in memberships:
                if self._networks[network_id].network_name.lower() == last:
                    addresses, grouped = self._on(network_id, stem)
                    found, passing = found + addresses, passing or grouped
        found = list(dict.fromkeys(found))
        random.shuffle(found)
        return Found(found, passing)

    def addresses(self, container_id: str, name: str) -> list[str]:
        """The addresses alone."""
        return self.look_up(container_id, name).addresses

    def _on(self, network_id: str, name: str) -> tuple[list[str], bool]:
        """The addresses of a name on one network, and whether a group is among those who have it."""
        if virtual := self._virtual.get((network_id, name)):
            return list(virtual.values()), True
        known = self._networks[network_id].addresses.get(name, {})
        members: dict[str, list[str]] = {}
        for container_id in known:
            if container_id in self._groups:
                members.setdefault(self._groups[container_id], []).append(container_id)
        if not members:
            return list(known.values()), False
        chosen = set(known.keys() - self._groups.keys())
        for group in members.values():
            chosen |= groups.best(group, self._standings)
        return [address for container_id, address in known.items() if container_id in chosen], True

    def on_network(self, name: str, network: str) -> list[str]:
        """What anybody sees under a name on a network of that name."""
        wanted = _key(network)
        places = [place for place, names in self._networks.items() if names.network_name.lower() == wanted]
        return [address for place in places for address in self._on(place, _key(name))[0]]

    def on_any(self, name: str) -> list[str]:
        """The same on the only network that has the name; nothing where several have it."""
        found = [addresses for place in self._networks if (addresses := self._on(place, _key(name))[0])]
        return found[0] if len(found) == 1 else []

    def full_name(self, address: str) -> str:
        """The name ("container.network") that an address has on any network, "" where it is not known."""
        for names in self._networks.values():
            if owner := names.owners.get(address):
                return f"{owner}.{names.network_name}"
        return ""

    def name(self, container_id: str, address: str) -> str:
        """The full name ("container.network") of an address on a container's networks, "" where it is not known."""
        for network_id in self._memberships.get(container_id, {}):
            names = self._networks[network_id]
            if owner := names.owners.get(address):
                return f"{owner}.{names.network_name}"
            for (of, name), addresses in self._virtual.items():
                if of == network_id and address in addresses.values():
                    return f"{name}.{names.network_name}"
        return ""
