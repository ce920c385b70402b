"""What stands in the certificates of a cluster: pure functions of names, keys and a time.

A user is a certificate's common name, its groups are the organisations (kubernetes.io, "X509 client certificates").
"""

import datetime
import ipaddress
import os
from collections.abc import Sequence

import msgspec
from cryptography import x509
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from boxship.errors import Invalid
from boxship.pki.certificates import Issuer, signed_by
from boxship.pki.keys import Key, PublicKey, kind_of, same_public, signature_hash
from boxship.pki.names import subject_for

AUTHORITY_LIFE = datetime.timedelta(days=3650)
LIFE = datetime.timedelta(days=397)
BACKDATED = datetime.timedelta(days=1)  # machines whose clock is behind must be able to join a new cluster
ENDING = 3  # a certificate is renewed when less than this part of its life is left


class Wanted(msgspec.Struct, frozen=True):
    """One certificate: the name of its files, which authority signs it, and what stands in it. With `places` it is a
    server's, else a client's."""

    file: str
    authority: str
    name: str
    groups: tuple[str, ...] = ()
    places: tuple[str, ...] = ()


CLIENTS = {
    wanted.file: wanted
    for wanted in (
        Wanted("admin", "ca", "kubernetes-admin", ("system:masters",)),
        Wanted("controller-manager", "ca", "system:kube-controller-manager"),
        Wanted("scheduler", "ca", "system:kube-scheduler"),
        Wanted("apiserver-kubelet-client", "ca", "kube-apiserver-kubelet-client", ("system:masters",)),
        Wanted("front-proxy-client", "front-proxy-ca", "front-proxy-client"),
    )
}


def serving_places(hosts: Sequence[str], service_cidr: str, domain: str) -> list[str]:
    """Every name and address under which the API server is reached. Raises Invalid for a wrong one."""
    service = "kubernetes.default.svc"
    places = ["localhost", "127.0.0.1", "::1", "kubernetes", "kubernetes.default", service, f"{service}.{domain}"]
    for cidr in service_cidr.split(","):
        places.append(str(first_address(cidr)))
    places += [*hosts, os.uname().nodename]
    subject = subject_for("apiserver", tuple(place for place in places if place))
    return [*subject.hosts, *subject.addresses]


def first_address(cidr: str) -> ipaddress.IPv4Address | ipaddress.IPv6Address:
    """The address of the `kubernetes` Service: the first of the range. Raises Invalid."""
    try:
        return ipaddress.ip_network(cidr.strip())[1]
    except (ValueError, IndexError) as error:
        raise Invalid(f"cannot use the service range {cidr}: {error}") from error


def make_authority(
    name: str, key: Key, now: datetime.datetime, *, subject: x509.Name | None = None
) -> x509.Certificate:
    """A self-signed authority. With `subject` it takes the place of one that ends, with the same key."""
    public = key.public_key()
    shown = subject or x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
    builder = (
        _begun(shown, shown, public, now, now + AUTHORITY_LIFE)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .add_extension(key_usage({"digital_signature", "key_encipherment", "key_cert_sign"}), critical=True)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(public), critical=False)
    )
    if subject is None:
        builder = builder.add_extension(x509.SubjectAlternativeName([x509.DNSName(name)]), critical=False)
    return sign(builder, key)


def make_certificate(wanted: Wanted, public: PublicKey, issuer: Issuer, now: datetime.datetime) -> x509.Certificate:
    """A server's or a client's certificate, which does not outlive its authority."""
    usage = ExtendedKeyUsageOID.SERVER_AUTH if wanted.places else ExtendedKeyUsageOID.CLIENT_AUTH
    usages = {"digital_signature"} | ({"key_encipherment"} if kind_of(public) == "rsa" else set())
    end = min(now + LIFE, issuer.certificate.not_valid_after_utc)
    builder = (
        _begun(_subject(wanted), issuer.certificate.subject, public, now, end)
        .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        .add_extension(key_usage(usages), critical=True)
        .add_extension(x509.ExtendedKeyUsage([usage]), critical=False)
        .add_extension(issued_by(issuer), critical=False)
    )
    if wanted.places:
        builder = builder.add_extension(x509.SubjectAlternativeName(_general_names(wanted.places)), critical=False)
    return sign(builder, issuer.key)


def holds(
    certificate: x509.Certificate, wanted: Wanted, public: PublicKey, issuer: Issuer, now: datetime.datetime
) -> bool:
    """Whether a certificate on disk still is what is wanted: by this authority, for this key, with every place."""
    if not same_public(public, certificate.public_key()) or is_ending(certificate, now):
        return False
    if not is_signed_by(certificate, issuer.certificate):
        return False
    if not wanted.places:
        return True
    try:
        names = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    except x509.ExtensionNotFound:
        return False
    return set(_general_names(wanted.places)) <= set(names)


def is_ending(certificate: x509.Certificate, now: datetime.datetime) -> bool:
    life = certificate.not_valid_after_utc - certificate.not_valid_before_utc
    return certificate.not_valid_after_utc - now < life / ENDING


def is_signed_by(certificate: x509.Certificate, authority: x509.Certificate) -> bool:
    """Whether the authority's key signed the certificate."""
    if certificate.issuer != authority.subject:
        return False
    try:
        certificate.verify_directly_issued_by(authority)
    except (ValueError, TypeError, InvalidSignature):
        return False
    return True


def issued_by(issuer: Issuer) -> x509.AuthorityKeyIdentifier:
    """Points at the issuer's key; an authority that people brought may not say its identifier."""
    try:
        return signed_by(issuer)
    except x509.ExtensionNotFound:
        return x509.AuthorityKeyIdentifier.from_issuer_public_key(issuer.key.public_key())


def key_usage(named: set[str]) -> x509.KeyUsage:
    """The extension with the named bits ("digital_signature", "key_cert_sign" …)."""
    bits = (
        "digital_signature content_commitment key_encipherment data_encipherment key_agreement key_cert_sign crl_sign"
        " encipher_only decipher_only"
    )
    return x509.KeyUsage(**{bit: bit in named for bit in bits.split()})


def sign(builder: x509.CertificateBuilder, key: Key) -> x509.Certificate:
    algorithm = signature_hash(key)
    assert algorithm is None or isinstance(algorithm, hashes.SHA256)
    return builder.sign(key, algorithm)


def _subject(wanted: Wanted) -> x509.Name:
    groups = [x509.NameAttribute(NameOID.ORGANIZATION_NAME, group) for group in wanted.groups]
    return x509.Name([*groups, x509.NameAttribute(NameOID.COMMON_NAME, wanted.name)])


def _general_names(places: Sequence[str]) -> list[x509.GeneralName]:
    subject = subject_for("places", tuple(places))
    hosts: list[x509.GeneralName] = [x509.DNSName(host) for host in subject.hosts]
    return hosts + [x509.IPAddress(ipaddress.ip_address(address)) for address in subject.addresses]


def _begun(
    subject: x509.Name, issuer: x509.Name, public: PublicKey, now: datetime.datetime, end: datetime.datetime
) -> x509.CertificateBuilder:
    return (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer)
        .public_key(public)
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - BACKDATED)
        .not_valid_after(end)
    )
