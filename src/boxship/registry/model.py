"""The values of the registry room: what is stored of a repository, and who asks for what."""

import asyncio
from typing import Any

import msgspec

MIB = 1024 * 1024
SECOND = 1_000_000_000


class Settings(msgspec.Struct, frozen=True):
    """Limits of one registry, each with its unit."""

    manifest_bytes: int = 4 * MIB
    manifest_parts: int = 4096  # descriptors in one manifest
    blob_bytes: int = 256 * 1024 * MIB  # one blob
    fresh_seconds: float = 3600.0  # a blob that no manifest names yet is kept since the last sign of its push
    touch_seconds: float = 600.0  # a blob that a client was told to be there is kept for the push it belongs to
    lapsed_seconds: float = 24 * 3600.0  # a manifest that lost its last tag to another push can still be pulled
    stall_seconds: float = 300.0  # a body of which nothing comes for so long is given up; what has come is kept
    busy_seconds: float = 2.0  # a request for an upload waits so long for the end of the one before it
    upload_limit: int = 10_000  # uploads under way at once
    look_seconds: float = 5.0  # how often times are looked at


class Actor(msgspec.Struct, frozen=True):
    """Who asks: a user ("": nobody in particular), from where, with which program. `gone` is the connection's: one
    object for as long as it lasts, set when it is closed."""

    user: str = ""
    address: str = ""
    agent: str = ""
    gone: asyncio.Event | None = None

    @property
    def principal(self) -> tuple[str, str, str]:
        """What stays the same over one push, as far as we can see."""
        return (self.user, self.address, self.agent)


class Part(msgspec.Struct, frozen=True, array_like=True):
    """A blob that a manifest names, with its size in bytes."""

    digest: str
    size: int


class Manifest(msgspec.Struct, frozen=True, omit_defaults=True):
    """A manifest in a repository. Times in nanoseconds since the epoch."""

    media_type: str
    size: int
    pushed_at: int
    parts: tuple[Part, ...] = ()  # blobs that must be there
    children: tuple[str, ...] = ()  # manifests that must be there
    subject: str = ""
    artifact_type: str = ""
    annotations: dict[str, str] | None = None  # kept for the list of referrers
    lapsed_at: int = 0  # when the last tag went to another push


class Tag(msgspec.Struct, frozen=True):
    """What a tag stands for, and since when."""

    digest: str
    pushed_at: int


class Fresh(msgspec.Struct, frozen=True):
    """A blob that was pushed or mounted and that no manifest names yet."""

    size: int
    pushed_at: int


class Found(msgspec.Struct, frozen=True):
    """A manifest that can be served."""

    digest: str
    media_type: str
    size: int
    subject: str = ""


class Referrer(msgspec.Struct, frozen=True, omit_defaults=True):
    """A descriptor in the list of referrers, in the specification's JSON."""

    mediaType: str
    digest: str
    size: int
    artifactType: str = ""
    annotations: dict[str, str] | None = None


class Pushed(msgspec.Struct, frozen=True):
    """A manifest was stored: under which digest, and what it refers to."""

    digest: str
    subject: str = ""


class Deleted(msgspec.Struct, frozen=True):
    """What one deletion took away."""

    tags: tuple[str, ...] = ()
    manifests: tuple[str, ...] = ()


class Totals(msgspec.Struct, frozen=True):
    """What a registry has. Sizes in bytes."""

    uploads: int
    repositories: int
    tags: int
    manifests: int
    blobs: int
    fresh: int
    size: int
    waiting: int
    deleted_manifests: int
    deleted_tags: int


JsonObject = dict[str, Any]
