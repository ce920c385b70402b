"""Finds the images in an archive: Docker's (manifest.json), OCI's (index.json) and the oldest one (repositories).

Docker 25 and later write both of the first two; then manifest.json says which images and names there are, as it does
for Docker, and the manifests of index.json are kept, so that their digests survive.
"""

import posixpath
from collections.abc import Iterator
from typing import Any

import msgspec

from boxship.errors import Invalid, NotFound
from boxship.images.documents import LAYER_LIMIT, parse, parse_config
from boxship.images.intake import BLOBS, Archive, Blob
from boxship.spec import digest as digests
from boxship.spec import platform as platforms
from boxship.spec import reference as references
from boxship.spec.image import DOCKER_MANIFEST_LIST, MEDIA_INDEX, Descriptor, Index, Manifest, Platform

IMAGE_NAME = "io.containerd.image.name"
REFERENCE_NAME = "org.opencontainers.image.ref.name"
REFERENCE_TYPE = "vnd.docker.reference.type"  # marks attestations, which are no images
INDEXES = (MEDIA_INDEX, DOCKER_MANIFEST_LIST)
INDEX_DEPTH = 4  # indexes inside indexes


class Found(msgspec.Struct, frozen=True):
    """One image of an archive: its config's bytes, its layers' blobs lowest first, its normalised names. `manifest` is
    the digest of a manifest that came with it, or ""; `target` of the index that it was chosen from."""

    config: bytes
    layers: tuple[Blob, ...]
    names: tuple[str, ...] = ()
    manifest: str = ""
    target: str = ""


class DockerEntry(msgspec.Struct, frozen=True):
    """One image in Docker's manifest.json."""

    Config: str
    Layers: tuple[str, ...] = ()
    RepoTags: tuple[str, ...] = ()


def find(archive: Archive, platform: Platform | None) -> list[Found]:
    """The images of an archive, for a platform where it was asked for. Raises Invalid or NotFound."""
    if (data := archive.document("manifest.json")) is not None:
        found = _docker(archive, parse(data, tuple[DockerEntry, ...], "manifest.json"), platform)
    elif (data := archive.document("index.json")) is not None:
        found = list(_oci(archive, parse(data, Index, "index.json"), platform))
    elif (data := archive.document("repositories")) is not None:
        found = list(_oldest(archive, parse(data, dict[str, dict[str, str]], "repositories")))
    else:
        raise Invalid("cannot load images: the archive has no manifest.json, index.json or repositories")
    return found


# Docker


def _docker(archive: Archive, entries: tuple[DockerEntry, ...], platform: Platform | None) -> list[Found]:
    manifests = _known_manifests(archive)
    found = []
    for entry in entries:
        config = archive.document(entry.Config)
        if config is None:
            raise Invalid(f"cannot load images: {entry.Config} is missing from the archive")
        if platform is not None:
            _check_platform(config, platform)
        layers = tuple(archive.blob(path) for path in _limited(entry.Layers))
        names = tuple(_name(text) for text in entry.RepoTags)
        manifest = manifests.get((digests.of_bytes(config), tuple(layer.digest for layer in layers)), "")
        found.append(Found(config, layers, names, manifest, manifest))
    return found


def _check_platform(data: bytes, platform: Platform) -> None:
    config = parse_config(data)
    offered = Platform(config.architecture, config.os, config.variant)
    if not platforms.matches(platform, offered):
        raise NotFound(
            f"image does not provide the specified platform ({platforms.describe(platform)}): "
            f"it is for {platforms.describe(offered)}"
        )


def _known_manifests(archive: Archive) -> dict[tuple[str, tuple[str, ...]], str]:
    """The manifests that index.json names, by config and layers; what cannot be read is left out."""
    known: dict[tuple[str, tuple[str, ...]], str] = {}
    data = archive.document("index.json")
    if data is None:
        return known
    for descriptor in parse(data, Index, "index.json").manifests:
        if descriptor.mediaType in INDEXES or not digests.is_digest(descriptor.digest):
            continue
        if archive.by_digest(descriptor.digest) is None:
            continue
        manifest = parse(archive.read(descriptor.digest), Manifest, f"manifest {descriptor.digest}")
        key = (manifest.config.digest, tuple(layer.digest for layer in manifest.layers))
        known.setdefault(key, descriptor.digest)
    return known


def _name(text: str) -> str:
    name = references.parse(text)
    if name.digest:
        raise Invalid(f"cannot load images: {text} is a name with a digest")
    return str(name.with_default_tag())


def _limited(items: tuple[Any, ...]) -> tuple[Any, ...]:
    if len(items) > LAYER_LIMIT:
        raise Invalid(f"cannot load images: an image has more than {LAYER_LIMIT} layers")
    return items


# OCI


def _oci(archive: Archive, index: Index, platform: Platform | None) -> Iterator[Found]:
    """One image for each descriptor; descriptors of one digest are names of one image. The top index may also list one
    image for several platforms: then descriptors that share their name are one choice."""
    named: dict[str, list[str]] = {}
    choices: dict[str, list[Descriptor]] = {}
    for descriptor in index.manifests:
        if _is_attestation(descriptor):
            continue
        name = _annotated_name(descriptor)
        group = name or descriptor.digest
        choices.setdefault(group, []).append(descriptor)
        if name:
            named.setdefault(group, []).append(name)
    found: dict[str, Found] = {}
    for group, descriptors in choices.items():
        image = _choose(archive, descriptors, platform, 0)
        if image is None:
            raise NotFound(
                f"image does not provide the specified platform ({platforms.describe(platform or platforms.host())})"
            )
        before = found.get(image.manifest, image)
        names = (*before.names, *named.get(group, ())[:1])
        found[image.manifest] = msgspec.structs.replace(before, names=tuple(dict.fromkeys(names)))
    yield from found.values()


def _is_attestation(descriptor: Descriptor) -> bool:
    return REFERENCE_TYPE in (descriptor.annotations or {}) or bool(descriptor.artifactType)


def _annotated_name(descriptor: Descriptor) -> str:
    """The name that annotations give; a bare tag without a repository names nothing."""
    annotations = descriptor.annotations or {}
    name = annotations.get(IMAGE_NAME, "")
    if not name:
        name = annotations.get(REFERENCE_NAME, "")
        if ":" not in name and "/" not in name:
            return ""
    try:
        return _name(name)
    except Invalid:
        return ""


def _choose(archive: Archive, offers: list[Descriptor], platform: Platform | None, depth: int) -> Found | None:
    """The best image for the platform; without one asked for, the host's, or a single offer whatever it is for."""
    if depth > INDEX_DEPTH:
        raise Invalid("cannot load images: indexes are nested too deep")
    ranked: list[tuple[int, int, Found]] = []
    for position, descriptor in enumerate(offers):
        if _is_attestation(descriptor) or archive.by_digest(descriptor.digest) is None:
            continue
        if descriptor.mediaType in INDEXES:
            inner = parse(archive.read(descriptor.digest), Index, f"index {descriptor.digest}")
            image = _choose(archive, list(inner.manifests), platform, depth + 1)
            if image is not None:
                image = msgspec.structs.replace(image, target=descriptor.digest)
        else:
            image = _manifest(archive, descriptor.digest)
        if image is None:
            continue
        config = parse_config(image.config)
        offered = Platform(config.architecture, config.os, config.variant)
        rank = platforms.rank(platform or platforms.host(), offered)
        if rank is None and platform is None and len(offers) == 1:
            rank = 0
        if rank is not None:
            ranked.append((rank, position, image))
    return min(ranked, key=lambda item: item[:2])[2] if ranked else None


def _manifest(archive: Archive, digest: str) -> Found:
    manifest = parse(archive.read(digest), Manifest, f"manifest {digest}")
    layers = []
    for descriptor in _limited(manifest.layers):
        blob = archive.by_digest(descriptor.digest)
        if blob is None:
            raise Invalid(f"cannot load images: layer {descriptor.digest} is missing from the archive")
        layers.append(blob)
    return Found(archive.read(manifest.config.digest), tuple(layers), (), digest, digest)


# before Docker 1.10


def _oldest(archive: Archive, repositories: dict[str, dict[str, str]]) -> Iterator[Found]:
    """`<id>/json` and `<id>/layer.tar` for each layer, chained by "parent"; `repositories` names the top ones."""
    names: dict[str, list[str]] = {}
    for repository, tags in repositories.items():
        for tag, top in tags.items():
            names.setdefault(top, []).append(str(references.parse_tag(repository, tag)))
    for top, given in names.items():
        steps = list(reversed(list(_chain(archive, top))))
        layers = tuple(archive.blob(posixpath.join(identifier, "layer.tar")) for identifier, _ in steps)
        yield Found(_config_of_chain([step for _, step in steps], layers), layers, tuple(given))


def _chain(archive: Archive, top: str) -> Iterator[tuple[str, dict[str, Any]]]:
    identifier = top
    seen: set[str] = set()
    while identifier:
        data = archive.document(posixpath.join(identifier, "json"))
        if data is None:
            raise Invalid(f"cannot load images: {identifier}/json is missing from the archive")
        if identifier in seen or len(seen) > LAYER_LIMIT:
            raise Invalid(f"cannot load images: the parents of {top} have no end")
        seen.add(identifier)
        step = parse(data, dict[str, Any], f"{identifier}/json")
        yield identifier, step
        identifier = str(step.get("parent", ""))


def _config_of_chain(steps: list[dict[str, Any]], layers: tuple[Blob, ...]) -> bytes:
    """A config of today's form for a chain of the old one, lowest first."""
    config = {
        key: value
        for key, value in steps[-1].items()
        if key in ("architecture", "os", "variant", "config", "created", "author")
    }
    config["rootfs"] = {"type": "layers", "diff_ids": [layer.digest for layer in layers]}
    config["history"] = []
    for step in steps:
        command = step.get("container_config", {}).get("Cmd") or []
        entry = {
            "created": step.get("created", ""),
            "created_by": " ".join(str(word) for word in command),
            "author": step.get("author", ""),
            "comment": step.get("comment", ""),
        }
        config["history"].append({key: value for key, value in entry.items() if value})
    return msgspec.json.encode(config)


__all__ = ["BLOBS", "Found", "find"]
