"""Certificates of a running server: read anew when their files change, and renewed where the authority is at hand.

`context` is asked for each new connection and looks at the files, so a renewed certificate, or a client's revocation,
holds from the next connection on; open connections keep what they began with. Files that cannot be used, for example
in the middle of a change, leave what was good in force, and the next connection looks again.
It must never block for longer than reading a few small files takes: renewals run in a thread.
"""

import asyncio
import datetime
import logging
import os
import ssl
from pathlib import Path

import msgspec
from cryptography import x509

from boxship.errors import BoxshipError, Invalid, NotFound
from boxship.pki.authority import Authority, open_authority
from boxship.pki.certificates import LEAF_LIFE, life_of
from boxship.pki.context import server_context
from boxship.pki.files import read_file
from boxship.pki.names import subject_for
from boxship.pki.places import ISSUED, LEAF, LEAF_KEY, REVOKED, ROOT, one_certificate, summaries

log = logging.getLogger("boxship.pki")

LOOK_SECONDS = 1.0  # between looks at the files while nobody connects
RETRY_SECONDS = 60.0  # after a renewal that failed
RENEW_AT = 2 / 3  # of a certificate's life


class TlsFiles(msgspec.Struct, frozen=True):
    """The files of a listener. `revoked` may be missing; `authority` is only needed where clients show certificates."""

    certificate: Path
    key: Path
    authority: Path = Path()
    revoked: Path | None = None


class LiveTls:
    """The certificates of one listener. Raises as `server_context` where they cannot be used at the start."""

    def __init__(self, files: TlsFiles, *, clients: bool = True) -> None:
        self.files = files
        self._clients = clients
        self._seen = self._look()
        self._failed: object = None
        self._has_list = False
        self._context, self._revoked = self._read()
        self.version = 1

    def context(self) -> ssl.SSLContext:
        """For a connection that begins now."""
        self.refresh()
        return self._context

    def revoked(self, serial: int) -> bool:
        return serial in self._revoked

    def refresh(self) -> None:
        """Read the files if they changed. What cannot be used is logged once."""
        seen = self._look()
        if seen == self._seen:
            return
        try:
            self._context, self._revoked = self._read()
        except BoxshipError as error:
            if seen != self._failed:
                log.error("the certificates in use stay: %s", error)
                self._failed = seen
            return
        self._seen = seen
        self.version += 1
        log.info("uses the certificate %s as it is now", self.files.certificate)

    def _look(self) -> tuple[tuple[int, int, int] | None, ...]:
        """What tells a file from its next version: inode, size and time of change."""
        names = (self.files.certificate, self.files.key, self.files.authority, self.files.revoked)
        return tuple(_version_of(name) for name in names)

    def _read(self) -> tuple[ssl.SSLContext, frozenset[int]]:
        """A whole new context, never a change of the old one: sessions that a revoked client keeps end with it."""
        files = self.files
        revoked = files.revoked if files.revoked is not None and files.revoked.exists() else None
        if revoked is None and self._has_list:  # its loss must not let in whom it kept out
            raise NotFound(f"cannot read {files.revoked}: the list of revoked certificates is gone")
        made = server_context(files.certificate, files.key, files.authority, revoked, clients=self._clients)
        serials = _serials(revoked) if revoked is not None else frozenset()
        self._has_list = revoked is not None
        return made, serials


class Renewal:
    """Renews what the authority issued, at two thirds of its life, for as long as `run` runs.

    `names` are the issued names that this daemon uses; it leaves all others alone, and each gets `life`.
    """

    def __init__(
        self,
        folder: Path,
        passphrase: bytes | None,
        names: tuple[str, ...],
        sources: tuple[LiveTls, ...],
        life: datetime.timedelta,
    ) -> None:
        self._folder = folder
        self._life = life
        self._passphrase = passphrase
        self._names = names
        self._sources = sources
        self._retry: dict[str, datetime.datetime] = {}

    async def run(self) -> None:
        """Look once a second, or when something is due; renew it, and let the listeners see what changed."""
        while True:
            pause = LOOK_SECONDS
            try:
                pause = await self.step(datetime.datetime.now(datetime.UTC))
            except BoxshipError as error:
                log.error("%s", error)
            await asyncio.sleep(pause)

    async def step(self, now: datetime.datetime) -> float:
        """One look; in how many seconds the next is needed."""
        pause = LOOK_SECONDS
        for name in self._names:
            path = self._folder / ISSUED / name / LEAF
            if now < self._retry.get(name, now) or not path.exists():
                continue
            due = renewal_time(one_certificate(path))
            if now >= due:
                self._retry[name] = now + datetime.timedelta(seconds=RETRY_SECONDS)
                await asyncio.to_thread(self._renew, name, now)
                del self._retry[name]
            else:
                pause = min(pause, (due - now).total_seconds())
        for source in self._sources:
            source.refresh()
        return pause

    def _renew(self, name: str, now: datetime.datetime) -> None:
        opened = open_authority(self._folder, self._passphrase)
        made = opened.renew(name, now, self._life)
        log.info("renewed the certificate in %s", made)


def renew_keeping_life(opened: Authority, name: str, now: datetime.datetime) -> Path:
    """Renew for as long as the certificate was issued for, so that short-lived ones stay so."""
    old = one_certificate(opened.folder / ISSUED / name / LEAF)
    seconds = max(1, round(life_of(old).total_seconds()))
    return opened.renew(name, now, datetime.timedelta(seconds=seconds))


def renewal_time(certificate: x509.Certificate) -> datetime.datetime:
    """When two thirds of its life are over."""
    return certificate.not_valid_after_utc - life_of(certificate) * (1 - RENEW_AT)


def ensure_server(
    folder: Path,
    passphrase: bytes | None,
    name: str,
    places: tuple[str, ...],
    now: datetime.datetime,
    life: datetime.timedelta = LEAF_LIFE,
) -> TlsFiles:
    """The files of a server certificate for `places` from the authority in `folder`: made, or renewed, where what is
    there is due or lacks a place. Blocks. Raises NotFound, Denied, Invalid."""
    subject = subject_for(name, places)
    target = folder / ISSUED / name
    if not (target / LEAF).exists():
        open_authority(folder, passphrase).issue("server", subject, now, life)
        return files_of(folder, name)
    opened = open_authority(folder, passphrase)
    known = next(entry for entry in summaries(folder) if entry.path == str(target / LEAF))
    if known.kind != "server":
        raise Invalid(f"cannot use {target} for the daemon: it is a certificate for a {known.kind}")
    if known.revoked:
        opened.renew(name, now, life, known.key, subject)
    elif not set(known.places) >= {*subject.hosts, *subject.addresses}:
        merged = subject_for(name, tuple(dict.fromkeys((*known.places, *places))))
        opened.renew(name, now, life, subject=merged)
    elif now >= renewal_time(one_certificate(target / LEAF)):
        opened.renew(name, now, life)
    return files_of(folder, name)


def files_of(folder: Path, name: str) -> TlsFiles:
    """The files of what the authority issued under a name, for a listener whose clients it knows as well."""
    target = folder / ISSUED / name
    return TlsFiles(target / LEAF, target / LEAF_KEY, folder / ROOT, folder / REVOKED)


def _version_of(path: Path | None) -> tuple[int, int, int] | None:
    if path is None:
        return None
    try:
        status = os.stat(path)
    except OSError:
        return None
    return status.st_ino, status.st_size, status.st_mtime_ns


def _serials(path: Path) -> frozenset[int]:
    """Serial numbers on a list; its signature is for the TLS library to check, which must find the signer too."""
    try:
        return frozenset(entry.serial_number for entry in x509.load_pem_x509_crl(read_file(path)))
    except ValueError as error:
        raise Invalid(f"cannot read the revocation list {path}: {error}") from error
