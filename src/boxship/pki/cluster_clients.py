"""Whose a client's certificate is: the user that its subject names, or why it is nobody's.

TLS has asked for the certificate already; this looks again at each request, because a connection may outlive a
certificate, and because the API's listener takes certificates of two authorities that mean different things.
"""

import datetime
import hashlib

import msgspec
from cryptography import x509
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from boxship.errors import Invalid, Unauthenticated
from boxship.pki.certificates import UNREADABLE, common_name, load_certificates
from boxship.pki.cluster_certificates import is_signed_by

REMEMBERED = 1024  # certificates
USER_UID = x509.ObjectIdentifier("1.3.6.1.4.1.57683.2")


class Identity(msgspec.Struct, frozen=True):
    """Who a certificate is for. `is_front_proxy`: its holder may speak for others. `credential` names the certificate
    in audits; `end` is the last second in which it holds."""

    name: str
    groups: tuple[str, ...]
    uid: str
    credential: str
    begin: float
    end: float
    is_front_proxy: bool = False


class ClientCertificates:
    """Reads certificates (DER) of the two authorities of a cluster, and remembers those that were good. Without
    `front_proxy` nobody speaks for others."""

    def __init__(self, authority: x509.Certificate, front_proxy: x509.Certificate | None = None) -> None:
        self._authority = authority
        self._front_proxy = front_proxy
        self._known: dict[bytes, Identity] = {}

    def identify(self, certificate: bytes, now: datetime.datetime) -> Identity:
        """Raises Unauthenticated."""
        identity = self._known.get(certificate)
        if identity is None:
            identity = self._read(certificate)
            if len(self._known) >= REMEMBERED:
                self._known.pop(next(iter(self._known)))
            self._known[certificate] = identity
        if not identity.begin <= now.timestamp() <= identity.end:
            raise Unauthenticated("x509: certificate has expired or is not yet valid")
        return identity

    def _read(self, data: bytes) -> Identity:
        try:
            certificate = x509.load_der_x509_certificate(data)
            is_front_proxy = self._front_proxy is not None and is_signed_by(certificate, self._front_proxy)
            if not is_front_proxy and not is_signed_by(certificate, self._authority):
                raise Unauthenticated("x509: certificate signed by unknown authority")
            if not _is_for_clients(certificate):
                raise Unauthenticated("x509: certificate specifies an incompatible key usage")
            name = common_name(certificate) if certificate.subject.get_attributes_for_oid(NameOID.COMMON_NAME) else ""
            groups = [str(part.value) for part in certificate.subject.get_attributes_for_oid(NameOID.ORGANIZATION_NAME)]
            uids = [str(part.value) for part in certificate.subject.get_attributes_for_oid(USER_UID)]
        except UNREADABLE as error:
            raise Unauthenticated(f"x509: malformed certificate: {error}") from error
        if not name:
            raise Unauthenticated("x509: the certificate names no user: its common name is empty")
        return Identity(
            name=name,
            groups=tuple(groups),
            uid=uids[0] if uids else "",
            credential=f"X509SHA256={hashlib.sha256(data).hexdigest()}",
            begin=certificate.not_valid_before_utc.timestamp(),
            end=certificate.not_valid_after_utc.timestamp(),
            is_front_proxy=is_front_proxy,
        )


def clients_of(authority: bytes) -> ClientCertificates:
    """Of one authority in PEM. Raises Invalid."""
    found = load_certificates(authority, "the cluster's authority")
    if not found:
        raise Invalid("cannot read the cluster's authority: there is no certificate in it")
    return ClientCertificates(found[0])


def _is_for_clients(certificate: x509.Certificate) -> bool:
    try:
        usages = certificate.extensions.get_extension_for_class(x509.ExtendedKeyUsage).value
    except x509.ExtensionNotFound:
        return False
    return ExtendedKeyUsageOID.CLIENT_AUTH in usages or ExtendedKeyUsageOID.ANY_EXTENDED_KEY_USAGE in usages
