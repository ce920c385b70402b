"""The node's two certificates on disk: the one that it shows to the API, and the one that its own server shows.

Each is one file of certificate and key with a name of its own, and a link says which one counts: so a kill leaves the
old pair or the new one, and whoever opens the file that the link named a moment ago still finds a pair that fits.
"""

import asyncio
import datetime
import hashlib
import logging
import os
import random
import ssl
from collections.abc import Callable
from pathlib import Path

from boxship.cluster.access import Client
from boxship.cluster.node.identity.requesting import CLIENT, SERVING, have_signed
from boxship.errors import BoxshipError, Invalid
from boxship.pki.cluster_nodes import life_of
from boxship.pki.files import PUBLIC, sweep, write_file
from boxship.transport.client import Trust

log = logging.getLogger(__name__)

RENEW_AT = 0.8  # of a certificate's life
RETRY_SECONDS = (1.0, 60.0)  # after a renewal that failed: the first and the longest pause
LOOK_SECONDS = 3600.0  # clocks jump: nobody sleeps longer than that
Now = Callable[[], datetime.datetime]


class Pair:
    """One certificate with its key: PREFIX-HASH.pem, and PREFIX.pem that leads to it."""

    def __init__(self, folder: Path, prefix: str, signer: str) -> None:
        self._link = folder / f"{prefix}.pem"
        self._folder = folder
        self._prefix = prefix
        self.signer = signer

    @property
    def path(self) -> Path | None:
        """The file that counts now; None before the first."""
        return self._link.resolve() if self._link.exists() else None

    def life(self) -> tuple[datetime.datetime, datetime.datetime] | None:
        """None where there is none that can be read."""
        path = self.path
        try:
            return life_of(path.read_bytes()) if path is not None else None
        except (Invalid, OSError) as error:
            log.warning("cannot use %s: %s", self._link, error)
            return None

    def keep(self, data: bytes) -> None:
        """From now on this is it. Blocks for a few milliseconds."""
        old = self.path
        path = self._folder / f"{self._prefix}-{hashlib.sha256(data).hexdigest()[:16]}.pem"
        write_file(path, data)
        half = self._link.with_suffix(".new")
        half.unlink(missing_ok=True)
        half.symlink_to(path.name)
        os.replace(half, self._link)
        for other in self._folder.glob(f"{self._prefix}-*.pem"):
            if other not in (path, old):  # the last one may be open still
                other.unlink()


class NodeCertificates:
    """In `folder`, for the node of that name; `authority` is the cluster's (PEM). Implements transport's TlsSource for
    the node's server."""

    def __init__(self, folder: Path, node: str, authority: str, now: Now, *, seconds: int = 0) -> None:
        folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        sweep(folder)
        self.authority = folder / "ca.crt"
        if not self.authority.exists() or self.authority.read_text() != authority:
            write_file(self.authority, authority.encode(), PUBLIC)
        self.client = Pair(folder, "client", CLIENT)
        self.serving = Pair(folder, "serving", SERVING)
        self.version = 1
        self._authority_text = authority
        self._node = node
        self._now = now
        self._seconds = seconds
        self._context: ssl.SSLContext | None = None

    @property
    def trust(self) -> Trust:
        """For requests to the API."""
        path = str(self.client.path or "")
        return Trust(ca_data=self._authority_text, certificate=path, key=path)

    def context(self) -> ssl.SSLContext:
        """For a connection to the node's server that begins now. Raises Invalid before the first certificate."""
        if self._context is None:
            path = self.serving.path
            if path is None:
                raise Invalid("cannot serve: this node's server has no certificate yet")
            made = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            made.minimum_version = ssl.TLSVersion.TLSv1_2
            made.set_alpn_protocols(["http/1.1"])
            made.load_cert_chain(path)
            made.load_verify_locations(cafile=self.authority)
            made.verify_mode = ssl.CERT_OPTIONAL  # tokens will do as well
            self._context = made
        return self._context

    def revoked(self, serial: int) -> bool:
        return False

    async def begin(self, client: Client) -> None:
        """The first certificate for the API. `client` acts with the bootstrap token."""
        self.client.keep(await have_signed(client, CLIENT, self._node, seconds=self._seconds))

    async def ensure_serving(self, client: Client) -> None:
        """There is a certificate for the node's server when this returns."""
        life = self.serving.life()
        if life is None or life[1] <= self._now():
            await self.renew(client, self.serving)

    async def renew(self, client: Client, pair: Pair) -> None:
        pair.keep(await have_signed(client, pair.signer, self._node, seconds=self._seconds))
        if pair is self.serving:
            self._context = None
            self.version += 1
        log.info("the %s certificate of node %s was renewed", pair.signer, self._node)

    async def run(self, client: Client) -> None:
        """Without end: both are renewed in time. What fails is tried again."""
        pause = RETRY_SECONDS[0]
        while True:
            try:
                due = LOOK_SECONDS
                for pair in (self.client, self.serving):
                    seconds = seconds_left(pair.life(), self._now())
                    if seconds <= 0:
                        await self.renew(client, pair)
                        seconds = seconds_left(pair.life(), self._now())
                    due = min(due, max(seconds, RETRY_SECONDS[0]))
                pause = RETRY_SECONDS[0]
            except BoxshipError as error:
                log.warning("cannot renew a certificate: %s", error)
                due = pause * random.uniform(0.8, 1.2)
                pause = min(pause * 2, RETRY_SECONDS[1])
            await asyncio.sleep(due)


def seconds_left(life: tuple[datetime.datetime, datetime.datetime] | None, now: datetime.datetime) -> float:
    """Until a certificate is to be renewed; 0 or less: now."""
    if life is None:
        return 0.0
    begin, end = life
    return (begin + (end - begin) * RENEW_AT - now).total_seconds()
