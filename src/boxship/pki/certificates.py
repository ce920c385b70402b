"""What stands in a certificate: pure functions of keys, names and a time. No file is read or written here.

A root signs one intermediate; the intermediate signs the rest, so the root's key can be taken off the machine. A
certificate serves one use: a server's cannot be used as a client's, nor either to sign messages.
"""

import datetime
import ipaddress

import msgspec
from cryptography import x509
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from boxship.errors import Invalid
from boxship.pki.keys import Key, PublicKey, kind_of, signature_hash
from boxship.pki.names import Subject

ROOT_LIFE = datetime.timedelta(days=3650)
INTERMEDIATE_LIFE = datetime.timedelta(days=1825)
LEAF_DAYS = 397
LEAF_LIFE = datetime.timedelta(days=LEAF_DAYS)
LEAST_LIFE = datetime.timedelta(seconds=1)
MOST_LIFE = datetime.timedelta(days=36500)  # a longer one could overflow a date
CLOCK_SKEW = datetime.timedelta(minutes=5)  # certificates hold on machines whose clock is a little behind
SKEW_PARTS = 10  # of a short life, one of which it begins earlier
ORGANISATION = "Boxship"
# What the library raises for certificates that are none.
UNREADABLE = (
    ValueError,
    TypeError,
    UnsupportedAlgorithm,
    x509.InvalidVersion,
    x509.DuplicateExtension,
    x509.UnsupportedGeneralNameType,
)
USAGES = {
    "server": ExtendedKeyUsageOID.SERVER_AUTH,
    "client": ExtendedKeyUsageOID.CLIENT_AUTH,
    "signer": ExtendedKeyUsageOID.EMAIL_PROTECTION,  # signs messages and has messages encrypted to it
}


class Issuer(msgspec.Struct, frozen=True):
    """A certificate with its key: what can sign."""

    certificate: x509.Certificate
    key: Key


def dump_certificates(*certificates: x509.Certificate) -> bytes:
    return b"".join(certificate.public_bytes(serialization.Encoding.PEM) for certificate in certificates)


def load_certificates(data: bytes, name: str) -> tuple[x509.Certificate, ...]:
    """All certificates of a PEM text, in its order. Raises Invalid."""
    try:
        found = tuple(x509.load_pem_x509_certificates(data))
        for certificate in found:
            certificate.extensions  # noqa: B018 - they are read late, and may be damaged
        return found
    except UNREADABLE as error:
        raise Invalid(f"cannot read the certificate {name}: {error}") from error


def make_root(name: str, key: Key, now: datetime.datetime) -> x509.Certificate:
    """A self-signed root that may have one authority below it."""
    subject = _name(f"{name} root")
    builder = _builder(subject, subject, key.public_key(), now, now + ROOT_LIFE)
    return _authority(builder, key.public_key(), path_length=1).sign(key, _hash(key))


def make_intermediate(name: str, public: PublicKey, root: Issuer, now: datetime.datetime) -> x509.Certificate:
    """An authority below the root that may sign leaves only."""
    return _intermediate(_name(f"{name} intermediate"), public, root, now)


def renew_intermediate(
    old: x509.Certificate, public: PublicKey, root: Issuer, now: datetime.datetime
) -> x509.Certificate:
    """The same authority with the same key and a new life: what it has signed goes on to hold."""
    return _intermediate(old.subject, public, root, now)


def _intermediate(subject: x509.Name, public: PublicKey, root: Issuer, now: datetime.datetime) -> x509.Certificate:
    end = _end(now, INTERMEDIATE_LIFE, root)
    builder = _builder(subject, root.certificate.subject, public, now, end)
    builder = _authority(builder, public, path_length=0)
    return builder.add_extension(signed_by(root), critical=False).sign(root.key, _hash(root.key))


def make_leaf(
    kind: str, subject: Subject, public: PublicKey, issuer: Issuer, now: datetime.datetime, life: datetime.timedelta
) -> x509.Certificate:
    """A certificate of the kind "server" (reached under the subject's hosts and addresses), "client" (known by its
    name) or "signer". Raises Invalid."""
    places: list[x509.GeneralName] = [x509.DNSName(host) for host in subject.hosts]
    places += [x509.IPAddress(ipaddress.ip_address(address)) for address in subject.addresses]
    if kind not in USAGES:
        raise Invalid(f"cannot issue a certificate of the kind {kind!r}: it is one of {', '.join(USAGES)}")
    if kind == "server" and not places:
        raise Invalid(f"cannot issue a certificate for the server {subject.name}: it needs a host name or address")
    return _leaf(_name(subject.name), public, issuer, now, life, [USAGES[kind]], places)


def renew_leaf(
    old: x509.Certificate, public: PublicKey, issuer: Issuer, now: datetime.datetime, life: datetime.timedelta
) -> x509.Certificate:
    """The same holder, use and places with a new life, and maybe a new key."""
    places: list[x509.GeneralName] = []
    usages: list[x509.ObjectIdentifier] = []
    for extension in old.extensions:
        if isinstance(extension.value, x509.SubjectAlternativeName):
            places = list(extension.value)
        elif isinstance(extension.value, x509.ExtendedKeyUsage):
            usages = list(extension.value)
    return _leaf(old.subject, public, issuer, now, life, usages, places)


def days_of(count: int) -> datetime.timedelta:
    """A life of so many days. Raises Invalid for one that no date can hold."""
    if not 1 <= count <= MOST_LIFE.days:
        raise Invalid(f"cannot issue for {count} days: 1 to {MOST_LIFE.days}")
    return datetime.timedelta(days=count)


def life_of(certificate: x509.Certificate) -> datetime.timedelta:
    """How long a certificate was issued for, without the little that it begins earlier for clocks that are behind."""
    whole = certificate.not_valid_after_utc - certificate.not_valid_before_utc
    return whole - min(CLOCK_SKEW, whole / (SKEW_PARTS + 1))


def kind_of_certificate(certificate: x509.Certificate) -> str:
    """The use that a certificate has: a key of USAGES, or "" for none of ours."""
    for extension in certificate.extensions:
        if isinstance(extension.value, x509.ExtendedKeyUsage):
            return next((kind for kind, usage in USAGES.items() if usage in extension.value), "")
    return ""


def common_name(certificate: x509.Certificate) -> str:
    names = certificate.subject.get_attributes_for_oid(NameOID.COMMON_NAME)
    return str(names[0].value) if names else certificate.subject.rfc4514_string()


def _leaf(
    subject: x509.Name,
    public: PublicKey,
    issuer: Issuer,
    now: datetime.datetime,
    life: datetime.timedelta,
    usages: list[x509.ObjectIdentifier],
    places: list[x509.GeneralName],
) -> x509.Certificate:
    builder = _builder(subject, issuer.certificate.subject, public, now, _end(now, life, issuer))
    is_signer = USAGES["signer"] in usages
    use = _key_usage(
        digital_signature=True,
        key_agreement=is_signer and kind_of(public) == "ec",
        key_encipherment=kind_of(public) == "rsa",
    )
    builder = (
        builder.add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        .add_extension(use, critical=True)
        .add_extension(x509.ExtendedKeyUsage(usages), critical=False)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(public), critical=False)
        .add_extension(signed_by(issuer), critical=False)
    )
    if places:
        builder = builder.add_extension(x509.SubjectAlternativeName(places), critical=False)
    return builder.sign(issuer.key, _hash(issuer.key))


def _end(now: datetime.datetime, life: datetime.timedelta, issuer: Issuer) -> datetime.datetime:
    """The last moment: never after the issuer's own. Raises Invalid where nothing would be left."""
    if not LEAST_LIFE <= life <= MOST_LIFE:
        raise Invalid(f"cannot issue for {life}: at least 1 second, at most {MOST_LIFE.days} days")
    limit = issuer.certificate.not_valid_after_utc
    if limit <= now:
        raise Invalid(f"cannot issue: the authority's certificate ended on {limit:%Y-%m-%d}")
    return min(now + life, limit)


def _name(name: str) -> x509.Name:
    return x509.Name(
        [
            x509.NameAttribute(NameOID.ORGANIZATION_NAME, ORGANISATION),
            x509.NameAttribute(NameOID.COMMON_NAME, name),
        ]
    )


def _builder(
    subject: x509.Name, issuer: x509.Name, public: PublicKey, now: datetime.datetime, end: datetime.datetime
) -> x509.CertificateBuilder:
    """The serial number is random (159 bits): unique without a counter that a crash could set back."""
    return (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer)
        .public_key(public)
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - min(CLOCK_SKEW, (end - now) / SKEW_PARTS))
        .not_valid_after(end)
    )


def _authority(builder: x509.CertificateBuilder, public: PublicKey, path_length: int) -> x509.CertificateBuilder:
    return (
        builder.add_extension(x509.BasicConstraints(ca=True, path_length=path_length), critical=True)
        .add_extension(_key_usage(key_cert_sign=True, crl_sign=True), critical=True)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(public), critical=False)
    )


def signed_by(issuer: Issuer) -> x509.AuthorityKeyIdentifier:
    identifier = issuer.certificate.extensions.get_extension_for_class(x509.SubjectKeyIdentifier).value
    return x509.AuthorityKeyIdentifier.from_issuer_subject_key_identifier(identifier)


def _hash(key: Key) -> hashes.SHA256 | None:
    found = signature_hash(key)
    assert found is None or isinstance(found, hashes.SHA256)
    return found


def _key_usage(
    *,
    digital_signature: bool = False,
    key_agreement: bool = False,
    key_encipherment: bool = False,
    key_cert_sign: bool = False,
    crl_sign: bool = False,
) -> x509.KeyUsage:
    return x509.KeyUsage(
        digital_signature=digital_signature,
        content_commitment=False,
        key_encipherment=key_encipherment,
        data_encipherment=False,
        key_agreement=key_agreement,
        key_cert_sign=key_cert_sign,
        crl_sign=crl_sign,
        encipher_only=False,
        decipher_only=False,
    )
