"""Slices for Endpoints that people write: those of a Service without a selector. One key is one Endpoints object.

Source: documentation "EndpointSlices" (mirroring), "Service" (without selectors).
"""

from collections.abc import Mapping

from boxship.cluster.access import Client
from boxship.cluster.controllers.endpoints.slices import SlicesOf, SliceWriter
from boxship.cluster.controllers.endpoints.slicing import (
    MANAGED_BY,
    RESERVED,
    SERVICE_NAME,
    Form,
    Plan,
    Port,
    Ports,
    owner_reference,
    plan,
)
from boxship.cluster.controllers.endpoints.written import Written
from boxship.cluster.controllers.workloads.times import Now
from boxship.cluster.controllers.workloads.writing import is_namespace_ending
from boxship.cluster.objects import Object
from boxship.cluster.objects.failure import Failure
from boxship.cluster.reconcile.cache import Cache, Key
from boxship.cluster.reconcile.queue import Queue
from boxship.cluster.reconcile.recording import Events
from boxship.cluster.reconcile.runner import Again
from boxship.errors import BoxshipError

MIRRORED = "endpointslicemirroring-controller.k8s.io"
SKIP = "endpointslice.kubernetes.io/skip-mirror"
LEADER = "control-plane.alpha.kubernetes.io/leader"
LARGEST_SUBSET = 1000  # addresses of one subset that are mirrored
NOT_COPIED = ("endpoints.kubernetes.io/last-change-trigger-time", "kubectl.kubernetes.io/last-applied-configuration")
FAMILIES = ("IPv4", "IPv6")


def is_mirrored(endpoints: Object | None, service: Object | None) -> bool:
    if endpoints is None or service is None or (service.get("spec") or {}).get("selector"):
        return False
    metadata = endpoints["metadata"]
    if LEADER in (metadata.get("annotations") or {}):
        return False
    return (metadata.get("labels") or {}).get(SKIP) != "true"


def form_of(endpoints: Object, kind: str) -> Form:
    metadata = endpoints["metadata"]
    labels = {key: value for key, value in (metadata.get("labels") or {}).items() if key not in RESERVED}
    labels |= {SERVICE_NAME: metadata["name"], MANAGED_BY: MIRRORED}
    annotations = {key: value for key, value in (metadata.get("annotations") or {}).items() if key not in NOT_COPIED}
    owner = owner_reference({"kind": "Endpoints", **endpoints})
    return Form(metadata.get("namespace", ""), metadata["name"], labels, owner, annotations, kind)


def groups_of(endpoints: Object, kind: str) -> tuple[Mapping[Ports, list[Object]], int]:
    """The endpoints of one family by their ports, and how many were too many."""
    groups: dict[Ports, list[Object]] = {}
    skipped = 0
    for subset in endpoints.get("subsets") or ():
        listed = [(one, True) for one in subset.get("addresses") or ()]
        listed += [(one, False) for one in subset.get("notReadyAddresses") or ()]
        skipped += max(len(listed) - LARGEST_SUBSET, 0)
        ports = tuple(_port_of(one) for one in subset.get("ports") or ())
        found = [
            _endpoint(one, ready) for one, ready in listed[:LARGEST_SUBSET] if (":" in one["ip"]) == (kind == "IPv6")
        ]
        if found:
            groups.setdefault(ports, []).extend(found)
    return groups, skipped


def _port_of(port: Object) -> Port:
    return (
        port.get("name") or "",
        port.get("protocol") or "TCP",
        port.get("port") or 0,
        port.get("appProtocol") or "",
    )


def _endpoint(address: Object, ready: bool) -> Object:
    endpoint: Object = {"addresses": [address["ip"]], "conditions": {"ready": ready}}
    for key in ("hostname", "nodeName", "targetRef"):
        if address.get(key):
            endpoint[key] = address[key]
    return endpoint


class EndpointSliceMirroring:
    name = "endpointslicemirroring-controller"
    workers = 2

    def __init__(
        self, client: Client, services: Cache, endpoints: Cache, slices: Cache, events: Events, now: Now
    ) -> None:
        self._services = services
        self._endpoints = endpoints
        self._events = events
        self._written = Written(now)
        self._writer = SliceWriter(client, self._written)
        self._slices = SlicesOf(slices, MIRRORED)
        self.caches = (services, endpoints, slices)
        self.queue: Queue[Key] = Queue()
        services.subscribe(self._service_changed)
        endpoints.subscribe(lambda key, old, new: self.queue.add(key))
        slices.subscribe(self._slice_changed)

    async def reconcile(self, key: Key) -> Again | None:
        endpoints = self._endpoints.get(key)
        existing = self._written.over(key, self._slices.of(key))
        todo = Plan(delete=tuple(existing))
        if endpoints is not None and is_mirrored(endpoints, self._services.get(key)):
            todo = self._plan(endpoints, existing)
        if todo == Plan():
            return None
        try:
            await self._writer.carry_out(key, todo)
        except BoxshipError as error:
            if is_namespace_ending(error):
                return None
            if endpoints is not None and (
                not isinstance(error, Failure) or error.reason not in ("Conflict", "NotFound")
            ):
                why = f"Error updating EndpointSlices for {key[0]}/{key[1]} Endpoints: {error}"
                self._events.tell({**endpoints, "kind": "Endpoints", "apiVersion": "v1"}, "Warning", "Failed", why)
            raise
        return None

    def _plan(self, endpoints: Object, existing: list[Object]) -> Plan:
        """A family without addresses has no slices; without any there is one empty slice."""
        todo = Plan()
        filled = [kind for kind in FAMILIES if groups_of(endpoints, kind)[0]]
        for kind in FAMILIES:
            groups, skipped = groups_of(endpoints, kind)
            of_kind = [one for one in existing if one.get("addressType") == kind]
            if kind in filled or (not filled and kind == FAMILIES[0]):
                part = plan(form_of(endpoints, kind), groups, of_kind)
            else:
                part = Plan(delete=tuple(of_kind))
            todo = Plan(todo.create + part.create, todo.update + part.update, todo.delete + part.delete)
            if skipped and kind == FAMILIES[0]:
                name = endpoints["metadata"]["name"]
                why = f"{skipped} addresses in {name} Endpoints were skipped due to exceeding MaxEndpointsPerSubset"
                about = {**endpoints, "kind": "Endpoints", "apiVersion": "v1"}
                self._events.tell(about, "Warning", "TooManyAddressesToMirror", why)
        return todo

    def _service_changed(self, key: Key, old: Object | None, new: Object | None) -> None:
        if self._endpoints.get(key) is not None or self._slices.of(key):
            self.queue.add(key)

    def _slice_changed(self, key: Key, old: Object | None, new: Object | None) -> None:
        news = self._written.seen(key, old, new)
        for service in {*self._slices.services(key, old, new)} if news else ():
            self.queue.add(service)
