"""Seals values on their way into the store, and opens them on their way out."""

from collections.abc import Mapping, Sequence

import msgspec

from boxship.errors import Internal, Invalid
from boxship.pki.cluster_sealing import Box

MARK = b"k8s:enc:"


class Provider(msgspec.Struct, frozen=True):
    """One key with the mark that its values begin with; `box` None: values are stored as they are."""

    mark: bytes
    box: Box | None = None


IDENTITY = Provider(b"")


class ConfiguredSealer:
    """Implements storage.Sealer. `providers` maps a resource ("secrets", "widgets.example.com", "*.apps", "*.*") to its
    keys: the first seals, all open."""

    def __init__(self, providers: Mapping[str, Sequence[Provider]]) -> None:
        self._providers = {resource: tuple(known) for resource, known in providers.items()}
        self._marks = {one.mark: one for known in self._providers.values() for one in known if one.mark}

    def names(self, resource: str) -> bool:
        """Whether anything is said of a resource."""
        group = resource.partition(".")[2]
        return any(name in self._providers for name in (resource, f"*.{group}", "*.*"))

    def seal(self, key: str, resource: str, value: bytes) -> bytes:
        provider = self.provider(resource)
        if provider.box is None:
            return value
        return provider.mark + provider.box.seal(value, key.encode())

    def open(self, key: str, value: bytes) -> bytes:
        """Raises Internal where the value cannot be opened: the object is there, but nobody can read it."""
        if not value.startswith(MARK):
            return value
        mark = _mark_of(value)
        provider = self._marks.get(mark)
        if provider is None or provider.box is None:
            raise Internal(
                f"cannot read {key}: it is sealed with the key {mark.decode(errors='replace')!r}, unknown here"
            )
        try:
            return provider.box.open(value[len(mark) :], key.encode())
        except Invalid as error:
            raise Internal(f"cannot read {key}: {error}") from error

    def is_stale(self, resource: str, value: bytes) -> bool:
        """Whether a stored value is not as it would be sealed now."""
        wanted = self.provider(resource).mark
        return (_mark_of(value) if value.startswith(MARK) else b"") != wanted

    def provider(self, resource: str) -> Provider:
        """By which key the objects of a resource are sealed now."""
        group = resource.partition(".")[2]
        for name in (resource, f"*.{group}", "*.*"):
            if name in self._providers:
                return self._providers[name][0]
        return IDENTITY


def _mark_of(value: bytes) -> bytes:
    """The first five parts: k8s:enc:KIND:v1:KEY: …"""
    parts = value.split(b":", 5)
    return b":".join(parts[:5]) + b":" if len(parts) == 6 else b""
