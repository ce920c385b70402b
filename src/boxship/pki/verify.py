"""Is every file of an authority what it should be? Answers in findings, one per file, and changes nothing."""

import datetime
from pathlib import Path

import msgspec
from cryptography import x509
from cryptography.exceptions import InvalidSignature

from boxship.errors import BoxshipError
from boxship.pki.certificates import LEAF_LIFE, life_of, load_certificates
from boxship.pki.files import is_private, read_file, read_passphrase
from boxship.pki.keys import load_key, same_public
from boxship.pki.places import (
    INTERMEDIATE,
    INTERMEDIATE_KEY,
    LEAF,
    LEAF_KEY,
    NEXT,
    NONE,
    PASSPHRASE,
    REVOKED,
    ROOT,
    ROOT_KEY,
    issued_folders,
    one_certificate,
    revocations,
    root_of,
)
from boxship.pki.revocation import Revocations

SOON = datetime.timedelta(days=30)  # a certificate that ends within this time is worth a warning


class Finding(msgspec.Struct, frozen=True):
    """The state of one file: "good", "warning" or "bad", and why."""

    path: str
    state: str
    text: str


def verify(folder: Path, now: datetime.datetime, passphrase: bytes | None = None) -> tuple[Finding, ...]:
    """Every file's finding. A key is opened where its passphrase is known. Raises NotFound without an authority."""
    root = root_of(folder)
    if passphrase is None and (folder / PASSPHRASE).exists():
        try:
            passphrase = read_passphrase(folder / PASSPHRASE)
        except BoxshipError as error:
            return (Finding(str(folder / PASSPHRASE), "bad", str(error)),)
    found = [check_certificate(folder / ROOT, root, root, now)]
    try:
        intermediate = one_certificate(folder / INTERMEDIATE)
    except BoxshipError as error:
        return (*found, Finding(str(folder / INTERMEDIATE), "bad", str(error)))
    found.append(_check_intermediate(folder / INTERMEDIATE, intermediate, root, now))
    if (folder / ROOT_KEY).exists():  # may be kept elsewhere
        found.append(_check_key(folder / ROOT_KEY, root, passphrase, encrypted=True))
    found.append(_check_key(folder / INTERMEDIATE_KEY, intermediate, passphrase, encrypted=True))
    known = NONE
    if (folder / REVOKED).exists():
        try:
            known = revocations(folder, intermediate)
            found.append(Finding(str(folder / REVOKED), "good", f"revoked: {len(known.entries)}"))
        except BoxshipError as error:
            found.append(Finding(str(folder / REVOKED), "bad", str(error)))
    for child in issued_folders(folder):
        found += _check_leaf(child, intermediate, known, now)
    return tuple(found)


def check_certificate(
    path: Path, certificate: x509.Certificate, issuer: x509.Certificate, now: datetime.datetime
) -> Finding:
    """Pure: is the certificate signed by the issuer, and in force at `now`?"""
    try:
        certificate.verify_directly_issued_by(issuer)
    except (InvalidSignature, ValueError, TypeError):
        return Finding(str(path), "bad", "not signed by this authority")
    ends = certificate.not_valid_after_utc
    if now > ends:
        return Finding(str(path), "bad", f"ended on {ends:%Y-%m-%d}")
    if now < certificate.not_valid_before_utc:
        return Finding(str(path), "bad", f"begins on {certificate.not_valid_before_utc:%Y-%m-%d}; is the clock right?")
    if ends - now < min(SOON, life_of(certificate) / 3):
        return Finding(str(path), "warning", f"ends soon, on {ends:%Y-%m-%d}")
    return Finding(str(path), "good", f"in force until {ends:%Y-%m-%d}")


def _check_intermediate(
    path: Path, certificate: x509.Certificate, root: x509.Certificate, now: datetime.datetime
) -> Finding:
    """It must be renewed before it shortens what it issues."""
    found = check_certificate(path, certificate, root, now)
    ends = certificate.not_valid_after_utc
    if found.state == "good" and ends - now < LEAF_LIFE:
        text = f"ends on {ends:%Y-%m-%d}, before what is issued now would (boxship pki renew intermediate)"
        return Finding(str(path), "warning", text)
    return found


def _check_leaf(
    folder: Path, intermediate: x509.Certificate, known: Revocations, now: datetime.datetime
) -> list[Finding]:
    path = folder / LEAF
    if (folder / NEXT).exists():
        return [Finding(str(folder), "warning", "a renewal was interrupted; the next change of the authority ends it")]
    try:
        chain = load_certificates(read_file(path), str(path))
    except BoxshipError as error:
        return [Finding(str(path), "bad", str(error))]
    if not any(_is_same_authority(entry, intermediate) for entry in chain[1:]):
        return [Finding(str(path), "bad", "the authority's intermediate certificate is missing in it")]
    revoked = known.entries.get(chain[0].serial_number)
    if revoked is not None:
        return [Finding(str(path), "warning", f"revoked on {revoked.date:%Y-%m-%d}: {revoked.reason}")]
    return [
        check_certificate(path, chain[0], intermediate, now),
        _check_key(folder / LEAF_KEY, chain[0], None, encrypted=False),
    ]


def _is_same_authority(one: x509.Certificate, other: x509.Certificate) -> bool:
    """Also after the intermediate was renewed, which keeps its name and its key."""
    return one.subject == other.subject and one.public_key() == other.public_key()


def _check_key(path: Path, certificate: x509.Certificate, passphrase: bytes | None, *, encrypted: bool) -> Finding:
    try:
        data = read_file(path)
        if not is_private(path):
            return Finding(str(path), "bad", f"others may read it (chmod 600 {path})")
        if encrypted and b"ENCRYPTED" not in data:
            return Finding(str(path), "bad", "it is not encrypted")
        if encrypted and passphrase is None:
            return Finding(str(path), "warning", "not opened: its passphrase was not given")
        key = load_key(data, passphrase if encrypted else None, str(path))
    except BoxshipError as error:
        return Finding(str(path), "bad", str(error))
    if not same_public(key.public_key(), certificate.public_key()):
        return Finding(str(path), "bad", "does not belong to the certificate")
    return Finding(str(path), "good", "belongs to its certificate, mode 0600")
