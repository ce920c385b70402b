"""Who is called what: the names and addresses of the containers on networks that resolve names. In memory, no I/O.

A question is always asked by a container, and answered only with what lies on the networks that it is on itself.
"""

import random
from collections.abc import Iterable

from boxship.network.model import AttachmentRecord, Network


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

    def __init__(self) -> None:
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

    def forget(self, container_id: str) -> None:
        """Drop a container's names."""
        for network_id in self._memberships.pop(container_id, {}):
            names = self._networks[network_id]
            for name in [name for name, found in names.addresses.items() if container_id in found]:
                address = names.addresses[name].pop(container_id)
                names.owners.pop(address, None)
                if not names.addresses[name]:
                    del names.addresses[name]
            if not names.addresses:
                del self._networks[network_id]

    def addresses(self, container_id: str, name: str) -> list[str]:
        """The IPv4 addresses that a container sees under a name, in any order; a name may carry its network's name
        behind a dot. Empty where the name is not known."""
        memberships = self._memberships.get(container_id, {})
        wanted = _key(name)
        found: list[str] = []
        for network_id, links in memberships.items():
            known = self._networks[network_id].addresses
            found += known.get(links.get(wanted, wanted), {}).values()
        stem, dot, last = wanted.rpartition(".")
        if not found and dot:
            for network_id in memberships:
                names = self._networks[network_id]
                if names.network_name.lower() == last:
                    found += names.addresses.get(stem, {}).values()
        found = list(dict.fromkeys(found))
        random.shuffle(found)
        return found

    def name(self, container_id: str, address: str) -> str:
        """The full name ("container.network") of an address on a container's networks, "" where it is not known."""
        for network_id in self._memberships.get(container_id, {}):
            names = self._networks[network_id]
            if owner := names.owners.get(address):
                return f"{owner}.{names.network_name}"
        return ""
