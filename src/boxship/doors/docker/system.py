"""The engine as a whole: ping, version, info, df."""

import ipaddress
from typing import Any

from boxship import __version__
from boxship.doors.docker import image_json
from boxship.doors.docker.build_cache import records_json
from boxship.doors.docker.call import Call, reply, rfc3339
from boxship.doors.docker.container_json import summary_json
from boxship.doors.docker.containers import ImageNames
from boxship.doors.docker.router import MAXIMUM, MINIMUM, Route
from boxship.doors.docker.volumes import volume_json
from boxship.engine.clock import SystemClock
from boxship.engine.system import SystemInfo
from boxship.errors import Invalid
from boxship.spec.reference import DEFAULT_DOMAIN
from boxship.transport.exchange import Reply

CLOCK = SystemClock()
INDEX_SERVER = f"https://index.{DEFAULT_DOMAIN}/v1/"
LOOPBACK = ("::1/128", "127.0.0.0/8")  # plain HTTP may always go there
SECRET = "xxxxx:xxxxx"
DF_TYPES = ("container", "image", "volume", "build-cache")
GO_ARCHITECTURES = {"x86_64": "amd64", "aarch64": "arm64", "armv7l": "arm", "i686": "386"}
PING_HEADERS = {
    "Builder-Version": "1",
    "Swarm": "inactive",
    "Cache-Control": "no-cache, no-store, must-revalidate",
    "Pragma": "no-cache",
    "Content-Type": "text/plain; charset=utf-8",
}


async def ping(call: Call) -> Reply:
    return Reply(200, PING_HEADERS, b"" if call.request.method == "HEAD" else b"OK")


def dotted(version: tuple[int, int]) -> str:
    return f"{version[0]}.{version[1]}"


async def version(call: Call) -> Reply:
    info = await call.engine.system.info()
    architecture = GO_ARCHITECTURES.get(info.architecture, info.architecture)
    plain = {
        "ApiVersion": dotted(MAXIMUM),
        "MinAPIVersion": dotted(MINIMUM),
        "GitCommit": "",
        "GoVersion": "",
        "Os": "linux",
        "Arch": architecture,
        "KernelVersion": info.kernel_version,
        "BuildTime": "",
    }
    details = {**plain, "Experimental": "false"}
    return reply(
        {
            "Platform": {"Name": "Boxship"},
            "Components": [{"Name": "Engine", "Version": __version__, "Details": details}],
            "Version": __version__,
            **plain,
        }
    )


async def info(call: Call) -> Reply:
    found = await call.engine.system.info()
    return reply(info_json(found, CLOCK.now()))


def info_json(found: SystemInfo, now: int) -> dict[str, Any]:
    return {
        "ID": found.id,
        "Containers": found.containers,
        "ContainersRunning": found.containers_running,
        "ContainersPaused": found.containers_paused,
        "ContainersStopped": found.containers_stopped,
        "Images": found.images,
        "Driver": found.driver,
        "DriverStatus": [["Backing Filesystem", "host"], ["Native Overlay Diff", "true"]],
        "Plugins": {
            "Volume": ["local"],
            "Network": ["bridge", "host", "null"],
            "Authorization": None,
            "Log": ["json-file", "local", "none"],
        },
        **kernel_features(found),
        "Debug": False,
        "NFd": found.open_files,
        "NGoroutines": 0,
        "SystemTime": rfc3339(now),
        "LoggingDriver": found.log_driver,
        "CgroupDriver": found.cgroup_driver,
        "CgroupVersion": found.cgroup_version,
        "NEventsListener": 0,
        "KernelVersion": found.kernel_version,
        "OperatingSystem": found.operating_system,
        "OSVersion": found.os_version,
        "OSType": found.os_type,
        "Architecture": found.architecture,
        "IndexServerAddress": INDEX_SERVER,
        "RegistryConfig": registries_json(found),
        "NCPU": found.cpus,
        "MemTotal": found.memory_total,
        "GenericResources": None,
        "DockerRootDir": found.data_root,
        "HttpProxy": masked(found.http_proxy),
        "HttpsProxy": masked(found.https_proxy),
        "NoProxy": ",".join(found.no_proxy),
        "Name": found.name,
        "Labels": list(found.labels),
        "ExperimentalBuild": False,
        "ServerVersion": found.server_version,
        "Runtimes": {name: {"path": path} for name, path in found.runtimes.items()},
        "DefaultRuntime": found.default_runtime,
        "Swarm": {
            "NodeID": "",
            "NodeAddr": "",
            "LocalNodeState": "inactive",
            "ControlAvailable": False,
            "Error": "",
            "RemoteManagers": None,
        },
        "LiveRestoreEnabled": True,
        "Isolation": "",
        "InitBinary": found.init_binary,
        "ContainerdCommit": {"ID": ""},
        "RuncCommit": {"ID": ""},
        "InitCommit": {"ID": ""},
        "SecurityOptions": list(found.security_options),
        "DefaultAddressPools": [{"Base": base, "Size": size} for base, size in found.default_address_pools],
        "CDISpecDirs": [],
        "Warnings": list(found.warnings) or None,
    }


def registries_json(found: SystemInfo) -> dict[str, Any]:
    """What the operator said of registries, as Docker shows it: networks apart from names."""
    networks, names = list(LOOPBACK), []
    for rule in found.insecure_registries:
        try:
            networks.append(str(ipaddress.ip_network(rule, strict=False)))
        except ValueError:
            names.append(rule)
    mirrors = {domain: [f"{masked(url).rstrip('/')}/" for url in urls] for domain, urls in found.mirrors.items()}
    known = {
        name: {
            "Name": name,
            "Mirrors": mirrors.get(name, []),
            "Secure": name not in names,
            "Official": name == DEFAULT_DOMAIN,
        }
        for name in dict.fromkeys((DEFAULT_DOMAIN, *mirrors, *names))
    }
    return {
        "InsecureRegistryCIDRs": networks,
        "IndexConfigs": known,
        "Mirrors": mirrors.get(DEFAULT_DOMAIN),
    }


def masked(url: str) -> str:
    """An address without the user and the password in it."""
    scheme, separator, rest = url.rpartition("://")
    place, slash, path = rest.partition("/")
    user, _, host = place.rpartition("@")
    return f"{scheme}{separator}{SECRET}@{host}{slash}{path}" if user else url


def kernel_features(found: SystemInfo) -> dict[str, bool]:
    """What every host of ours can limit; what one cannot is among the warnings."""
    features = (
        "MemoryLimit",
        "SwapLimit",
        "CpuCfsPeriod",
        "CpuCfsQuota",
        "CPUShares",
        "CPUSet",
        "PidsLimit",
        "IPv4Forwarding",
    )
    return {**dict.fromkeys(features, True), "OomKillDisable": found.cgroup_version == "1"}


async def usage(call: Call) -> Reply:
    kinds = call.texts("type") or list(DF_TYPES)
    for kind in kinds:
        if kind not in DF_TYPES:
            raise Invalid(f"unknown object type: {kind}")
    found = await call.engine.system.usage()
    names = ImageNames(call)
    now = CLOCK.now()
    shown: dict[str, Any] = {}
    if "image" in kinds:
        shown["LayersSize"] = found.layers_size
        shown["Images"] = [
            image_json.summary_json(image, call.version, containers=containers, shared=shared)
            for image, containers, shared, _ in found.images
        ]
    if "container" in kinds:
        shown["Containers"] = [
            summary_json(container, call.version, now, await names.of(container), (own, whole))
            for container, own, whole in found.containers
        ]
    if "volume" in kinds:
        shown["Volumes"] = [
            {**volume_json(volume), "UsageData": {"Size": size, "RefCount": users}}
            for volume, size, users in found.volumes
        ]
    if "build-cache" in kinds:
        records = await records_json(call) if call.can_build else []
        shown["BuildCache"] = records
        if not call.since(1, 42):
            shown["BuilderSize"] = sum(record["Size"] for record in records)
    return reply(shown)


ROUTES = (
    Route("GET", "/_ping", ping),
    Route("HEAD", "/_ping", ping),
    Route("GET", "/version", version),
    Route("GET", "/info", info),
    Route("GET", "/system/df", usage, query=("type", "verbose")),
)
