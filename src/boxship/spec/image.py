"""The values of the OCI image specification 1.1 (descriptor, manifest, index, config) as frozen structs.

Field names follow the specification's JSON through `rename`; fields that we do not know survive in the blobs, because a
blob is never rewritten from these structs.
"""

from typing import Any

import msgspec

MEDIA_MANIFEST = "application/vnd.oci.image.manifest.v1+json"
MEDIA_INDEX = "application/vnd.oci.image.index.v1+json"
MEDIA_CONFIG = "application/vnd.oci.image.config.v1+json"
MEDIA_LAYER = "application/vnd.oci.image.layer.v1.tar"
MEDIA_LAYER_GZIP = "application/vnd.oci.image.layer.v1.tar+gzip"
MEDIA_LAYER_ZSTD = "application/vnd.oci.image.layer.v1.tar+zstd"
DOCKER_MANIFEST = "application/vnd.docker.distribution.manifest.v2+json"
DOCKER_MANIFEST_LIST = "application/vnd.docker.distribution.manifest.list.v2+json"
DOCKER_CONFIG = "application/vnd.docker.container.image.v1+json"
DOCKER_LAYER = "application/vnd.docker.image.rootfs.diff.tar"


class Platform(msgspec.Struct, frozen=True, omit_defaults=True):
    """An operating system and processor, as in `linux/arm64/v8` (OCI image index, "platform")."""

    architecture: str = ""
    os: str = ""
    variant: str = ""
    os_version: str = msgspec.field(name="os.version", default="")


class Descriptor(msgspec.Struct, frozen=True, omit_defaults=True):
    """Points to a blob: media type, digest ("sha256:<64 hex>"), size in bytes (OCI descriptor)."""

    mediaType: str
    digest: str
    size: int
    annotations: dict[str, str] | None = None
    platform: Platform | None = None
    artifactType: str = ""
    urls: tuple[str, ...] = ()


class Manifest(msgspec.Struct, frozen=True, omit_defaults=True):
    """One image for one platform: its config and its layers, lowest first (OCI image manifest). An artifact has a type
    of its own; a `subject` is what it is about."""

    config: Descriptor
    layers: tuple[Descriptor, ...]
    mediaType: str = MEDIA_MANIFEST
    annotations: dict[str, str] | None = None
    schemaVersion: int = 2
    artifactType: str = ""
    subject: Descriptor | None = None


class Index(msgspec.Struct, frozen=True, omit_defaults=True):
    """Several manifests under one digest (OCI image index)."""

    manifests: tuple[Descriptor, ...]
    mediaType: str = MEDIA_INDEX
    annotations: dict[str, str] | None = None
    schemaVersion: int = 2


class RootFs(msgspec.Struct, frozen=True):
    """Digests of the layers' uncompressed tar streams, lowest first."""

    diff_ids: tuple[str, ...] = ()
    type: str = "layers"


class History(msgspec.Struct, frozen=True, omit_defaults=True):
    """How one layer (or empty step) came to be."""

    created: str = ""
    created_by: str = ""
    author: str = ""
    comment: str = ""
    empty_layer: bool = False


class ImageHealthCheck(msgspec.Struct, frozen=True, omit_defaults=True):
    """Docker's HEALTHCHECK in an image config; durations in nanoseconds, 0 for the default."""

    Test: tuple[str, ...] = ()
    Interval: int = 0
    Timeout: int = 0
    StartPeriod: int = 0
    StartInterval: int = 0
    Retries: int = 0


class ExecutionConfig(msgspec.Struct, frozen=True, omit_defaults=True):
    """Defaults for containers made of the image (OCI image config, "config", with Docker's additions)."""

    User: str = ""
    ExposedPorts: dict[str, dict[str, Any]] | None = None
    Env: tuple[str, ...] | None = None
    Entrypoint: tuple[str, ...] | None = None
    Cmd: tuple[str, ...] | None = None
    Volumes: dict[str, dict[str, Any]] | None = None
    WorkingDir: str = ""
    Labels: dict[str, str] | None = None
    StopSignal: str = ""
    Healthcheck: ImageHealthCheck | None = None
    Shell: tuple[str, ...] | None = None
    OnBuild: tuple[str, ...] | None = None


class ImageConfig(msgspec.Struct, frozen=True, omit_defaults=True):
    """The image's config blob; its digest is the image's id. `build_cache` says which steps of a build made its layers,
    for builds elsewhere that use the image as a cache."""

    architecture: str
    os: str
    rootfs: RootFs
    config: ExecutionConfig | None = None
    created: str = ""
    author: str = ""
    variant: str = ""
    history: tuple[History, ...] | None = None
    build_cache: dict[str, Any] | None = msgspec.field(name="boxship.build-cache.v1", default=None)
