"""The rooms that engine, builder and registry stand on, made from the ground up out of the options.

Making them touches no more than their folders: what must be found again is found by their `recover`, `open` and
`start`, in the order that `daemon` has.
"""

import os
from pathlib import Path

import msgspec

from boxship.content import Content, Garbage
from boxship.images.library import Images
from boxship.images.remote.client import Remote
from boxship.images.trust import Trust
from boxship.main.certificates import Certificates
from boxship.main.node_options import NodeOptions, parse_node
from boxship.main.options import Options, parse_pool, parse_ports
from boxship.main.remotes import remote_settings
from boxship.network.model import AddressPool, Settings
from boxship.network.networks import Networks
from boxship.runtime.driver import Driver
from boxship.snapshots.overlay import Snapshots
from boxship.store import Store
from boxship.volumes.volumes import Volumes

TYPE_CHECKING = False
if TYPE_CHECKING:
    from boxship.main.registry import RegistryRole


class Rooms(msgspec.Struct, frozen=True, kw_only=True):
    """One instance's rooms; `registry` is None without that role."""

    data: Path
    run_root: Path
    instance: str
    store: Store
    content: Content
    garbage: Garbage
    snapshots: Snapshots
    volumes: Volumes
    images: Images
    remote: Remote
    driver: Driver
    networks: Networks
    registry: "RegistryRole | None"
    ingress_ports: tuple[int, int] = (80, 443)
    node: NodeOptions = NodeOptions()

    async def close(self) -> None:
        """After whatever uses them; the store stays open."""
        await self.networks.close()
        await self.driver.close()
        await self.volumes.close()
        await self.snapshots.close()


def make_rooms(
    options: Options, data: Path, run_root: Path, instance: str, store: Store, certificates: Certificates
) -> Rooms:
    """Raises the errors of files that the options name, and Unsupported where the data root cannot hold layers."""
    content = Content(data / "content", store)
    snapshots = Snapshots(data / "snapshots")
    snapshots.check()
    volumes = Volumes(data / "volumes", store)
    garbage = Garbage(content, snapshots)
    registry = None
    if options.registry:
        from boxship.main.registry import RegistryRole  # a daemon without the role does without its memory

        owned = garbage.owned("registry")
        registry = RegistryRole(options, data, content, owned, store, certificates, lambda: images)
    remote = Remote(remote_settings(options, os.environ), own=registry.own if registry is not None else None)
    trust = Trust(Path(options.trust_policy) if options.trust_policy else None)
    images = Images(content, snapshots, garbage, remote, trust)
    driver = Driver(
        run_root,
        instance=instance,
        runtimes={name: Path(path) for name, path in options.add_runtime.items()},
        default=options.runtime,
    )
    return Rooms(
        data=data,
        run_root=run_root,
        instance=instance,
        store=store,
        content=content,
        garbage=garbage,
        snapshots=snapshots,
        volumes=volumes,
        images=images,
        remote=remote,
        driver=driver,
        networks=Networks(store, run_root, instance, _network_settings(options)),
        registry=registry,
        ingress_ports=parse_ports(options.ingress_ports),
        node=parse_node(options),
    )


def _network_settings(options: Options) -> Settings:
    pools = [parse_pool(pool) for pool in options.address_pool]
    return Settings(
        pools=tuple(AddressPool(pool.base, pool.size) for pool in pools),
        bridge_subnet=options.bridge_subnet,
        mtu=options.mtu,
        nameservers=options.dns,
    )
