"""What a service finds in its file system: binds, volumes, memory, and secrets and configurations that are files."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from boxship.cli.composing.materials import granted, is_bound
from boxship.compose.model import Project, Service
from boxship.compose.parts import BindOptions, Mount
from boxship.errors import Invalid, Unsupported

Body = dict[str, Any]
API_SOCKET = "/var/run/docker.sock"
RECURSIVE = {"disabled": "NonRecursive", "writable": "ReadOnlyNonRecursive", "readonly": "ReadOnlyForceRecursive"}


def mounts(project: Project, service: Service, inherited: Mapping[str, str], socket: str) -> Body:
    """Mounts, Binds and Tmpfs of HostConfig. `inherited` are the anonymous volumes of the container before this one."""
    found: list[Body] = []
    binds: list[str] = []
    for mount in service.volumes:
        if mount.type == "bind" and mount.bind is not None and mount.bind.selinux:
            binds.append(_labelled(mount, mount.bind))
        elif mount.type == "volume" and not mount.source and mount.target in inherited:
            found.append(_volume(mount, inherited[mount.target]))
        else:
            found.append(_mount(project, service, mount))
    placed = {mount.target for mount in service.volumes}
    tmpfs = dict(_memory(text) for text in service.tmpfs)
    for grant in granted(project, service):
        if is_bound(grant):
            found.append({"Type": "bind", "Source": grant.file, "Target": grant.target, "ReadOnly": True})
            placed.add(grant.target)
    for target, name in inherited.items():
        if target not in placed and target not in tmpfs:
            found.append({"Type": "volume", "Source": name, "Target": target})
    if service.use_api_socket:
        if not socket:
            raise Unsupported(f"unsupported: services.{service.name}.use_api_socket with a daemon elsewhere")
        found.append({"Type": "bind", "Source": socket, "Target": API_SOCKET})
    return {"Mounts": found or None, "Binds": binds or None, "Tmpfs": tmpfs or None}


def _memory(text: str) -> tuple[str, str]:
    path, _, options = text.partition(":")
    return path, options


def _mount(project: Project, service: Service, mount: Mount) -> Body:
    body: Body = {"Type": mount.type, "Source": mount.source, "Target": mount.target, "ReadOnly": mount.read_only}
    if mount.consistency:
        body["Consistency"] = mount.consistency
    if mount.type == "volume" and mount.source:
        if mount.source not in project.volumes:
            raise Invalid(f"cannot create {service.name}: undefined volume {mount.source}")
        return _volume(mount, project.volumes[mount.source].name)
    if mount.type == "volume":
        return _volume(mount, "")
    if mount.bind is not None:
        body["BindOptions"] = _bind(service, mount.bind)
    if mount.tmpfs is not None:
        body["TmpfsOptions"] = {"SizeBytes": mount.tmpfs.size, "Mode": mount.tmpfs.mode}
    if mount.image is not None:
        body["ImageOptions"] = {"Subpath": mount.image.subpath}
    return body


def _volume(mount: Mount, name: str) -> Body:
    body: Body = {"Type": "volume", "Source": name, "Target": mount.target, "ReadOnly": mount.read_only}
    if mount.consistency:
        body["Consistency"] = mount.consistency
    if mount.volume is not None:
        options = mount.volume
        body["VolumeOptions"] = {"NoCopy": options.nocopy, "Subpath": options.subpath, "Labels": dict(options.labels)}
    return body


def _bind(service: Service, options: BindOptions) -> Body:
    body: Body = {"CreateMountpoint": options.create_host_path}
    if options.propagation:
        body["Propagation"] = options.propagation
    if options.recursive in RECURSIVE:
        body[RECURSIVE[options.recursive]] = True
    elif options.recursive not in ("", "enabled"):
        raise Unsupported(f"unsupported: services.{service.name}.volumes.bind.recursive {options.recursive}")
    return body


def _labelled(mount: Mount, options: BindOptions) -> str:
    """Labels of SELinux can be asked for in the short form alone."""
    words = [
        "ro" if mount.read_only else "rw",
        options.selinux,
        *([options.propagation] if options.propagation else []),
    ]
    return f"{mount.source}:{mount.target}:{','.join(words)}"
