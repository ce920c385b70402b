"""Images as Docker shows them. Pure."""

import functools
import re
from typing import Any

from boxship.doors.docker.call import Version, rfc3339
from boxship.engine.values import Image
from boxship.spec.ignore import compiled
from boxship.spec.image import ExecutionConfig

SECOND = 1_000_000_000  # nanoseconds


def summary_json(image: Image, version: Version, *, containers: int = -1, shared: int = -1) -> dict[str, Any]:
    """One entry of `GET /images/json`; -1 means not counted."""
    shown: dict[str, Any] = {
        "Id": image.id,
        "ParentId": image.parent,
        "RepoTags": list(image.references),
        "RepoDigests": list(image.digests),
        "Created": image.created // SECOND,
        "Size": image.size,
        "SharedSize": shared,
        "Labels": labels_of(image) or None,
        "Containers": containers,
    }
    if version < (1, 43):
        shown["RepoTags"] = shown["RepoTags"] or ["<none>:<none>"]
        shown["RepoDigests"] = shown["RepoDigests"] or ["<none>@<none>"]
    if version < (1, 44):
        shown["VirtualSize"] = image.size
    return shown


def labels_of(image: Image) -> dict[str, str]:
    config = image.config.config
    return dict(config.Labels or {}) if config else {}


def inspect_json(image: Image, version: Version) -> dict[str, Any]:
    """The answer of `GET /images/{name}/json`."""
    config = image.config
    comment = config.history[-1].comment if config.history else ""
    shown: dict[str, Any] = {
        "Id": image.id,
        "RepoTags": list(image.references),
        "RepoDigests": list(image.digests),
        "Parent": image.parent,
        "Comment": comment,
        "DockerVersion": "",
        "Author": config.author,
        "Config": config_json(config.config),
        "Architecture": config.architecture,
        "Os": config.os,
        "Size": image.size,
        "GraphDriver": {"Name": "overlay2", "Data": None},
        "RootFS": {"Type": "layers", "Layers": list(image.diff_ids)},
        "Metadata": {"LastTagTime": rfc3339(image.tagged_at)},
    }
    if config.variant:
        shown["Variant"] = config.variant
    if config.created or version < (1, 44):
        shown["Created"] = config.created or rfc3339(0)
    if version < (1, 44):
        shown["VirtualSize"] = image.size
    if version < (1, 45):
        shown["Container"] = ""
        shown["ContainerConfig"] = config_json(config.config)
    return shown


def config_json(config: ExecutionConfig | None) -> dict[str, Any]:
    """An image's Config in the shape of a container's."""
    config = config or ExecutionConfig()
    shown: dict[str, Any] = {
        "Hostname": "",
        "Domainname": "",
        "User": config.User,
        "AttachStdin": False,
        "AttachStdout": False,
        "AttachStderr": False,
        "Tty": False,
        "OpenStdin": False,
        "StdinOnce": False,
        "Env": None if config.Env is None else list(config.Env),
        "Cmd": None if config.Cmd is None else list(config.Cmd),
        "Image": "",
        "Volumes": config.Volumes,
        "WorkingDir": config.WorkingDir,
        "Entrypoint": None if config.Entrypoint is None else list(config.Entrypoint),
        "OnBuild": None if config.OnBuild is None else list(config.OnBuild),
        "Labels": config.Labels,
    }
    if config.ExposedPorts:
        shown["ExposedPorts"] = config.ExposedPorts
    if config.StopSignal:
        shown["StopSignal"] = config.StopSignal
    if config.Shell:
        shown["Shell"] = list(config.Shell)
    check = config.Healthcheck
    if check is not None:
        probe = {
            "Test": list(check.Test),
            "Interval": check.Interval,
            "Timeout": check.Timeout,
            "StartPeriod": check.StartPeriod,
            "StartInterval": check.StartInterval,
            "Retries": check.Retries,
        }
        shown["Healthcheck"] = {name: value for name, value in probe.items() if value}
    return shown


def matches_reference(pattern: str, reference: str) -> bool:
    """Shell-like patterns over a name with its tag or digest, or alone; `*` does not cross a slash. Raises Invalid."""
    expression = _expression(pattern)
    name = reference.partition("@")[0]
    name = name.rpartition(":")[0] if ":" in name.rpartition("/")[2] else name
    return bool(expression.fullmatch(reference) or expression.fullmatch(name))


@functools.lru_cache(maxsize=64)
def _expression(pattern: str) -> re.Pattern[str]:
    return compiled(pattern, deep=False)
