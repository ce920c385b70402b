"""The values of pulls and pushes, the settings, and the one thing that this part needs from elsewhere."""

from typing import Protocol

import msgspec

from boxship.spec.reference import Reference
from boxship.transport.client import Proxies, Waits

DEFAULT_WAITS = Waits()
NO_PROXIES = Proxies()


class Credentials(msgspec.Struct, frozen=True):
    """Who we are to one registry: name and password, or an identity token to be exchanged for access tokens, or an
    access token itself."""

    username: str = ""
    password: str = ""
    identity_token: str = ""
    registry_token: str = ""

    @property
    def empty(self) -> bool:
        return not (self.username or self.password or self.identity_token or self.registry_token)

    def __repr__(self) -> str:  # a secret must not get into a log
        return f"Credentials({self.username!r})"


NOBODY = Credentials()


class RemoteLimits(msgspec.Struct, frozen=True):
    """Bounds of our own use of registries. Times in seconds."""

    layers_per_pull: int = 4  # downloads at the same time
    layers_overall: int = 16
    uploads_per_push: int = 5
    connections_per_host: int = 32
    attempts: int = 5  # of one request, or of a download without progress
    resumptions: int = 50  # of one download with progress
    first_pause: float = 0.25  # doubled each time, and spread by chance
    longest_pause: float = 10.0
    longest_retry_after: float = 120.0  # that a server may ask for
    patience: float = 300.0  # of pauses for one request


class RemoteSettings(msgspec.Struct, frozen=True):
    """What the operator said. `mirrors` maps a domain to the addresses asked before it; `insecure` are domains (with
    port), hosts or networks that may be spoken to in plain HTTP or with a certificate that nobody vouches for;
    `certificate_folders` have a folder for each registry with NAME.crt, NAME.cert and NAME.key."""

    mirrors: dict[str, tuple[str, ...]] = {}
    insecure: tuple[str, ...] = ()
    proxies: Proxies = NO_PROXIES
    extra_ca: tuple[str, ...] = ()
    certificate_folders: tuple[str, ...] = ()
    push_compression: str = "auto"  # auto, none, gzip or zstd: of layers that we have uncompressed
    limits: RemoteLimits = RemoteLimits()
    waits: Waits = DEFAULT_WAITS


class Document(msgspec.Struct, frozen=True):
    """A manifest or an index as a registry gave it, verified."""

    digest: str
    media_type: str
    data: bytes


class OwnRegistry(Protocol):
    """The registry of this very daemon: a push to it moves no bytes, as it shares our blobs."""

    def serves(self, domain: str) -> bool:
        """Whether names with this domain are kept there."""

    async def accept(
        self, repository: str, tag: str, manifest_digest: str, media_type: str, credentials: Credentials | None
    ) -> None:
        """Take a manifest whose blobs are all in the store, under a tag (or "" for the digest alone), durably. Raises
        Denied or Unauthenticated."""


class PullStep(msgspec.Struct, frozen=True):
    """News of a pull in Docker's words. `id` is a layer's short digest, or a tag; `total` 0: no numbers."""

    status: str
    id: str = ""
    current: int = 0
    total: int = 0


class Pulled(msgspec.Struct, frozen=True):
    """An image is here under its names."""

    reference: Reference
    digest: str
    image_id: str


class PushStep(msgspec.Struct, frozen=True):
    """News of a push in Docker's words; `id` is a layer's short id."""

    status: str
    id: str = ""
    current: int = 0
    total: int = 0


class Pushed(msgspec.Struct, frozen=True):
    """A tag stands for that manifest in the registry now; size of the manifest in bytes."""

    reference: Reference
    digest: str
    size: int
