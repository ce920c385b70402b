"""Which mounts a container gets: the request, the image's volumes and other containers' volumes as one list. Pure."""

import posixpath
from collections.abc import Iterable, Sequence

import msgspec

from boxship.engine.model import Container, MountPoint
from boxship.errors import Invalid
from boxship.spec.container import ContainerSpec, MountRequest
from boxship.volumes.resolve import parse_bind, validate

PROTECTED_TARGETS = ("/", "/proc", "/sys")


def requested_mounts(spec: ContainerSpec, image_volumes: Iterable[str]) -> tuple[MountRequest, ...]:
    """Every mount that the request and the image name, in the order in which they are made (shorter targets first).

    A target that the user mounts explicitly hides the image's volume there. Raises Invalid for a target named twice.
    """
    explicit: dict[str, MountRequest] = {}
    for written in spec.mounts:
        request = parse_bind(written.text) if written.origin == "binds" and not written.target else written
        if request.kind == "volume" and request.origin == "binds" and not request.driver:
            request = msgspec.structs.replace(request, driver=spec.volume_driver)
        validate(request)
        target = check_target(request.target)
        if target in explicit:
            raise Invalid(f"Duplicate mount point: {target}")
        explicit[target] = msgspec.structs.replace(request, target=target)
    for target in (*spec.volumes, *image_volumes):
        clean = check_target(target)
        if clean not in explicit:
            explicit[clean] = MountRequest(kind="volume", target=clean, driver=spec.volume_driver, origin="image")
    return tuple(sorted(explicit.values(), key=lambda request: (request.target.count("/"), request.target)))


def check_target(target: str) -> str:
    """The clean absolute path. Raises Invalid for a relative one, the root, or the kernel's own folders."""
    if not target.startswith("/"):
        raise Invalid(f"invalid mount target, must be an absolute path in the container: {target}")
    clean = posixpath.normpath(target)
    if clean.startswith("//"):
        clean = clean[1:]
    if clean in PROTECTED_TARGETS:
        raise Invalid(f"invalid specification: destination can't be '{clean}'")
    return clean


def inherited_mounts(source: Container, mode: str, taken: Sequence[str]) -> tuple[MountPoint, ...]:
    """The mounts of another container (--volumes-from) but for targets that are taken; `mode` is "", "rw" or "ro"."""
    if mode not in ("", "rw", "ro", "z", "Z"):
        raise Invalid(f"invalid mode for volumes-from: {mode}")
    return tuple(
        msgspec.structs.replace(
            point,
            read_write=point.read_write and mode != "ro",
            origin="volumes-from",
            anonymous=False,
            options=(*point.options, "ro") if mode == "ro" and "ro" not in point.options else point.options,
        )
        for point in source.mounts
        if point.target not in taken and point.kind != "tmpfs"
    )


def split_volumes_from(text: str) -> tuple[str, str]:
    """("container", mode) of "container" or "container:ro"."""
    name, _, mode = text.partition(":")
    if not name:
        raise Invalid("malformed volumes-from specification: ''")
    return name, mode
