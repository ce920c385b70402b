"""From a service of the model to the body of POST /containers/create. Pure, but for profiles that security options
name.

Every field of the model shows in the body, or in what `materials`, `hooks` and `building` do beside it, or is refused
by name. What the daemon itself refuses by name (isolation, graphics cards) is passed on to it, not left out.
"""

from __future__ import annotations

import json
import posixpath
from collections.abc import Mapping
from typing import Any

from msgspec import Struct

from boxship.cli.composing.creation_limits import limits
from boxship.cli.composing.creation_mounts import mounts
from boxship.cli.composing.creation_networks import endpoints, exposed_ports, network_mode, port_bindings
from boxship.cli.composing.durations import nanoseconds, seconds
from boxship.compose.files import Files
from boxship.compose.model import Project, Service
from boxship.compose.parts import Healthcheck
from boxship.compose.planning.actions import CreateContainer
from boxship.errors import Invalid, Unsupported

Body = dict[str, Any]
LABEL_DEPLOY = "boxship.deploy.label."


class Surroundings(Struct, frozen=True, kw_only=True):
    """What a body depends on beside the file. `containers` are (id, name) of each service's containers, in order,
    `linked` those of links that are not there yet; `inherited` maps paths to the volumes that a predecessor had there.
    """

    files: Files
    containers: Mapping[str, tuple[tuple[str, str], ...]] = {}
    linked: Mapping[str, tuple[tuple[str, str], ...]] = {}
    inherited: Mapping[str, str] = {}
    socket: str = ""  # the daemon's, on this machine
    streams: tuple[str, ...] = ()  # of stdin, stdout, stderr: those that are attached
    aliases: bool = True  # whether the container gets the service's names
    remove: bool = False  # when it ends


def creation_body(project: Project, service: Service, action: CreateContainer, around: Surroundings) -> Body:
    """The whole body. Raises Unsupported or Invalid that names the field."""
    refuse(service)
    identities = {name: [identifier for identifier, _ in known] for name, known in around.containers.items()}
    environment = dict(service.environment)
    if service.use_api_socket:
        environment.setdefault("DOCKER_HOST", "unix:///var/run/docker.sock")
    body: Body = {
        "Hostname": service.hostname,
        "Domainname": service.domainname,
        "User": service.user,
        "AttachStdin": "stdin" in around.streams,
        "AttachStdout": "stdout" in around.streams,
        "AttachStderr": "stderr" in around.streams,
        "ExposedPorts": exposed_ports(service),
        "Tty": service.tty,
        "OpenStdin": service.stdin_open,
        "StdinOnce": service.stdin_open and "stdin" in around.streams,
        "Env": [name if value is None else f"{name}={value}" for name, value in environment.items()],
        "Cmd": None if service.command is None else list(service.command),
        "Image": action.image,
        "WorkingDir": service.working_dir,
        "Entrypoint": None if service.entrypoint is None else list(service.entrypoint) or [""],
        "Labels": _labels(service, action),
        "HostConfig": _host(project, service, action, around, identities),
        "NetworkingConfig": {
            "EndpointsConfig": endpoints(
                project, service, action.name, {**around.containers, **around.linked}, aliases=around.aliases
            )
        },
    }
    if service.stop_signal:
        body["StopSignal"] = service.stop_signal
    if service.stop_grace_period:
        body["StopTimeout"] = seconds(service.stop_grace_period)
    if service.mac_address and not body["NetworkingConfig"]["EndpointsConfig"]:
        body["MacAddress"] = service.mac_address
    if (health := _health(service.healthcheck)) is not None:
        body["Healthcheck"] = health
    return body


def refuse(service: Service) -> None:
    """What no container of ours can have."""
    deploy = service.deploy
    refused = {
        "credential_spec": service.credential_spec is not None,
        "deploy.mode": deploy is not None and deploy.mode not in ("", "replicated", "global"),
    }
    if deploy is not None and deploy.resources is not None:
        for name, part in (("limits", deploy.resources.limits), ("reservations", deploy.resources.reservations)):
            refused[f"deploy.resources.{name}.generic_resources"] = bool(part and part.generic_resources)
    for name, asked in refused.items():
        if asked:
            raise Unsupported(f"unsupported: services.{service.name}.{name}")


def _labels(service: Service, action: CreateContainer) -> dict[str, str]:
    """The service's own; those by which programs know their containers again are the action's. Labels of `deploy` are
    the service's, not its containers': they are kept where they cannot be taken for these."""
    deployed = service.deploy.labels if service.deploy else {}
    return {**service.labels, **{f"{LABEL_DEPLOY}{name}": value for name, value in deployed.items()}, **action.labels}


def _host(
    project: Project,
    service: Service,
    action: CreateContainer,
    around: Surroundings,
    identities: Mapping[str, list[str]],
) -> Body:
    host: Body = {
        **limits(service),
        **mounts(project, service, around.inherited, around.socket),
        "NetworkMode": network_mode(project, service, identities),
        "PortBindings": port_bindings(service),
        "RestartPolicy": {"Name": "no", "MaximumRetryCount": 0} if action.one_off else _restart(service),
        "AutoRemove": around.remove,
        "LogConfig": {"Type": "", "Config": {}},
        "Dns": list(service.dns),
        "DnsOptions": list(service.dns_opt),
        "DnsSearch": list(service.dns_search),
        "ExtraHosts": [word.replace("=", ":", 1) for word in service.extra_hosts] or None,
        "GroupAdd": list(service.group_add) or None,
        "IpcMode": _namespace(service, "ipc", identities),
        "PidMode": _namespace(service, "pid", identities),
        "UTSMode": service.uts,
        "UsernsMode": service.userns_mode,
        "CgroupnsMode": service.cgroup,
        "Annotations": dict(service.annotations),
        "Init": service.init,
        "Isolation": service.isolation,
        "Privileged": service.privileged,
        "ReadonlyRootfs": service.read_only,
        "CapAdd": list(service.cap_add) or None,
        "CapDrop": list(service.cap_drop) or None,
        "Runtime": service.runtime,
        "StorageOpt": dict(service.storage_opt),
        "Sysctls": dict(service.sysctls),
        "VolumesFrom": _volumes_from(service, identities) or None,
        **_security(project, service, around.files),
    }
    if service.logging is not None:
        host["LogConfig"] = {"Type": service.logging.driver, "Config": dict(service.logging.options)}
    return host


def _first(service: Service, field: str, name: str, identities: Mapping[str, list[str]]) -> str:
    known = identities.get(name)
    if not known:
        raise Invalid(f"cannot create {service.name}: {field}: service {name} has no container")
    return known[0]


def _namespace(service: Service, field: str, identities: Mapping[str, list[str]]) -> str:
    text = service.ipc if field == "ipc" else service.pid
    kind, colon, name = text.partition(":")
    if kind == "service" and colon:
        return f"container:{_first(service, field, name, identities)}"
    return text


def _volumes_from(service: Service, identities: Mapping[str, list[str]]) -> list[str]:
    """ "service[:ro]" and "container:NAME[:ro]"."""
    found = []
    for text in service.volumes_from:
        kind, _, rest = text.partition(":")
        if kind == "container":
            found.append(rest)
            continue
        identifier = _first(service, "volumes_from", kind, identities)
        found.append(f"{identifier}:{rest}" if rest else identifier)
    return found


def _restart(service: Service) -> Body:
    name, _, count = service.restart.partition(":")
    retries = int(count) if count.isdigit() else 0
    policy = service.deploy.restart_policy if service.deploy else None
    if not name and policy is not None:
        name = {"none": "no", "on-failure": "on-failure"}.get(policy.condition, "always")
        retries = policy.max_attempts or 0 if name == "on-failure" else 0
    return {"Name": name or "no", "MaximumRetryCount": retries}


def _security(project: Project, service: Service, files: Files) -> Body:
    words: list[str] = []
    found: Body = {}
    for word in service.security_opt:
        name, mark, value = word.partition("=" if "=" in word else ":")
        if name == "systempaths" and value == "unconfined":
            found |= {"MaskedPaths": [], "ReadonlyPaths": []}
        elif name == "seccomp" and value not in ("unconfined", "builtin"):
            words.append(f"seccomp={_profile(service, posixpath.join(project.directory, value), files)}")
        else:
            words.append(f"{name}={value}" if mark else name)
    return {**found, "SecurityOpt": words or None}


def _profile(service: Service, path: str, files: Files) -> str:
    try:
        return json.dumps(json.loads(files.read(path)), separators=(",", ":"))
    except ValueError as error:
        raise Invalid(f"cannot create {service.name}: security_opt: {path} is no JSON: {error}") from None


def _health(check: Healthcheck | None) -> Body | None:
    if check is None:
        return None
    if check.disable:
        return {"Test": ["NONE"]}
    times = {
        "Interval": check.interval,
        "Timeout": check.timeout,
        "StartPeriod": check.start_period,
        "StartInterval": check.start_interval,
    }
    body: Body = {name: nanoseconds(text) for name, text in times.items() if text}
    if check.test:
        body["Test"] = list(check.test)
    if check.retries is not None:
        body["Retries"] = check.retries
    return body
