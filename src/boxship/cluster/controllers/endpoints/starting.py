"""The controllers of endpoints with their caches: one list."""

import time
from collections.abc import Awaitable, Callable

import msgspec

from boxship.cluster.access import Client
from boxship.cluster.controllers.endpoints.addresses import RESOURCE as ENDPOINTS
from boxship.cluster.controllers.endpoints.addresses import EndpointsObjects
from boxship.cluster.controllers.endpoints.backends import Pods, Selectors, backend_of, zone_of
from boxship.cluster.controllers.endpoints.mirroring import EndpointSliceMirroring
from boxship.cluster.controllers.endpoints.slices import RESOURCE as SLICES
from boxship.cluster.controllers.endpoints.slices import EndpointSlices
from boxship.cluster.controllers.workloads.times import Now
from boxship.cluster.reconcile.cache import Cache
from boxship.cluster.reconcile.recording import Recorder
from boxship.cluster.reconcile.runner import Controller


class EndpointControllers(msgspec.Struct, frozen=True):
    controllers: tuple[Controller, ...]
    parts: tuple[Callable[[], Awaitable[None]], ...]
    services: Cache  # for others that follow Services, too
    recorder: Recorder


def make_endpoints(client_of: Callable[[str], Client], own: Client, now: Now = time.time) -> EndpointControllers:
    """`own` fills the caches; each controller writes as its own account."""
    recorder = Recorder(now)
    services, pods = Cache(own, "v1/services"), Cache(own, "v1/pods", keep=backend_of)
    zones, slices = Cache(own, "v1/nodes", keep=zone_of), Cache(own, SLICES)
    endpoints = Cache(own, ENDPOINTS)
    members, selectors = Pods(), Selectors()
    pods.subscribe(members.changed)
    services.subscribe(selectors.changed)
    client = client_of(EndpointSlices.name)
    events = recorder.events_of(client, EndpointSlices.name)
    in_slices = EndpointSlices(client, services, pods, zones, slices, members, selectors, events, now)
    client = client_of(EndpointsObjects.name)
    events = recorder.events_of(client, EndpointsObjects.name)
    in_objects = EndpointsObjects(client, services, pods, endpoints, members, selectors, events)
    client = client_of(EndpointSliceMirroring.name)
    events = recorder.events_of(client, EndpointSliceMirroring.name)
    mirroring = EndpointSliceMirroring(client, services, endpoints, slices, events, now)
    return EndpointControllers((in_slices, in_objects, mirroring), (recorder.run,), services, recorder)
