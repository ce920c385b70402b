"""Networks as users handle them: the network room, with the checks that need containers, and events."""

from collections.abc import Callable, Sequence

import msgspec

from boxship.engine.clock import Clock
from boxship.engine.describing import network_event, prune_event
from boxship.engine.events import Events
from boxship.engine.hooks.hostfiles import write_network_files
from boxship.engine.lives import Lives
from boxship.engine.model import ALIVE, Container, Event
from boxship.engine.placing import is_shared, joins
from boxship.engine.records import Records
from boxship.errors import BoxshipError, Conflict, Denied, NotFound
from boxship.network.model import Network
from boxship.network.networks import Networks
from boxship.spec.attachment import Endpoint
from boxship.spec.container import EndpointRequest, NetworkSpec


def parted(container: Container, network: Network) -> Container:
    """The container as it is asked for without that network, also at its next start. Its mode stays as it was written:
    clients part a container from the network of its mode in order to join it again by another name."""
    kept = tuple(request for request in joins(container.spec) if request.network not in (network.name, network.id))
    return msgspec.structs.replace(
        container, spec=msgspec.structs.replace(container.spec, endpoints=kept, endpoints_only=True)
    )


def in_private_mode(container: Container) -> bool:
    """Asked for the network "none", and not parted from it since."""
    return container.spec.network_mode == "none" and not container.spec.endpoints_only


class EngineNetworks:
    """create, get, list, remove, connect, disconnect, prune."""

    def __init__(self, networks: Networks, records: Records, lives: Lives, events: Events, clock: Clock) -> None:
        self._networks = networks
        self._records = records
        self._lives = lives
        self._events = events
        self._clock = clock

    async def create(self, spec: NetworkSpec) -> Network:
        """A new network, with its addresses chosen where the user named none."""
        network = await self._networks.create(spec)
        self._publish("create", network)
        return network

    def get(self, ref: str) -> Network:
        """By name, id or unique id prefix. Raises NotFound with Docker's text."""
        return self._networks.get(ref)

    def list(self) -> Sequence[Network]:
        return self._networks.list()

    def endpoints(self, network_id: str) -> dict[str, Endpoint]:
        """Who is joined to the network now, by container id."""
        return self._networks.endpoints(network_id)

    async def remove(self, ref: str) -> None:
        """Raises Denied for a predefined network or one with containers on it."""
        network = self._networks.get(ref)
        await self._networks.remove(network.id)
        self._publish("destroy", network)

    async def connect(self, ref: str, container_ref: str, request: EndpointRequest) -> None:
        """Join a container to a network: at once where it runs, else from its next start on."""
        network = self._networks.get(ref)
        identifier = self._records.get(container_ref).id
        async with self._lives.of(identifier).lock:
            container = self._records.get(identifier)
            self._check_connect(network, container)
            request = msgspec.structs.replace(request, network=network.name)
            spec = msgspec.structs.replace(container.spec, endpoints=(*container.spec.endpoints, request))
            changed = msgspec.structs.replace(container, spec=spec)
            if container.state.phase in ALIVE:
                attachment = await self._networks.connect(
                    container.id, msgspec.structs.replace(request, network=network.id)
                )
                changed = msgspec.structs.replace(changed, endpoints=attachment.endpoints, ports=attachment.ports)
                write_network_files(changed, attachment)
            await self._records.save(changed, self._event("connect", network, container.id))

    async def disconnect(self, ref: str, container_ref: str, *, force: bool = False) -> None:
        """Part a container from a network. Raises NotFound or Denied where it isn't joined."""
        network = self._networks.get(ref)
        try:
            identifier = self._records.get(container_ref).id
        except NotFound:
            if not force:
                raise
            return
        async with self._lives.of(identifier).lock:
            container = self._records.get(identifier)
            if network.driver == "host" and container.spec.network_mode == "host":
                raise Denied("container cannot be disconnected from host network or connected to host network")
            names = (network.name, network.id)
            joined = any(request.network in names for request in joins(container.spec)) or any(
                endpoint.network_id == network.id for endpoint in container.endpoints
            )
            if not joined and not (network.driver == "null" and in_private_mode(container)):
                raise Denied(f"container {container.id} is not connected to network {network.name}")
            changed = parted(container, network)
            if container.state.phase in ALIVE and any(e.network_id == network.id for e in container.endpoints):
                attachment = await self._networks.disconnect(container.id, network.id)
                changed = msgspec.structs.replace(changed, endpoints=attachment.endpoints, ports=attachment.ports)
                write_network_files(changed, attachment)
            await self._records.save(changed, self._event("disconnect", network, container.id))

    async def prune(self, keep: Callable[[Network], bool]) -> Sequence[str]:
        """Remove the networks that no container uses and that `keep` doesn't hold; their names."""
        used = {request.network for container in self._records for request in joins(container.spec)}
        removed = []
        for network in self._networks.list():
            if network.predefined or network.name in used or network.id in used or keep(network):
                continue
            if self._networks.endpoints(network.id):
                continue
            if (
                network.bridge is not None and network.bridge.routed
            ):  # a node's own addresses, also while it has no pods
                continue
            try:
                await self.remove(network.id)
            except BoxshipError:  # someone joined it just now
                continue
            removed.append(network.name)
        self._events.publish(prune_event("network", 0, self._clock.now()))
        return removed

    def _check_connect(self, network: Network, container: Container) -> None:
        if network.driver == "host" or container.spec.network_mode == "host":
            raise Denied("container cannot be disconnected from host network or connected to host network")
        if is_shared(container.spec.network_mode):
            raise Denied(
                "container sharing network namespace with another container or host cannot be connected "
                "to any other network"
            )
        if network.driver == "null" or in_private_mode(container):
            raise Denied(
                "container cannot be connected to multiple networks with one of the networks in private (none) mode"
            )
        joined = [request.network for request in joins(container.spec)]
        if (
            network.name in joined
            or network.id in joined
            or any(endpoint.network_id == network.id for endpoint in container.endpoints)
        ):
            raise Conflict(f"endpoint with name {container.name} already exists in network {network.name}")

    def _event(self, action: str, network: Network, container_id: str = "") -> Event:
        return network_event(action, network.id, network.name, network.driver, self._clock.now(), container_id)

    def _publish(self, action: str, network: Network) -> None:
        self._events.publish(self._event(action, network))
