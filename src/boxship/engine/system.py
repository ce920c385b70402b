"""The engine as a whole: what machine it runs on, what it holds, what takes how many bytes."""

import os
import platform
from pathlib import Path

import msgspec

from boxship import __version__
from boxship.engine.accounting import Accounting
from boxship.engine.model import Container, Phase
from boxship.engine.records import Records
from boxship.images.library import Images
from boxship.images.model import Image
from boxship.runtime.driver import Driver
from boxship.snapshots.overlay import Snapshots
from boxship.volumes.model import Volume
from boxship.volumes.volumes import Volumes


class Facts(msgspec.Struct, frozen=True):
    """What the composition root knows and users see in `info`."""

    id: str
    data_root: str
    labels: tuple[str, ...] = ()
    address_pools: tuple[tuple[str, int], ...] = ()
    log_driver: str = "json-file"


class SystemInfo(msgspec.Struct, frozen=True, kw_only=True):
    """Docker's /info in our words; sizes in bytes."""

    id: str
    name: str
    containers: int
    containers_running: int
    containers_paused: int
    containers_stopped: int
    images: int
    driver: str
    memory_total: int
    cpus: int
    kernel_version: str
    operating_system: str
    os_version: str
    os_type: str
    architecture: str
    cgroup_driver: str
    cgroup_version: str
    runtimes: dict[str, str]
    default_runtime: str
    init_binary: str
    security_options: tuple[str, ...]
    warnings: tuple[str, ...]
    data_root: str
    labels: tuple[str, ...]
    server_version: str
    default_address_pools: tuple[tuple[str, int], ...]
    log_driver: str
    pid: int
    open_files: int
    mirrors: dict[str, tuple[str, ...]] = {}  # by domain, the addresses that are asked before it
    insecure_registries: tuple[str, ...] = ()  # domains, hosts, networks
    http_proxy: str = ""
    https_proxy: str = ""
    no_proxy: tuple[str, ...] = ()


class DiskUsage(msgspec.Struct, frozen=True, kw_only=True):
    """Bytes on disk: of all images (layers and blobs), of each (shared with others, its own), of each container (own,
    whole tree) and of each volume."""

    layers_size: int
    images: tuple[tuple[Image, int, int, int], ...]  # image, containers, shared, unique
    containers: tuple[tuple[Container, int, int], ...]  # container, writable layer, whole tree
    volumes: tuple[tuple[Volume, int, int], ...]  # volume, size, containers that mount it


class System:
    """info, usage as Docker has it, and `parts`: every byte of the data root by name."""

    def __init__(
        self,
        facts: Facts,
        records: Records,
        images: Images,
        snapshots: Snapshots,
        volumes: Volumes,
        driver: Driver,
        accounting: Accounting,
    ) -> None:
        self._facts = facts
        self._records = records
        self._images = images
        self._snapshots = snapshots
        self._volumes = volumes
        self._driver = driver
        self.parts = accounting.parts

    async def info(self) -> SystemInfo:
        """The machine and the counts of this moment."""
        phases = [container.state.phase for container in self._records]
        running = sum(phase in (Phase.RUNNING, Phase.STOPPING, Phase.RESTARTING) for phase in phases)
        paused = phases.count(Phase.PAUSED)
        host = self._driver.host
        release = _os_release()
        registries = self._images.remote.settings
        return SystemInfo(
            id=self._facts.id,
            name=platform.node(),
            containers=len(phases),
            containers_running=running,
            containers_paused=paused,
            containers_stopped=len(phases) - running - paused,
            images=len(await self._images.list()),
            driver="overlay2",
            memory_total=os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES"),
            cpus=os.cpu_count() or 1,
            kernel_version=platform.release(),
            operating_system=release.get("PRETTY_NAME", "Linux"),
            os_version=release.get("VERSION_ID", ""),
            os_type="linux",
            architecture=platform.machine(),
            cgroup_driver="cgroupfs",
            cgroup_version=host.cgroup_version,
            runtimes=dict(self._driver.runtimes),
            default_runtime=self._driver.default_runtime,
            init_binary=self._driver.init_binary,
            security_options=("name=seccomp,profile=builtin", *(("name=cgroupns",) if host.cgroup_namespaces else ())),
            warnings=host.warnings,
            data_root=self._facts.data_root,
            labels=self._facts.labels,
            server_version=__version__,
            default_address_pools=self._facts.address_pools,
            log_driver=self._facts.log_driver,
            pid=os.getpid(),
            open_files=len(os.listdir("/proc/self/fd")),
            mirrors=registries.mirrors,
            insecure_registries=registries.insecure,
            http_proxy=registries.proxies.http,
            https_proxy=registries.proxies.https,
            no_proxy=registries.proxies.none_for,
        )

    async def usage(self) -> DiskUsage:
        """What takes how many bytes; the sum agrees with du(1) of the data root."""
        users: dict[str, int] = {}
        for container in self._records:
            users[container.image_id] = users.get(container.image_id, 0) + 1
        images = await self._images.usage()
        made = [container for container in self._records if container.state.phase is not Phase.CREATING]
        own = await self._snapshots.usages([container.id for container in made])
        volumes = []
        for volume in self._volumes.list():
            count = sum(any(point.name == volume.name for point in box.mounts) for box in self._records)
            volumes.append((volume, await self._volumes.usage(volume.name), count))
        return DiskUsage(
            layers_size=images.layers_size + images.records_size + images.blobs_size,
            images=tuple((row.image, users.get(row.image.id, 0), row.shared, row.unique) for row in images.images),
            containers=tuple((box, own[box.id], own[box.id] + box.image_size) for box in made),
            volumes=tuple(volumes),
        )


def _os_release() -> dict[str, str]:
    for path in (Path("/etc/os-release"), Path("/usr/lib/os-release")):
        try:
            lines = path.read_text().splitlines()
        except OSError:
            continue
        pairs = (line.partition("=") for line in lines if "=" in line)
        return {key: value.strip('"') for key, _, value in pairs}
    return {}
