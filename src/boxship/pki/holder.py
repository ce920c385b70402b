"""Who holds a certificate with its key, and whom to trust, read from files: for those who work with messages."""

import datetime
from collections.abc import Callable
from pathlib import Path

import msgspec
from cryptography import x509

from boxship.errors import Invalid
from boxship.pki.certificates import load_certificates
from boxship.pki.chain import Trusted
from boxship.pki.files import read_file
from boxship.pki.keys import Key, load_key, same_public
from boxship.pki.places import INTERMEDIATE, LEAF, LEAF_KEY, one_certificate, revocations, root_of
from boxship.pki.revocation import load as load_revocations


class Holder(msgspec.Struct, frozen=True):
    """A certificate with what stands between it and the root, and its key."""

    chain: tuple[x509.Certificate, ...]
    key: Key

    @property
    def certificate(self) -> x509.Certificate:
        return self.chain[0]


def read_holder(certificate: Path, key: Path | None, passphrase: Callable[[], bytes]) -> Holder:
    """From a folder with cert.pem and key.pem, or from two files. Raises NotFound, Denied, Invalid."""
    if certificate.is_dir():
        certificate, key = certificate / LEAF, key or certificate / LEAF_KEY
    if key is None:
        raise Invalid(f"cannot use {certificate}: the file of its key is not given")
    chain = read_chain(certificate)
    data = read_file(key)
    opened = load_key(data, passphrase() if b"ENCRYPTED" in data else None, str(key))
    if not same_public(opened.public_key(), chain[0].public_key()):
        raise Invalid(f"cannot use the key {key}: it does not belong to {certificate}")
    return Holder(chain, opened)


def read_chain(path: Path) -> tuple[x509.Certificate, ...]:
    """The certificates of a file, or of a folder's cert.pem; at least one."""
    if path.is_dir():
        path = path / LEAF
    found = load_certificates(read_file(path), str(path))
    if not found:
        raise Invalid(f"cannot read the certificate {path}: it is empty")
    return found


def trust_in_authority(folder: Path, now: datetime.datetime) -> Trusted:
    """An authority's root and what it revoked."""
    known = revocations(folder, one_certificate(folder / INTERMEDIATE))
    return Trusted((root_of(folder),), now, known.serials)


def trust_in_files(roots: Path, revoked: Path | None, now: datetime.datetime) -> Trusted:
    """Roots from a file, and a list of revoked certificates that one of its certificates, or those in the list's own
    file, signed."""
    found = load_certificates(read_file(roots), str(roots))
    if revoked is None:
        return Trusted(found, now)
    data = read_file(revoked)
    issuers = (*found, *load_certificates(data, str(revoked))) if b"BEGIN CERTIFICATE" in data else found
    problem: Invalid | None = None
    for issuer in issuers:
        try:
            return Trusted(found, now, load_revocations(data, issuer, str(revoked)).serials)
        except Invalid as error:
            problem = error
    raise problem or Invalid(f"cannot use the revocation list {revoked}: nobody is trusted")
