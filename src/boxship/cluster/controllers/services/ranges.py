"""The ServiceCIDR controller: says that a range is ready, and lets it go only when no address of it is in use that no
other range has.

Source: documentation "Extend Service IP Ranges"; k8s.io/kubernetes, controller/servicecidrs (conditions and texts).
"""

import ipaddress
from collections.abc import Iterable
from datetime import datetime

from boxship.cluster.access import Client
from boxship.cluster.controllers.workloads.times import Now, stamp
from boxship.cluster.controllers.workloads.writing import write_status
from boxship.cluster.objects import Object
from boxship.cluster.reconcile.cache import Cache, Key
from boxship.cluster.reconcile.queue import Queue
from boxship.cluster.reconcile.recording import Events
from boxship.cluster.reconcile.runner import Again

RESOURCE = "networking.k8s.io/v1/servicecidrs"
ADDRESSES = "networking.k8s.io/v1/ipaddresses"
FINALIZER = "networking.k8s.io/service-cidr-finalizer"
READY, TERMINATING = "Ready", "Terminating"
IS_READY = "Kubernetes Service CIDR is ready"
IN_USE = "There are still IPAddresses referencing the ServiceCIDR, please remove them or create a new ServiceCIDR"
GRACE_SECONDS = 10.0  # that other API servers have to see that it ends


def ranges_of(cidr: Object) -> list[ipaddress.IPv4Network]:
    found = []
    for text in (cidr.get("spec") or {}).get("cidrs") or ():
        try:
            found.append(ipaddress.IPv4Network(text))
        except ValueError:
            continue  # another family: nothing is given out of it here
    return found


def is_needed(cidr: Object, others: Iterable[Object], addresses: Iterable[str]) -> bool:
    """Whether an address in use lies in this range and in no other that stays."""
    own = ranges_of(cidr)
    rest = [one for other in others if not other["metadata"].get("deletionTimestamp") for one in ranges_of(other)]
    for text in addresses:
        try:
            address = ipaddress.IPv4Address(text)
        except ValueError:
            continue
        if any(address in one for one in own) and not any(address in one for one in rest):
            return True
    return False


def condition(status: str, reason: str, message: str, now: float) -> Object:
    return {
        "type": READY,
        "status": status,
        "reason": reason,
        "message": message,
        "lastTransitionTime": stamp(now),
    }


class ServiceRanges:
    name = "service-cidrs-controller"
    workers = 1

    def __init__(self, client: Client, cidrs: Cache, addresses: Cache, events: Events, now: Now) -> None:
        """Of `addresses` nothing is kept but that they are there."""
        self._client = client
        self._cidrs = cidrs
        self._addresses = addresses
        self._events = events
        self._now = now
        self.caches = (cidrs, addresses)
        self.queue: Queue[Key] = Queue()
        cidrs.subscribe(lambda key, old, new: self._wake())
        addresses.subscribe(self._address_changed)

    async def reconcile(self, key: Key) -> Again | None:
        cidr = self._cidrs.get(key)
        if cidr is None:
            return None
        metadata = cidr["metadata"]
        finalizers = list(metadata.get("finalizers") or ())
        if not metadata.get("deletionTimestamp"):
            if FINALIZER not in finalizers:
                cidr = await self._client.update(
                    RESOURCE, {**cidr, "metadata": {**metadata, "finalizers": [*finalizers, FINALIZER]}}
                )
            await self._say(cidr, "True", "", IS_READY)
            return None
        if FINALIZER not in finalizers:
            return None
        others = [one for other, one in self._cidrs.items() if other != key]
        if is_needed(cidr, others, [name for (_, name), _ in self._addresses.items()]):
            await self._say(cidr, "False", TERMINATING, IN_USE)
            return None
        left = self._ends(metadata) + GRACE_SECONDS - self._now()
        if left > 0:
            await self._say(cidr, "False", TERMINATING, "")
            return Again(left)
        finalizers.remove(FINALIZER)
        await self._client.update(RESOURCE, {**cidr, "metadata": {**metadata, "finalizers": finalizers}})
        return None

    def _ends(self, metadata: Object) -> float:
        return datetime.fromisoformat(metadata["deletionTimestamp"]).timestamp()

    async def _say(self, cidr: Object, status: str, reason: str, message: str) -> None:
        known = next((one for one in (cidr.get("status") or {}).get("conditions") or () if one["type"] == READY), None)
        if known is not None and (known["status"], known.get("reason", "")) == (status, reason):
            return
        others = [one for one in (cidr.get("status") or {}).get("conditions") or () if one["type"] != READY]
        conditions = [*others, condition(status, reason, message, self._now())]
        await write_status(self._client, RESOURCE, cidr, {"conditions": conditions})
        if reason == TERMINATING and message:
            self._events.tell(cidr, "Warning", "KubernetesServiceCIDRTerminating", message)

    def _address_changed(self, key: Key, old: object, new: object) -> None:
        if new is None:
            self._wake()

    def _wake(self) -> None:
        for key, _ in list(self._cidrs.items()):
            self.queue.add(key)
