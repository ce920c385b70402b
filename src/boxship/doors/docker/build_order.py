"""The first message of `POST /boxship/build`: a whole build as JSON, and what of it is to be sent as archives."""

import os
import stat
from pathlib import Path

import msgspec

from boxship.builder.model import BuildRequest, CacheEnd, Output
from boxship.builder.operations import FolderTree
from boxship.errors import Invalid, Unsupported
from boxship.spec.container import Resources, Ulimit
from boxship.spec.platform import parse as parse_platform

SECRET_BYTES = 500 << 10  # as BuildKit has it
DOCKERFILE_BYTES = 4 << 20
LOCAL_ONLY = ("src", "dest")  # attributes of caches that are folders of the client's machine


class Folder(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A folder of the client's. A daemon on the same machine finds it by its path, if device and inode agree; else it
    asks for an archive of it on the stream. `patterns` are the lines of the ignore file."""

    path: str = ""
    device: int = -1
    inode: int = -1
    patterns: tuple[str, ...] = ()
    stream: int = 0


class Order(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What to build. The fields are BuildRequest's, where not said otherwise."""

    context: Folder | None = None
    remote: str = ""
    dockerfile: str = "Dockerfile"
    dockerfile_text: bytes | None = None
    contexts: dict[str, Folder | str] = {}
    tags: tuple[str, ...] = ()
    target: str = ""
    arguments: dict[str, str | None] = {}
    labels: dict[str, str] = {}
    annotations: dict[str, str] = {}
    platform: str = ""
    no_cache: bool = False
    no_cache_stages: tuple[str, ...] = ()
    pull: bool = False
    network: str = "default"
    extra_hosts: tuple[str, ...] = ()
    shm_size: int = 0
    ulimits: tuple[Ulimit, ...] = ()
    resources: Resources = Resources()
    cgroup_parent: str = ""
    secrets: dict[str, bytes] = {}
    agents: tuple[str, ...] = ()  # identifiers of the ssh agents that the client offers
    insecure: bool = False
    host_network: bool = False
    host_ca: bool = False
    epoch: int | None = None
    outputs: tuple[Output, ...] = (Output(),)
    cache_from: tuple[CacheEnd, ...] = ()
    cache_to: tuple[CacheEnd, ...] = ()
    credentials: dict[str, dict[str, str]] = {}
    check: bool = False  # look for findings and build nothing

    def folders(self) -> list[Folder]:
        """Every folder, the main context first."""
        named = [value for value in self.contexts.values() if isinstance(value, Folder)]
        return ([self.context] if self.context is not None else []) + named


def decode_order(data: bytes, *, local: bool) -> Order:
    """The order. Raises Invalid or Unsupported naming what is wrong with it."""
    try:
        order = msgspec.json.decode(data, type=Order)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise Invalid(f"cannot read the build's options: {error}") from None
    for name, content in order.secrets.items():
        if len(content) > SECRET_BYTES:
            raise Invalid(f"cannot use secret {name}: longer than {SECRET_BYTES} bytes")
    if order.dockerfile_text is not None and len(order.dockerfile_text) > DOCKERFILE_BYTES:
        raise Invalid(f"cannot read {order.dockerfile}: longer than {DOCKERFILE_BYTES} bytes")
    streams = [folder.stream for folder in order.folders()]
    if len(set(streams)) != len(streams):
        raise Invalid("cannot read the build's options: two folders share a stream")
    if not local:
        for end in (*order.cache_from, *order.cache_to):
            if any(name in end.attributes for name in LOCAL_ONLY):
                raise Unsupported(f"unsupported: a cache of type {end.kind} in a folder of another machine")
    return order


def is_here(folder: Folder) -> bool:
    """Whether the daemon sees the very folder that the client means."""
    if not os.path.isabs(folder.path) or "\0" in folder.path:
        return False
    try:
        found = os.stat(folder.path)
    except OSError:
        return False
    return stat.S_ISDIR(found.st_mode) and (found.st_dev, found.st_ino) == (folder.device, folder.inode)


def build_request(order: Order, trees: dict[int, FolderTree]) -> BuildRequest:
    """The request, with the tree of each folder by its stream."""

    def tree_of(folder: Folder) -> FolderTree:
        found = trees.get(folder.stream) or FolderTree(Path(folder.path))
        return FolderTree(found.path, folder.patterns, found.origin)

    return BuildRequest(
        context=tree_of(order.context) if order.context is not None else None,
        contexts={
            name: tree_of(value) if isinstance(value, Folder) else value for name, value in order.contexts.items()
        },
        platform=parse_platform(order.platform) if order.platform else None,
        checks_only=order.check,
        **{name: getattr(order, name) for name in SAME},
    )


SAME = tuple(
    name
    for name in Order.__struct_fields__
    if name in BuildRequest.__struct_fields__ and name not in ("context", "contexts", "platform")
)
