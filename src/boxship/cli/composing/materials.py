"""Secrets and configurations on their way into a container.

A file without an owner or mode of its own is bound, read-only, as `docker compose` does it: what changes in it is seen
at once. Everything else is put into the container before it starts.
"""

from __future__ import annotations

import io
import os
import posixpath
import tarfile

from msgspec import Struct

from boxship.compose.files import Files
from boxship.compose.model import Material, Project, Service
from boxship.compose.parts import Grant
from boxship.errors import Invalid, Unsupported

SECRETS = "/run/secrets"
READABLE = 0o444


class Granted(Struct, frozen=True, kw_only=True):
    """A secret or a configuration of one service. `content` counts where `file` is ""."""

    kind: str  # "secret" or "config"
    name: str
    target: str
    file: str = ""
    content: bytes = b""
    uid: str = ""
    gid: str = ""
    mode: int | None = None


def granted(project: Project, service: Service) -> list[Granted]:
    """All of them, with absolute targets. Raises Unsupported for external ones and Invalid for missing variables."""
    found = [_granted(project, service, "secret", grant) for grant in service.secrets]
    found += [_granted(project, service, "config", grant) for grant in service.configs]
    return found


def _granted(project: Project, service: Service, kind: str, grant: Grant) -> Granted:
    known = project.secrets if kind == "secret" else project.configs
    if grant.source not in known:
        raise Invalid(f"cannot create {service.name}: undefined {kind} {grant.source}")
    material = known[grant.source]
    _refuse(kind, grant.source, material)
    target = grant.target or grant.source
    if not target.startswith("/"):
        target = posixpath.join(SECRETS if kind == "secret" else "/", target)
    found = Granted(
        kind=kind, name=grant.source, target=target, file=material.file, uid=grant.uid, gid=grant.gid, mode=grant.mode
    )
    if material.file:
        return found
    return Granted(
        kind=kind,
        name=grant.source,
        target=target,
        content=material_content(project, kind, grant.source, material),
        uid=grant.uid,
        gid=grant.gid,
        mode=grant.mode,
    )


def _refuse(kind: str, name: str, material: Material) -> None:
    if material.external:
        raise Unsupported(f"unsupported: external {kind} {name}: there is no store of {kind}s; give it a file")
    if material.driver or material.driver_opts or material.template_driver:
        raise Unsupported(f"unsupported: {kind}s.{name}.{'driver' if material.driver else 'template_driver'}")


def material_content(project: Project, kind: str, name: str, material: Material) -> bytes:
    """What stands in the file, or comes from a variable."""
    if material.environment:
        value = project.environment.get(material.environment)
        if value is None:
            raise Invalid(f"cannot use {kind} {name}: the environment has no {material.environment}")
        return value.encode("utf-8", "surrogateescape")
    return material.content.encode("utf-8", "surrogateescape")


def is_bound(grant: Granted) -> bool:
    """Whether it is mounted as it is."""
    return bool(grant.file) and not grant.uid and not grant.gid and grant.mode is None


def archive(service: Service, grants: list[Granted], files: Files) -> bytes:
    """Those that are not bound, as an archive to unpack at the root; nothing where there are none."""
    wanted = [grant for grant in grants if not is_bound(grant)]
    if not wanted:
        return b""
    if service.read_only:
        first = wanted[0]
        raise Unsupported(
            f"unsupported: {first.kind} {first.name} in the read-only service {service.name}: give it a file"
        )
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w", format=tarfile.PAX_FORMAT) as tar:
        for grant in wanted:
            content = files.read(grant.file) if grant.file else grant.content
            member = tarfile.TarInfo(grant.target.lstrip("/"))
            member.size = len(content)
            member.mode = READABLE if grant.mode is None else grant.mode
            member.uid, member.gid = _number(service, grant, "uid"), _number(service, grant, "gid")
            member.mtime = _moment(grant)
            tar.addfile(member, io.BytesIO(content))
    return buffer.getvalue()


def _number(service: Service, grant: Granted, field: str) -> int:
    text = grant.uid if field == "uid" else grant.gid
    if not text:
        return 0
    if not (text.isascii() and text.isdigit()):
        raise Invalid(f"cannot create {service.name}: {grant.kind} {grant.name}: {field} {text!r} is no number")
    return int(text)


def _moment(grant: Granted) -> int:
    try:
        return int(os.stat(grant.file).st_mtime) if grant.file else 0
    except OSError:
        return 0
