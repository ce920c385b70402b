"""The ranges that cluster addresses come from, and a free one of them.

The ranges are those of the ServiceCIDR objects that are not being deleted; before there are any, the one that the
server was started with. Source: "Extend Service IP Ranges", "Service ClusterIP allocation" (people ask for the first
addresses of a range, so those are given out last).
"""

import asyncio
import contextlib
import ipaddress
import random
import uuid
from collections.abc import Callable, Sequence

import msgspec

from boxship.cluster.api.clock import Clock
from boxship.cluster.api.storage import ROOT, encode
from boxship.cluster.objects import Object
from boxship.cluster.objects.failure import internal
from boxship.cluster.objects.times import stamp
from boxship.store import Entry, Store

IP_KEY = f"{ROOT}ipaddresses/"
RANGES_KEY = f"{ROOT}servicecidrs/"
GUESSES = 64  # random tries before it is asked what is taken
MANAGER = "ipaddress.kubernetes.io/managed-by"
OURS = "ipallocator.k8s.io"
Range = ipaddress.IPv4Network
Opened = Callable[[Entry], Entry]  # what was sealed, readable


def as_it_is(entry: Entry) -> Entry:
    """Of a store in which nothing is sealed."""
    return entry


class AddressPool:
    """Of a cluster with IPv4 addresses."""

    def __init__(self, store: Store, cidr: str, opened: Opened) -> None:
        self._store = store
        self._opened = opened
        self._first = Range(cidr)

    async def ranges(self) -> Sequence[Range]:
        """The one of the beginning comes first."""
        found: dict[Range, None] = {}
        entries = (await self._store.list(RANGES_KEY)).entries
        for entry in entries:
            cidr = msgspec.json.decode(self._opened(entry).value)
            if cidr["metadata"].get("deletionTimestamp"):
                continue
            for text in (cidr.get("spec") or {}).get("cidrs") or ():
                with contextlib.suppress(ValueError):
                    found[Range(text)] = None
        if not entries:
            return [self._first]
        return sorted(found, key=lambda one: (one != self._first, int(one.network_address)))

    async def free(self) -> str:
        """An address that nobody has. Raises Failure 500."""
        ranges = await self.ranges()
        for one in ranges:
            upper = _upper(one)
            for _ in range(GUESSES):
                ip = str(one[random.choice(upper)])
                if await self._store.get(f"{IP_KEY}{ip}") is None:
                    return ip
        taken = {entry.key[len(IP_KEY) :] for entry in (await self._store.list(IP_KEY)).entries}
        for one in ranges:
            found = await asyncio.to_thread(_free_of, one, taken)
            if found:
                return found
        raise internal("failed to allocate a serviceIP: range is full")


def _upper(one: Range) -> range:
    """Which addresses are given out first, counted from the network's own."""
    size = one.num_addresses
    band = min(max(16, size // 16), 256) if size >= 64 else 0
    return range(band + 1, max(size - 1, band + 2))


def _free_of(one: Range, taken: set[str]) -> str:
    """ "" where there is none."""
    upper = _upper(one)
    for places in (upper, range(1, upper.start)):
        if not places:
            continue
        first = random.randrange(len(places))
        for step in range(len(places)):
            ip = str(one[places[(first + step) % len(places)]])
            if ip not in taken:
                return ip
    return ""


def address_object(service: Object, ip: str, clock: Clock) -> bytes:
    """The IPAddress of a Service's address, as it is stored."""
    metadata = service["metadata"]
    parent = {"resource": "services", "namespace": metadata.get("namespace", ""), "name": metadata.get("name", "")}
    return encode(
        {
            "kind": "IPAddress",
            "apiVersion": "networking.k8s.io/v1",
            "metadata": {
                "name": ip,
                "uid": str(uuid.uuid4()),
                "creationTimestamp": stamp(clock.now()),
                "labels": {"ipaddress.kubernetes.io/ip-family": "IPv4", MANAGER: OURS},
            },
            "spec": {"parentRef": parent},
        }
    )
