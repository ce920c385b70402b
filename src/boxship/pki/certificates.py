"""What stands in a certificate: pure functions of keys, names and a time. No file is read or written here.

Keys are ECDSA on P-256. A root signs one intermediate; the intermediate signs servers and clients, so the root's key
can be taken off the machine. A server certificate cannot be used as a client's, nor the other way round.
"""

import datetime
import ipaddress

import msgspec
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from boxship.errors import Denied, Invalid
from boxship.pki.names import Subject

ROOT_DAYS = 3650
INTERMEDIATE_DAYS = 1825
LEAF_DAYS = 397
CLOCK_SKEW = datetime.timedelta(minutes=5)  # certificates hold on machines whose clock is a little behind
ORGANISATION = "Boxship"
# A self-signed certificate may not run longer than this, so that "days" cannot overflow a date.
MAXIMUM_DAYS = 36500

Key = ec.EllipticCurvePrivateKey


class Issuer(msgspec.Struct, frozen=True):
    """A certificate with its key: what can sign."""

    certificate: x509.Certificate
    key: Key


def new_key() -> Key:
    return ec.generate_private_key(ec.SECP256R1())


def dump_key(key: Key, passphrase: bytes | None) -> bytes:
    """PKCS#8 PEM; encrypted where a passphrase is given."""
    protection: serialization.KeySerializationEncryption = (
        serialization.BestAvailableEncryption(passphrase) if passphrase else serialization.NoEncryption()
    )
    return key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, protection)


def load_key(data: bytes, passphrase: bytes | None, name: str) -> Key:
    """The key in a PEM text. Raises Denied for a wrong passphrase, Invalid for what is no such key."""
    try:
        key = serialization.load_pem_private_key(data, passphrase)
    except TypeError as error:
        raise Denied(f"cannot open the key {name}: {error}") from error
    except ValueError as error:
        if passphrase is not None and b"ENCRYPTED" in data:
            raise Denied(f"cannot open the key {name}: wrong passphrase") from error
        raise Invalid(f"cannot read the key {name}: {error}") from error
    if not isinstance(key, ec.EllipticCurvePrivateKey):
        raise Invalid(f"cannot use the key {name}: not an elliptic curve key")
    return key


def dump_certificates(*certificates: x509.Certificate) -> bytes:
    return b"".join(certificate.public_bytes(serialization.Encoding.PEM) for certificate in certificates)


def load_certificates(data: bytes, name: str) -> tuple[x509.Certificate, ...]:
    """All certificates of a PEM text, in its order. Raises Invalid."""
    try:
        return tuple(x509.load_pem_x509_certificates(data))
    except ValueError as error:
        raise Invalid(f"cannot read the certificate {name}: {error}") from error


def make_root(name: str, key: Key, now: datetime.datetime) -> x509.Certificate:
    """A self-signed root that may have one authority below it."""
    subject = _name(f"{name} root")
    builder = _builder(subject, subject, key.public_key(), now, now + datetime.timedelta(days=ROOT_DAYS))
    return _authority(builder, key.public_key(), path_length=1).sign(key, hashes.SHA256())


def make_intermediate(name: str, key: Key, root: Issuer, now: datetime.datetime) -> x509.Certificate:
    """An authority below the root that may sign leaves only."""
    end = _end(now, INTERMEDIATE_DAYS, root)
    builder = _builder(_name(f"{name} intermediate"), root.certificate.subject, key.public_key(), now, end)
    builder = _authority(builder, key.public_key(), path_length=0)
    return builder.add_extension(_signed_by(root), critical=False).sign(root.key, hashes.SHA256())


def make_server(subject: Subject, key: Key, issuer: Issuer, now: datetime.datetime, days: int) -> x509.Certificate:
    """A certificate for a TLS server that is reached under the subject's hosts and addresses."""
    places: list[x509.GeneralName] = [x509.DNSName(host) for host in subject.hosts]
    places += [x509.IPAddress(ipaddress.ip_address(address)) for address in subject.addresses]
    if not places:
        raise Invalid(f"cannot issue a certificate for the server {subject.name}: it needs a host name or address")
    return _leaf(subject.name, key, issuer, now, days, ExtendedKeyUsageOID.SERVER_AUTH, places)


def make_client(subject: Subject, key: Key, issuer: Issuer, now: datetime.datetime, days: int) -> x509.Certificate:
    """A certificate for a TLS client, known by its name."""
    return _leaf(subject.name, key, issuer, now, days, ExtendedKeyUsageOID.CLIENT_AUTH, [])


def _leaf(
    name: str,
    key: Key,
    issuer: Issuer,
    now: datetime.datetime,
    days: int,
    usage: x509.ObjectIdentifier,
    places: list[x509.GeneralName],
) -> x509.Certificate:
    public = key.public_key()
    builder = _builder(_name(name), issuer.certificate.subject, public, now, _end(now, days, issuer))
    builder = (
        builder.add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        .add_extension(_key_usage(digital_signature=True), critical=True)
        .add_extension(x509.ExtendedKeyUsage([usage]), critical=False)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(public), critical=False)
        .add_extension(_signed_by(issuer), critical=False)
    )
    if places:
        builder = builder.add_extension(x509.SubjectAlternativeName(places), critical=False)
    return builder.sign(issuer.key, hashes.SHA256())


def _end(now: datetime.datetime, days: int, issuer: Issuer) -> datetime.datetime:
    """The last moment: never after the issuer's own. Raises Invalid where nothing would be left."""
    if not 1 <= days <= MAXIMUM_DAYS:
        raise Invalid(f"cannot issue for {days} days: 1 to {MAXIMUM_DAYS}")
    limit = issuer.certificate.not_valid_after_utc
    if limit <= now:
        raise Invalid(f"cannot issue: the authority's certificate ended on {limit:%Y-%m-%d}")
    return min(now + datetime.timedelta(days=days), limit)


def _name(common_name: str) -> x509.Name:
    return x509.Name(
        [
            x509.NameAttribute(NameOID.ORGANIZATION_NAME, ORGANISATION),
            x509.NameAttribute(NameOID.COMMON_NAME, common_name),
        ]
    )


def _builder(
    subject: x509.Name,
    issuer: x509.Name,
    public: ec.EllipticCurvePublicKey,
    now: datetime.datetime,
    end: datetime.datetime,
) -> x509.CertificateBuilder:
    return (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer)
        .public_key(public)
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - CLOCK_SKEW)
        .not_valid_after(end)
    )


def _authority(
    builder: x509.CertificateBuilder, public: ec.EllipticCurvePublicKey, path_length: int
) -> x509.CertificateBuilder:
    return (
        builder.add_extension(x509.BasicConstraints(ca=True, path_length=path_length), critical=True)
        .add_extension(_key_usage(key_cert_sign=True, crl_sign=True), critical=True)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(public), critical=False)
    )


def _signed_by(issuer: Issuer) -> x509.AuthorityKeyIdentifier:
    identifier = issuer.certificate.extensions.get_extension_for_class(x509.SubjectKeyIdentifier).value
    return x509.AuthorityKeyIdentifier.from_issuer_subject_key_identifier(identifier)


def _key_usage(
    *, digital_signature: bool = False, key_cert_sign: bool = False, crl_sign: bool = False
) -> x509.KeyUsage:
    return x509.KeyUsage(
        digital_signature=digital_signature,
        content_commitment=False,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=False,
        key_cert_sign=key_cert_sign,
        crl_sign=crl_sign,
        encipher_only=False,
        decipher_only=False,
    )
