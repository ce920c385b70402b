"""Makes containers: checks the request, merges it with its image, and prepares what belongs to it alone.

A container that is being made has a record in phase "creating" from its first made part on; a crash leaves that record,
and recovery takes its parts back.
"""

import os
import secrets
from pathlib import Path

import msgspec

from boxship.engine import checking, merging, mounting, names
from boxship.engine.clock import Clock
from boxship.engine.describing import container_event
from boxship.engine.hooks.namespaces import default_cgroup_namespace
from boxship.engine.model import Container, Event, MountPoint, Phase, State
from boxship.engine.places import Places
from boxship.engine.placing import least_memory
from boxship.engine.records import Records
from boxship.engine.removal import Removal
from boxship.engine.states import move
from boxship.errors import Invalid, NotFound, Unsupported
from boxship.images.library import Images
from boxship.images.model import Image
from boxship.runtime import limits, security
from boxship.runtime.driver import Driver
from boxship.snapshots.overlay import Snapshots
from boxship.spec.container import ContainerSpec, LogPolicy, MountRequest
from boxship.spec.image import ExecutionConfig, Platform
from boxship.volumes.model import Volume
from boxship.volumes.resolve import bind_options, check_bind_source, tmpfs_options, volume_options
from boxship.volumes.volumes import Volumes


class Creation:
    """From a ContainerSpec to a container in phase "created"."""

    def __init__(
        self,
        records: Records,
        images: Images,
        snapshots: Snapshots,
        volumes: Volumes,
        driver: Driver,
        removal: Removal,
        places: Places,
        default_log: LogPolicy,
        clock: Clock,
    ) -> None:
        self._records = records
        self._images = images
        self._snapshots = snapshots
        self._volumes = volumes
        self._driver = driver
        self._removal = removal
        self._places = places
        self._default_log = default_log
        self._clock = clock

    async def create(self, spec: ContainerSpec, name: str | None) -> tuple[Container, tuple[str, ...]]:
        """The new container and warnings for the user.

        Raises Invalid, Unsupported, NotFound (image, network peer, volumes-from) or Conflict (name, volume driver).
        """
        if not spec.log.driver:
            options = {**self._default_log.options, **spec.log.options}
            spec = msgspec.structs.replace(spec, log=LogPolicy(self._default_log.driver, options))
        checking.check_spec(spec, self._driver.runtimes)
        self._driver.anticipate()
        image = await self._images.resolve(spec.image)
        await self._images.admit(spec.image, image)
        offered = Platform(image.config.architecture, image.config.os, image.config.variant)
        checking.check_platform(spec.platform, spec.image, offered)
        warnings = (
            *checking.ignored(spec),
            *limits.check(spec.resources, self._driver.host, least_memory=least_memory(spec)),
        )
        spec = _completed(spec, self._driver.host.cgroup_version)
        container = self._record(spec, image, self._name(name))
        async with self._images.using(image.id):
            if not name:  # one that is free now: another may have taken it while we waited
                container = msgspec.structs.replace(container, name=self._name(name))
            await self._records.insert(container)
        try:
            container = await self._furnish(container, image)
        except BaseException:
            await self._removal.take_back(container.id)
            raise
        now = self._clock.now()
        events: list[Event] = [container_event(container, "create", now)]
        return await self._records.save(move(container, Phase.CREATED), *events), warnings

    def _name(self, wished: str | None) -> str:
        if wished:
            return names.check_name(wished)
        return names.made_up_name(lambda name: self._records.named(name) is not None)

    def _record(self, spec: ContainerSpec, image: Image, name: str) -> Container:
        config = image.config.config or ExecutionConfig()
        identifier = names.new_id()
        folder = self._places.container(identifier)
        spec = self._resolve_peers(spec)
        return Container(
            id=identifier,
            name=name,
            created_at=self._clock.now(),
            image_id=image.id,
            image_size=image.size,
            spec=spec,
            process=merging.merge_process(spec, config),
            labels={**(config.Labels or {}), **spec.labels},
            exposed_ports=_merge_ports(spec, config),
            volumes=tuple(dict.fromkeys((*spec.volumes, *(config.Volumes or {})))),
            stop_signal=spec.stop_signal or config.StopSignal or merging.DEFAULT_STOP_SIGNAL,
            platform=f"{image.config.os}/{image.config.architecture}",
            runtime=spec.runtime or self._driver.default_runtime,
            state=State(),
            health=merging.merge_health(spec, config),
            image_config=config,
            log_path="" if spec.log.driver == "none" else spec.log_path or str(folder / "container.log"),
            hostname_path=str(folder / "hostname"),
            hosts_path=str(folder / "hosts"),
            resolv_conf_path=str(folder / "resolv.conf"),
        )

    def _resolve_peers(self, spec: ContainerSpec) -> ContainerSpec:
        """Names of other containers become ids, so that a rename breaks nothing."""
        changes = {}
        for field in ("network_mode", "ipc_mode", "pid_mode"):
            mode = getattr(spec, field)
            if mode.startswith("container:"):
                changes[field] = f"container:{self._peer(mode.removeprefix('container:')).id}"
        return msgspec.structs.replace(spec, **changes) if changes else spec

    def _peer(self, name: str) -> Container:
        """A container that the new one shares something with. Not NotFound: clients take it for a missing image."""
        try:
            return self._records.get(name)
        except NotFound as error:
            raise Invalid(str(error)) from None

    async def _furnish(self, container: Container, image: Image) -> Container:
        """Make what belongs to the container: its folder, its writable layer, its volumes."""
        self._places.container(container.id).mkdir(mode=0o710)
        if container.spec.log_path:
            Path(container.log_path).parent.mkdir(parents=True, exist_ok=True, mode=0o755)
        await self._snapshots.prepare(container.id, image.chain_id)
        taken: dict[str, MountPoint] = {}
        fresh: list[tuple[MountRequest, Volume]] = []
        image_volumes = (image.config.config or ExecutionConfig()).Volumes or {}
        requests = mounting.requested_mounts(container.spec, image_volumes)
        explicit = [request.target for request in requests if request.origin != "image"]
        for text in container.spec.volumes_from:
            name, mode = mounting.split_volumes_from(text)
            for point in mounting.inherited_mounts(self._peer(name), mode, [*explicit, *taken]):
                taken[point.target] = point
        for request in requests:
            if request.target in taken:
                continue
            if request.kind == "volume":
                name = request.source or secrets.token_hex(32)
                if not request.source:  # before the volume is made, so that a crash finds what it has to take back
                    intent = MountPoint(kind="volume", target=request.target, name=name, anonymous=True)
                    noted = msgspec.structs.replace(container, mounts=(*taken.values(), intent))
                    container = await self._records.save(noted)
                point, volume = await self._volume_point(request, name)
                if not request.no_copy:
                    fresh.append((request, volume))
            else:
                point = _plain_point(request)
            taken[request.target] = point
        container = msgspec.structs.replace(container, mounts=tuple(taken.values()))
        await self._fill(container, fresh)
        return container

    async def _volume_point(self, request: MountRequest, name: str) -> tuple[MountPoint, Volume]:
        if request.driver not in ("", "local"):  # not NotFound: clients take that for a missing image
            raise Unsupported(f"unsupported: volume driver {request.driver}")
        volume = await self._volumes.create(
            name,
            request.driver or "local",
            request.driver_options,
            request.labels if request.source else {**request.labels, "com.docker.volume.anonymous": ""},
        )
        return (
            MountPoint(
                kind="volume",
                target=request.target,
                source=volume.mountpoint,
                name=volume.name,
                driver=volume.driver,
                mode=_mode(request),
                read_write=not request.read_only,
                propagation="",
                anonymous=not request.source,
                options=volume_options(request),
                subpath=request.subpath,
                origin=request.origin,
            ),
            volume,
        )

    async def _fill(self, container: Container, fresh: list[tuple[MountRequest, Volume]]) -> None:
        """Copy what the image has at a volume's target into the volume, where that is empty."""
        empty = [pair for pair in fresh if await self._volumes.is_empty(pair[1].name)]
        if not empty:
            return
        rootfs = await self._snapshots.mount(container.id)
        try:
            for request, volume in empty:
                await self._volumes.populate(volume.name, rootfs, request.target)
        finally:
            await self._snapshots.unmount(container.id)


def _completed(spec: ContainerSpec, cgroup_version: str) -> ContainerSpec:
    """The request with what it left to us written down, so that inspect shows what is in force.

    Raises Invalid or Unsupported for capabilities and security options, which would else be told at the start only.
    """
    rights, _ = security.rights(
        privileged=spec.privileged,
        add=spec.capabilities_add,
        drop=spec.capabilities_drop,
        options=spec.security_options,
        masked_paths=spec.masked_paths,
        read_only_paths=spec.read_only_paths,
        devices=(),
    )
    return msgspec.structs.replace(
        spec,
        resources=limits.completed(spec.resources),
        cgroupns_mode=spec.cgroupns_mode or default_cgroup_namespace(cgroup_version),
        masked_paths=rights.masked_paths or spec.masked_paths,
        read_only_paths=rights.read_only_paths or spec.read_only_paths,
    )


def _plain_point(request: MountRequest) -> MountPoint:
    if request.kind == "tmpfs":
        return MountPoint(kind="tmpfs", target=request.target, options=tmpfs_options(request), origin=request.origin)
    if request.kind != "bind":
        raise Invalid(f"invalid mount config: unknown mount type '{request.kind}'")
    check_bind_source(request)
    if request.create_source and not os.path.lexists(request.source):
        Path(request.source).mkdir(parents=True, exist_ok=True)
    return MountPoint(
        kind="bind",
        target=request.target,
        source=request.source,
        mode=_mode(request),
        read_write=not request.read_only,
        propagation=request.propagation or "rprivate",
        options=bind_options(request),
        origin=request.origin,
    )


def _mode(request: MountRequest) -> str:
    """The option words of -v, as inspect shows them."""
    return request.text.split(":")[2] if request.text.count(":") > 1 else ""


def _merge_ports(spec: ContainerSpec, config: ExecutionConfig) -> tuple[str, ...]:
    published = (f"{port.container_port}/{port.protocol}" for port in spec.ports)
    return tuple(dict.fromkeys((*spec.exposed_ports, *(config.ExposedPorts or {}), *published)))
