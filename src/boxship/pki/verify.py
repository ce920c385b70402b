"""Is every file of an authority what it should be? Answers in findings, one per file, and changes nothing."""

import datetime
from pathlib import Path

import msgspec
from cryptography import x509
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import serialization

from boxship.errors import BoxshipError
from boxship.pki.authority import (
    INTERMEDIATE,
    INTERMEDIATE_KEY,
    ISSUED,
    LEAF,
    LEAF_KEY,
    PASSPHRASE,
    ROOT,
    ROOT_KEY,
    one_certificate,
)
from boxship.pki.certificates import load_certificates, load_key
from boxship.pki.files import is_private, read_file, read_passphrase

SOON_DAYS = 30  # a certificate that ends within this time is worth a warning


class Finding(msgspec.Struct, frozen=True):
    """The state of one file: "good", "warning" or "bad", and why."""

    path: str
    state: str
    text: str


def verify(folder: Path, now: datetime.datetime, passphrase: bytes | None = None) -> tuple[Finding, ...]:
    """Every file's finding. A key is opened where its passphrase is known. Raises NotFound without an authority."""
    root = one_certificate(folder / ROOT, f"cannot check the authority in {folder}: there is none (boxship pki init)")
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
    found.append(check_certificate(folder / INTERMEDIATE, intermediate, root, now))
    if (folder / ROOT_KEY).exists():  # may be kept elsewhere
        found.append(_check_key(folder / ROOT_KEY, root, passphrase, encrypted=True))
    found.append(_check_key(folder / INTERMEDIATE_KEY, intermediate, passphrase, encrypted=True))
    for child in sorted((folder / ISSUED).iterdir()):
        if not child.name.startswith("."):
            found += _check_leaf(child, intermediate, now)
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
    if ends - now < datetime.timedelta(days=SOON_DAYS):
        return Finding(str(path), "warning", f"ends soon, on {ends:%Y-%m-%d}")
    return Finding(str(path), "good", f"in force until {ends:%Y-%m-%d}")


def _check_leaf(folder: Path, intermediate: x509.Certificate, now: datetime.datetime) -> list[Finding]:
    path = folder / LEAF
    try:
        chain = load_certificates(read_file(path), str(path))
    except BoxshipError as error:
        return [Finding(str(path), "bad", str(error))]
    if intermediate not in chain[1:]:
        return [Finding(str(path), "bad", "the authority's intermediate certificate is missing in it")]
    return [
        check_certificate(path, chain[0], intermediate, now),
        _check_key(folder / LEAF_KEY, chain[0], None, encrypted=False),
    ]


def _check_key(path: Path, certificate: x509.Certificate, passphrase: bytes | None, *, encrypted: bool) -> Finding:
    try:
        data = read_file(path)
        if not is_private(path):
            return Finding(str(path), "bad", f"others may read it (chmod 600 {path})")
        if encrypted and passphrase is None:
            return Finding(str(path), "warning", "not opened: its passphrase was not given")
        key = load_key(data, passphrase if encrypted else None, str(path))
    except BoxshipError as error:
        return Finding(str(path), "bad", str(error))
    form = (serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo)
    if key.public_key().public_bytes(*form) != certificate.public_key().public_bytes(*form):
        return Finding(str(path), "bad", "does not belong to the certificate")
    return Finding(str(path), "good", "belongs to its certificate, mode 0600")
