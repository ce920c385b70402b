"""What a machine needs of certificates to become a node: a request to have one signed, the pin by which it knows the
cluster's authority, and when a certificate ends. Pure but for the keys that it makes.
"""

import datetime
import hashlib
from collections.abc import Sequence

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.x509.oid import NameOID

from boxship.errors import Invalid
from boxship.pki.certificates import load_certificates
from boxship.pki.keys import dump_key, new_key, signature_hash

PIN = "sha256:"


def make_request(name: str, groups: Sequence[str], hosts: Sequence[str] = ()) -> tuple[bytes, bytes]:
    """A new key, and the request for a certificate of that name with it: both PEM."""
    key = new_key()
    subject = x509.Name(
        [
            *(x509.NameAttribute(NameOID.ORGANIZATION_NAME, group) for group in groups),
            x509.NameAttribute(NameOID.COMMON_NAME, name),
        ]
    )
    builder = x509.CertificateSigningRequestBuilder().subject_name(subject)
    if hosts:
        names = x509.SubjectAlternativeName([x509.DNSName(host) for host in hosts])
        builder = builder.add_extension(names, critical=False)
    algorithm = signature_hash(key)
    assert algorithm is None or isinstance(algorithm, hashes.SHA256)
    request = builder.sign(key, algorithm)
    return dump_key(key, None), request.public_bytes(serialization.Encoding.PEM)


def pins_of(authority: bytes) -> set[str]:
    """Of each certificate in a PEM text: "sha256:" and the hash of its public key, as kubeadm writes it."""
    found = load_certificates(authority, "of the cluster's authority")
    form = serialization.PublicFormat.SubjectPublicKeyInfo
    keys = (one.public_key().public_bytes(serialization.Encoding.DER, form) for one in found)
    return {f"{PIN}{hashlib.sha256(key).hexdigest()}" for key in keys}


def life_of(certificate: bytes) -> tuple[datetime.datetime, datetime.datetime]:
    """From when to when the first certificate of a PEM text holds. Raises Invalid where there is none."""
    found = load_certificates(certificate, "of this node")
    if not found:
        raise Invalid("cannot read the certificate of this node: there is none")
    return found[0].not_valid_before_utc, found[0].not_valid_after_utc
