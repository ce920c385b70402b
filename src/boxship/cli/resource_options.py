"""Flags about limits, devices, restarts and health to the API's fields; `create`, `run` and `update` share them."""

from __future__ import annotations

from boxship.cli.daemon import Object
from boxship.cli.flags import Options
from boxship.cli.option_text import split_commas
from boxship.errors import Invalid
from boxship.spec.quantity import parse_bytes, parse_processors


def restart_policy(text: str) -> Object:
    """ "on-failure:3" as a policy."""
    name, colon, count = text.partition(":")
    if colon and not (count.isascii() and count.isdigit() and len(count) < 10):
        raise Invalid(f"invalid restart policy format: maximum retry count must be an integer: {text!r}")
    if colon and not name:
        raise Invalid("invalid restart policy format: no policy provided before colon")
    return {"Name": name, "MaximumRetryCount": int(count) if colon else 0}


def resources(options: Options) -> Object:
    """The limits that `create`, `run` and (in part) `update` take."""
    swappiness = options.number("memory-swappiness")
    if swappiness != -1 and not 0 <= swappiness <= 100:
        raise Invalid(f"invalid value: {swappiness}. Valid memory swappiness range is 0-100")
    found: Object = {
        "Memory": options.number("memory"),
        "MemoryReservation": options.number("memory-reservation"),
        "MemorySwap": options.number("memory-swap"),
        "MemorySwappiness": None if swappiness == -1 else swappiness,
        "NanoCpus": parse_processors(options.text("cpus")) if options.text("cpus") else 0,
        "CpuShares": options.number("cpu-shares"),
        "CpuPeriod": options.number("cpu-period"),
        "CpuQuota": options.number("cpu-quota"),
        "CpuRealtimePeriod": options.number("cpu-rt-period"),
        "CpuRealtimeRuntime": options.number("cpu-rt-runtime"),
        "CpusetCpus": options.text("cpuset-cpus"),
        "CpusetMems": options.text("cpuset-mems"),
        "BlkioWeight": options.number("blkio-weight"),
        "BlkioWeightDevice": _throttles(options, "Weight", "blkio-weight-device"),
        "Devices": [parse_device(word) for word in options.texts("device") if not _is_named_device(word)],
        "DeviceCgroupRules": options.texts("device-cgroup-rule") or None,
        "DeviceRequests": _device_requests(options) or None,
        "Ulimits": [parse_ulimit(word) for word in options.texts("ulimit")] or None,
        "OomKillDisable": options.on("oom-kill-disable") if options.given("oom-kill-disable") else None,
        "OomScoreAdj": options.number("oom-score-adj"),
        "PidsLimit": options.number("pids-limit") if options.given("pids-limit") else None,
        "ShmSize": options.number("shm-size"),
    }
    if options.given("kernel-memory"):
        found["KernelMemory"] = options.number("kernel-memory")
    for direction in ("Read", "Write"):
        for unit, flag in (("Bps", "bps"), ("IOps", "iops")):
            name = f"device-{direction.lower()}-{flag}"
            found[f"BlkioDevice{direction}{unit}"] = _throttles(options, "Rate", name)
    return found


def _throttles(options: Options, field: str, flag: str) -> list[Object]:
    return [_throttle(word, field, flag) for word in options.texts(flag)]


def _throttle(word: str, field: str, flag: str) -> Object:
    path, colon, value = word.rpartition(":")
    if not colon or not path.startswith("/dev/"):
        raise Invalid(f"bad format for --{flag}: {word!r}: it must be /dev/NAME:VALUE")
    if flag.endswith("bps"):
        return {"Path": path, field: parse_bytes(value)}
    if not (value.isascii() and value.isdigit() and len(value) < 20):
        raise Invalid(f"invalid value for --{flag}: {word!r}: not a whole number")
    return {"Path": path, field: int(value)}


def parse_device(word: str) -> Object:
    """ "/dev/a[:/dev/b][:rwm]" as a mapping."""
    parts = word.split(":")
    rights = "rwm"
    if len(parts) > 1 and parts[-1] and set(parts[-1]) <= set("rwm"):
        rights = parts.pop()
    if not 1 <= len(parts) <= 2 or not all(parts):
        raise Invalid(f"invalid device specification: {word}")
    return {"PathOnHost": parts[0], "PathInContainer": parts[-1], "CgroupPermissions": rights}


def _is_named_device(word: str) -> bool:
    return "=" in word and not word.startswith("/")


def _device_requests(options: Options) -> list[Object]:
    named = [word for word in options.texts("device") if _is_named_device(word)]
    found: list[Object] = [{"Driver": "cdi", "DeviceIDs": named}] if named else []
    for word in options.texts("gpus"):
        request: Object = {"Count": 0, "Capabilities": [["gpu"]], "Options": {}}
        for field in split_commas(word):
            key, equals, value = field.partition("=")
            if not equals or key == "count":
                request["Count"] = -1 if (value or key) == "all" else _count(value or key)
            elif key == "device":
                request["DeviceIDs"] = value.split(",")
            elif key == "driver":
                request["Driver"] = value
            elif key == "capabilities":
                request["Capabilities"] = [[*value.split(","), "gpu"]]
            else:
                raise Invalid(f"unexpected key {key!r} in --gpus {word!r}")
        found.append(request)
    return found


def _count(text: str) -> int:
    if not (text.isascii() and text.isdigit() and len(text) < 10):
        raise Invalid(f"invalid count {text!r} in --gpus: it must be a number or 'all'")
    return int(text)


def parse_ulimit(word: str) -> Object:
    """ "nofile=1024:2048" as a limit; one number is both."""
    name, equals, values = word.partition("=")
    soft, colon, hard = values.partition(":")
    try:
        low, high = int(soft), int(hard if colon else soft)
    except ValueError:
        equals, low, high = "", 0, 0
    if not equals or not name:
        raise Invalid(f"invalid ulimit argument: {word}: it must be NAME=SOFT[:HARD]")
    if high != -1 and (low > high or low == -1):
        raise Invalid(f"invalid ulimit argument: {word}: soft limit is above the hard limit")
    return {"Name": name, "Soft": low, "Hard": high}


def health_check(options: Options) -> Object | None:
    """The health flags as a check; None leaves the image's."""
    timing = {
        "Interval": options.number("health-interval"),
        "Timeout": options.number("health-timeout"),
        "StartPeriod": options.number("health-start-period"),
        "StartInterval": options.number("health-start-interval"),
        "Retries": options.number("health-retries"),
    }
    command = options.text("health-cmd")
    if options.on("no-healthcheck"):
        if command or any(timing.values()):
            raise Invalid("--no-healthcheck conflicts with --health-* options")
        return {"Test": ["NONE"]}
    for name, value in timing.items():
        if value < 0:
            raise Invalid(f"--health {name} cannot be negative")
    if not command and not any(timing.values()):
        return None
    return {"Test": ["CMD-SHELL", command] if command else None, **{name: v for name, v in timing.items() if v}}
