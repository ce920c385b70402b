"""The authority on disk: make one, open one, issue, renew, revoke. `places` says what lies where.

Keys of leaves are not encrypted, because the stock clients cannot open encrypted ones; mode 0600 guards them. Whoever
changes something holds a lock on DIR. A renewal with a new key puts both files into NAME/.next first and moves them
from there; `settle` finishes what a crash interrupted.
"""

import datetime
import secrets
from collections.abc import Sequence
from pathlib import Path

import msgspec
from cryptography import x509

from boxship.errors import Exists, Invalid
from boxship.pki import revocation
from boxship.pki.certificates import (
    LEAF_DAYS,
    LEAF_LIFE,
    Issuer,
    days_of,
    dump_certificates,
    make_intermediate,
    make_leaf,
    make_root,
    renew_intermediate,
    renew_leaf,
)
from boxship.pki.files import (
    PRIVATE,
    PUBLIC,
    locked,
    read_file,
    read_passphrase,
    remove_folder,
    sweep,
    sync_folder,
    write_file,
    write_folder,
)
from boxship.pki.keys import dump_key, load_key, new_key, same_public
from boxship.pki.names import Subject, check_name
from boxship.pki.places import (
    INTERMEDIATE,
    INTERMEDIATE_KEY,
    ISSUED,
    LEAF,
    LEAF_AUTHORITY,
    LEAF_KEY,
    NEXT,
    PASSPHRASE,
    RECORD,
    REVOKED,
    ROOT,
    ROOT_KEY,
    issued_folders,
    one_certificate,
    revocations,
    root_of,
)


class Authority(msgspec.Struct, frozen=True):
    """An opened authority: it can issue."""

    folder: Path
    root: x509.Certificate
    intermediate: Issuer

    def issue(
        self,
        kind: str,
        subject: Subject,
        now: datetime.datetime,
        life: datetime.timedelta = LEAF_LIFE,
        key_kind: str = "ec",
    ) -> Path:
        """The folder with a new certificate ("server", "client" or "signer") and its key. Raises Exists, Invalid."""
        with locked(self.folder):
            target = self.folder / ISSUED / check_name(subject.name)
            if target.exists():
                raise Exists(f"cannot issue {subject.name}: {target} exists; renew it, or move it away")
            key = new_key(key_kind)
            certificate = make_leaf(kind, subject, key.public_key(), self.intermediate, now, life)
            self._record(certificate)
            files = {
                LEAF_AUTHORITY: (dump_certificates(self.root), PUBLIC),
                LEAF: (self._chain(certificate), PUBLIC),
                LEAF_KEY: (dump_key(key, None), PRIVATE),
            }
            write_folder(target, files)
        return target

    def issue_server(self, subject: Subject, now: datetime.datetime, days: int = LEAF_DAYS) -> Path:
        return self.issue("server", subject, now, days_of(days))

    def issue_client(self, subject: Subject, now: datetime.datetime, days: int = LEAF_DAYS) -> Path:
        return self.issue("client", subject, now, days_of(days))

    def renew(
        self,
        name: str,
        now: datetime.datetime,
        life: datetime.timedelta = LEAF_LIFE,
        key_kind: str = "",
        subject: Subject | None = None,
    ) -> Path:
        """Give what was issued under a name a new life: with the same key, or with a new one of `key_kind`. A `subject`
        replaces a server's places. Raises NotFound, Invalid (it was revoked)."""
        with locked(self.folder):
            target = self.folder / ISSUED / check_name(name)
            settle(target)
            old = one_certificate(target / LEAF, f"cannot renew {name}: nothing was issued under that name")
            if not key_kind and old.serial_number in self.revocations().serials:
                raise Invalid(f"cannot renew {name}: it was revoked; a new key is needed")
            if not self._place(old).exists():  # it was issued before there was a record
                self._record(old)
            path = target / LEAF_KEY
            key = new_key(key_kind) if key_kind else load_key(read_file(path), None, str(path))
            public = key.public_key()
            if subject is not None:
                made = make_leaf("server", subject, public, self.intermediate, now, life)
            else:
                made = renew_leaf(old, public, self.intermediate, now, life)
            self._record(made)
            if not key_kind:
                write_file(target / LEAF, self._chain(made), PUBLIC)
                return target
            remove_folder(target / NEXT)
            write_folder(target / NEXT, {LEAF_KEY: (dump_key(key, None), PRIVATE), LEAF: (self._chain(made), PUBLIC)})
            settle(target)
        return target

    def revoke(self, serials: Sequence[int], reason: str, now: datetime.datetime) -> None:
        """Put serial numbers on the list that servers read. Those that are on it stay as they are."""
        with locked(self.folder):
            known = revocation.extend(self.revocations(), serials, reason, now)
            write_file(self.folder / REVOKED, revocation.dump(known, self.intermediate, now), PUBLIC)

    def unrevoke(self, serials: Sequence[int], now: datetime.datetime) -> None:
        """Take certificates that are on hold off the list. Raises Invalid for those that were revoked for good."""
        with locked(self.folder):
            known = revocation.lift(self.revocations(), serials)
            write_file(self.folder / REVOKED, revocation.dump(known, self.intermediate, now), PUBLIC)

    def revocations(self) -> revocation.Revocations:
        return revocations(self.folder, self.intermediate.certificate)

    def _record(self, certificate: x509.Certificate) -> None:
        """Before it can be used: what nobody knows of could not be revoked."""
        (self.folder / RECORD).mkdir(mode=0o700, exist_ok=True)
        path = self._place(certificate)
        if path.exists():
            raise Exists(f"cannot issue: the serial number {certificate.serial_number:x} was used before")
        write_file(path, dump_certificates(certificate), PUBLIC)

    def _place(self, certificate: x509.Certificate) -> Path:
        return self.folder / RECORD / f"{certificate.serial_number:040x}.pem"

    def _chain(self, certificate: x509.Certificate) -> bytes:
        return dump_certificates(certificate, self.intermediate.certificate)


def create(
    folder: Path, name: str, now: datetime.datetime, passphrase: bytes | None = None, key_kind: str = "ec"
) -> None:
    """Make a new authority. Without a passphrase one is made and kept in DIR/passphrase. Raises Exists."""
    if (folder / ROOT).exists():
        raise Exists(f"cannot make an authority in {folder}: there is one")
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    with locked(folder):
        if (folder / ROOT).exists():
            raise Exists(f"cannot make an authority in {folder}: there is one")
        sweep(folder)
        for child in (ISSUED, RECORD):
            (folder / child).mkdir(mode=0o700, exist_ok=True)
        if passphrase is None:
            passphrase = secrets.token_urlsafe(32).encode()
            write_file(folder / PASSPHRASE, passphrase + b"\n")
        root_key, intermediate_key = new_key(key_kind), new_key(key_kind)
        root = make_root(name, root_key, now)
        intermediate = make_intermediate(name, intermediate_key.public_key(), Issuer(root, root_key), now)
        write_file(folder / ROOT_KEY, dump_key(root_key, passphrase))
        write_file(folder / INTERMEDIATE_KEY, dump_key(intermediate_key, passphrase))
        write_file(folder / INTERMEDIATE, dump_certificates(intermediate), PUBLIC)
        nothing = revocation.dump(revocation.Revocations(), Issuer(intermediate, intermediate_key), now)
        write_file(folder / REVOKED, nothing, PUBLIC)
        write_file(folder / ROOT, dump_certificates(root), PUBLIC)  # last: it says that the authority is whole


def open_authority(folder: Path, passphrase: bytes | None = None) -> Authority:
    """The authority in `folder`; the passphrase comes from DIR/passphrase where none is given. What a crash left is
    finished or taken away. Raises NotFound, Denied, Invalid."""
    root = root_of(folder)
    if passphrase is None:
        passphrase = read_passphrase(folder / PASSPHRASE)
    path = folder / INTERMEDIATE_KEY
    key = load_key(read_file(path), passphrase, str(path))
    intermediate = one_certificate(folder / INTERMEDIATE)
    if not same_public(key.public_key(), intermediate.public_key()):
        raise Invalid(f"cannot open the authority in {folder}: {path.name} does not belong to {INTERMEDIATE}")
    with locked(folder):
        for place in (folder, folder / ISSUED, folder / RECORD):
            sweep(place)
        for child in issued_folders(folder):
            settle(child)
    return Authority(folder, root, Issuer(intermediate, key))


def renew_authority(folder: Path, now: datetime.datetime, root_key: bytes, passphrase: bytes | None) -> None:
    """Give the intermediate a new life with the same key, so that all it has signed, and its list of what was revoked,
    go on to hold. `root_key` is the PEM text of the root's key. Raises NotFound, Denied, Invalid."""
    root = root_of(folder)
    if passphrase is None:
        passphrase = read_passphrase(folder / PASSPHRASE)
    key = load_key(root_key, passphrase, "of the root")
    if not same_public(key.public_key(), root.public_key()):
        raise Invalid(f"cannot renew the intermediate in {folder}: that key is not the root's")
    with locked(folder):
        old = one_certificate(folder / INTERMEDIATE)
        public = load_key(read_file(folder / INTERMEDIATE_KEY), passphrase, str(folder / INTERMEDIATE_KEY)).public_key()
        made = renew_intermediate(old, public, Issuer(root, key), now)
        write_file(folder / INTERMEDIATE, dump_certificates(made), PUBLIC)


def settle(target: Path) -> None:
    """Finish a renewal with a new key that a crash interrupted; `target` is the folder of what was issued."""
    following = target / NEXT
    if not following.is_dir():
        sweep(target)
        return
    for name in (LEAF_KEY, LEAF):
        if (following / name).exists():
            (following / name).replace(target / name)
            sync_folder(target)
    remove_folder(following)
    sweep(target)
