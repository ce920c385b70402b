"""From the flags of `create` and `run` to the body of POST /containers/create. Pure, but for files that flags name."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence

from boxship.cli.daemon import Object
from boxship.cli.flags import Options
from boxship.cli.mount_options import parse_mount, split_tmpfs, split_volumes
from boxship.cli.network_options import choose_networks
from boxship.cli.option_text import pairs_of, read_lines, variables
from boxship.cli.port_options import expose, publish
from boxship.cli.resource_options import health_check, resources, restart_policy
from boxship.errors import Invalid

STREAMS = ("stdin", "stdout", "stderr")


def create_body(
    options: Options, image: str, command: Sequence[str], environment: Mapping[str, str], *, detached: bool
) -> Object:
    """The whole body. Raises Invalid, which names the flag."""
    streams = attached_streams(options, detached)
    exposed, bindings = publish(options.texts("publish"))
    exposed |= expose(options.texts("expose"))
    binds, anonymous = split_volumes(options.texts("volume"))
    mode, endpoints = choose_networks(options)
    interactive = options.on("interactive")
    host = {
        **resources(options),
        **_namespaces(options),
        **_security(options),
        "Binds": binds or None,
        "Mounts": [parse_mount(text) for text in options.texts("mount")] or None,
        "Tmpfs": split_tmpfs(options.texts("tmpfs")) or None,
        "VolumesFrom": options.texts("volumes-from") or None,
        "VolumeDriver": options.text("volume-driver"),
        "NetworkMode": mode,
        "PortBindings": bindings,
        "PublishAllPorts": options.on("publish-all"),
        "Links": options.texts("link") or None,
        "Dns": options.texts("dns"),
        "DnsOptions": options.texts("dns-option") + options.texts("dns-opt"),
        "DnsSearch": options.texts("dns-search"),
        "ExtraHosts": [_extra_host(word) for word in options.texts("add-host")] or None,
        "RestartPolicy": restart_policy(options.text("restart")),
        "AutoRemove": options.on("rm"),
        "ContainerIDFile": options.text("cidfile"),
        "LogConfig": {"Type": options.text("log-driver"), "Config": pairs_of(options.texts("log-opt"), "log-opt")},
        "Annotations": pairs_of(options.texts("annotation"), "annotation"),
        "StorageOpt": pairs_of(options.texts("storage-opt"), "storage-opt"),
    }
    if host["AutoRemove"] and host["RestartPolicy"]["Name"] not in ("", "no"):
        raise Invalid("conflicting options: cannot specify both --restart and --rm")
    return {
        "Hostname": options.text("hostname"),
        "Domainname": options.text("domainname"),
        "User": options.text("user"),
        "AttachStdin": "stdin" in streams,
        "AttachStdout": "stdout" in streams,
        "AttachStderr": "stderr" in streams,
        "ExposedPorts": {port: {} for port in sorted(exposed)},
        "Tty": options.on("tty"),
        "OpenStdin": interactive,
        "StdinOnce": interactive and "stdin" in streams,
        "Env": variables(options.texts("env"), options.texts("env-file"), environment),
        "Cmd": list(command) or None,
        "Image": image,
        "Volumes": anonymous,
        "WorkingDir": options.text("workdir"),
        "Entrypoint": [options.text("entrypoint")] if options.given("entrypoint") else None,
        "Labels": _labels(options),
        "HostConfig": host,
        "NetworkingConfig": {"EndpointsConfig": endpoints},
        **_optional_fields(options),
    }


def _optional_fields(options: Options) -> Object:
    fields: Object = {}
    if options.text("mac-address"):
        fields["MacAddress"] = options.text("mac-address")
    if options.text("stop-signal"):
        fields["StopSignal"] = options.text("stop-signal")
    if options.given("stop-timeout"):
        fields["StopTimeout"] = options.number("stop-timeout")
    if (health := health_check(options)) is not None:
        fields["Healthcheck"] = health
    return fields


def attached_streams(options: Options, detached: bool) -> list[str]:
    """Which of stdin, stdout and stderr are attached: those of --attach, else all but an unwanted stdin."""
    named = [word.lower() for word in options.texts("attach")]
    for word in named:
        if word not in STREAMS:
            raise Invalid(f'invalid argument "{word}" for "-a, --attach" flag: it must be STDIN, STDOUT or STDERR')
    if named and detached:
        raise Invalid("conflicting options: cannot specify both --attach and --detach")
    if named:
        return named + (["stdin"] if options.on("interactive") and "stdin" not in named else [])
    if detached:
        return []
    return [*(["stdin"] if options.on("interactive") else []), "stdout", "stderr"]


def _labels(options: Options) -> dict[str, str]:
    lines = [line for path in options.texts("label-file") for line in read_lines(path, "label-file")]
    return pairs_of([*lines, *options.texts("label")])


def _extra_host(word: str) -> str:
    """ "name:address", also written "name=address"."""
    name, mark, address = word.partition("=" if "=" in word else ":")
    if not mark or not name or not address:
        raise Invalid(f"bad format for --add-host: {word!r}: it must be host:ip")
    return f"{name}:{address.removeprefix('[').removesuffix(']')}"


def _namespaces(options: Options) -> Object:
    return {
        "IpcMode": options.text("ipc"),
        "PidMode": options.text("pid"),
        "UTSMode": options.text("uts"),
        "UsernsMode": options.text("userns"),
        "CgroupnsMode": options.text("cgroupns"),
        "CgroupParent": options.text("cgroup-parent"),
        "Isolation": options.text("isolation"),
        "Runtime": options.text("runtime"),
        "Sysctls": pairs_of(options.texts("sysctl"), "sysctl"),
        "Init": options.on("init") if options.given("init") else None,
    }


def _security(options: Options) -> Object:
    found: Object = {
        "Privileged": options.on("privileged"),
        "ReadonlyRootfs": options.on("read-only"),
        "CapAdd": options.texts("cap-add") or None,
        "CapDrop": options.texts("cap-drop") or None,
        "GroupAdd": options.texts("group-add") or None,
    }
    words = []
    for word in options.texts("security-opt"):
        name, mark, value = word.partition("=" if "=" in word else ":")
        if word == "systempaths=unconfined":
            found |= {"MaskedPaths": [], "ReadonlyPaths": []}
        elif name == "seccomp" and value not in ("unconfined", "builtin"):
            words.append(f"seccomp={_read_profile(value)}")
        else:
            words.append(f"{name}={value}" if mark else name)
    found["SecurityOpt"] = words or None
    return found


def _read_profile(path: str) -> str:
    try:
        with open(path, encoding="utf-8") as file:
            return json.dumps(json.load(file), separators=(",", ":"))
    except OSError as error:
        raise Invalid(f"opening seccomp profile ({path}) failed: {(error.strerror or '').lower()}") from None
    except ValueError as error:
        raise Invalid(f"compacting json for seccomp profile ({path}) failed: {error}") from None
