"""The query parameters and headers of `POST /build` as a BuildRequest. Pure."""

from typing import Any

import msgspec

from boxship.builder.model import BuildRequest, CacheEnd
from boxship.builder.operations import FolderTree
from boxship.doors.docker.call import Call, header_json
from boxship.errors import Invalid, Unsupported
from boxship.spec.container import Resources, Ulimit
from boxship.spec.platform import parse as parse_platform

QUERY = (
    "buildargs",
    "buildid",
    "cachefrom",
    "cgroupparent",
    "cpuperiod",
    "cpuquota",
    "cpusetcpus",
    "cpusetmems",
    "cpushares",
    "dockerfile",
    "extrahosts",
    "forcerm",
    "isolation",
    "labels",
    "memory",
    "memswap",
    "networkmode",
    "nocache",
    "platform",
    "pull",
    "q",
    "remote",
    "rm",
    "shmsize",
    "t",
    "target",
    "ulimits",
    "version",
)
REFUSED = ("credentialspec", "outputs", "securityopt", "session", "squash")
NO_BUILDKIT = (
    "unsupported: query parameter version with 2: there is no door for BuildKit's protocol yet. "
    "Use the classic builder (DOCKER_BUILDKIT=0) or boxship build"
)


def build_request(call: Call, context: FolderTree | None) -> BuildRequest:
    """What the query asks for, of the context that was sent (None where `remote` names it). Raises Invalid or
    Unsupported naming the parameter."""
    if call.text("version") not in ("", "1"):
        raise Unsupported(NO_BUILDKIT)
    if call.text("isolation") not in ("", "default"):
        raise Unsupported("unsupported: query parameter isolation")
    if call.text("remote") == "client-session":
        raise Unsupported("unsupported: query parameter remote with client-session")
    platform = call.text("platform")
    network = call.text("networkmode")
    return BuildRequest(
        context=context,
        remote=call.text("remote"),
        dockerfile=call.text("dockerfile") or "Dockerfile",
        tags=tuple(tag for tag in call.texts("t") if tag),
        target=call.text("target"),
        arguments=arguments(call.text("buildargs")),
        labels=texts_by_name(call, "labels"),
        platform=parse_platform(platform.lower()) if platform else None,
        no_cache=call.flag("nocache"),
        pull=call.flag("pull"),
        network="default" if network in ("", "bridge") else network,
        extra_hosts=tuple(host for host in call.texts("extrahosts") if host),
        shm_size=natural(call, "shmsize"),
        ulimits=ulimits(call.text("ulimits")),
        resources=resources(call),
        cgroup_parent=call.text("cgroupparent"),
        cache_from=tuple(CacheEnd(kind="registry", attributes={"ref": name}) for name in cache_names(call)),
        credentials=credentials(call.request.headers.get("X-Registry-Config", "")),
    )


def parsed(text: str, name: str) -> Any:
    """A parameter that is JSON; None where it is not given."""
    if not text:
        return None
    try:
        return msgspec.json.decode(text.encode("utf-8", "surrogatepass"))
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise Invalid(f"error reading build parameter {name}: {error}") from None


def arguments(text: str) -> dict[str, str | None]:
    """Build arguments by name; null is a name without a value."""
    value = parsed(text, "buildargs")
    if value is None:
        return {}
    if not isinstance(value, dict) or not all(item is None or isinstance(item, str) for item in value.values()):
        raise Invalid("error reading build args: an object of strings is expected")
    return value


def texts_by_name(call: Call, name: str) -> dict[str, str]:
    value = parsed(call.text(name), name)
    if value is None:
        return {}
    if not isinstance(value, dict) or not all(isinstance(item, str) for item in value.values()):
        raise Invalid(f"error reading {name}: an object of strings is expected")
    return value


def cache_names(call: Call) -> list[str]:
    value = parsed(call.text("cachefrom"), "cachefrom")
    if value is None:
        return []
    if not isinstance(value, list) or not all(isinstance(item, str) for item in value):
        raise Invalid("error reading cache-from: a list of strings is expected")
    return value


def natural(call: Call, name: str) -> int:
    value = call.number(name, 0) or 0
    if value < 0:
        raise Invalid(f"invalid value for query parameter {name}: {value} is negative")
    return value


def resources(call: Call) -> Resources:
    """Limits of the steps' processes."""
    swap = call.number("memswap", 0) or 0
    if swap < -1:
        raise Invalid(f"invalid value for query parameter memswap: {swap}")
    return Resources(
        memory=natural(call, "memory"),
        memory_swap=swap,
        cpu_shares=natural(call, "cpushares"),
        cpu_period=natural(call, "cpuperiod"),
        cpu_quota=max(call.number("cpuquota", 0) or 0, 0),
        cpuset_cpus=call.text("cpusetcpus"),
        cpuset_mems=call.text("cpusetmems"),
    )


def ulimits(text: str) -> tuple[Ulimit, ...]:
    value = parsed(text, "ulimits")
    if value is None:
        return ()
    if not isinstance(value, list):
        raise Invalid("error reading ulimits: a list is expected")
    return tuple(_ulimit(item) for item in value)


def _ulimit(value: Any) -> Ulimit:
    fields = {str(key).lower(): item for key, item in value.items()} if isinstance(value, dict) else {}
    name, soft, hard = fields.get("name"), fields.get("soft"), fields.get("hard")
    if not isinstance(name, str) or not isinstance(soft, int) or not isinstance(hard, int):
        raise Invalid("error reading ulimits: Name, Soft and Hard are expected")
    return Ulimit(name.lower(), soft, hard)


def credentials(header: str) -> dict[str, dict[str, str]]:
    """The header X-Registry-Config: registry → fields. Raises Invalid."""
    if not header:
        return {}
    return header_json(header, "X-Registry-Config", dict[str, dict[str, str]])
