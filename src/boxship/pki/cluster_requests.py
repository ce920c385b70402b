"""Certificate signing requests as Kubernetes has them: read one, say what a signer may refuse, sign.

The usages are those of certificates.k8s.io/v1 ("digital signature", "client auth" …). Whether a request is approved is
not decided here.
"""

import datetime
from collections.abc import Sequence

import msgspec
from cryptography import x509
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from boxship.errors import Invalid
from boxship.pki.certificates import UNREADABLE, Issuer, dump_certificates
from boxship.pki.cluster_certificates import issued_by, key_usage, sign
from boxship.pki.keys import check_public

KEY_USAGES = {
    "signing": "digital_signature",
    "digital signature": "digital_signature",
    "content commitment": "content_commitment",
    "key encipherment": "key_encipherment",
    "key agreement": "key_agreement",
    "data encipherment": "data_encipherment",
    "cert sign": "key_cert_sign",
    "crl sign": "crl_sign",
    "encipher only": "encipher_only",
    "decipher only": "decipher_only",
}
EXTENDED_USAGES = {
    "any": ExtendedKeyUsageOID.ANY_EXTENDED_KEY_USAGE,
    "server auth": ExtendedKeyUsageOID.SERVER_AUTH,
    "client auth": ExtendedKeyUsageOID.CLIENT_AUTH,
    "code signing": ExtendedKeyUsageOID.CODE_SIGNING,
    "email protection": ExtendedKeyUsageOID.EMAIL_PROTECTION,
    "s/mime": ExtendedKeyUsageOID.EMAIL_PROTECTION,
    "ipsec end system": x509.ObjectIdentifier("1.3.6.1.5.5.7.3.5"),
    "ipsec tunnel": x509.ObjectIdentifier("1.3.6.1.5.5.7.3.6"),
    "ipsec user": x509.ObjectIdentifier("1.3.6.1.5.5.7.3.7"),
    "timestamping": ExtendedKeyUsageOID.TIME_STAMPING,
    "ocsp signing": ExtendedKeyUsageOID.OCSP_SIGNING,
    "microsoft sgc": x509.ObjectIdentifier("1.3.6.1.4.1.311.10.3.3"),
    "netscape sgc": x509.ObjectIdentifier("2.16.840.1.113730.4.1"),
}
LONGEST_BACKDATE = datetime.timedelta(minutes=5)
LONG_BACKDATE = datetime.timedelta(days=1)  # of long lives: a server whose clock was set back must still know its nodes
LONG_PART = 100  # of its life, that a certificate is backdated so


class SigningRequest(msgspec.Struct, frozen=True):
    """What a request asks for. `parsed` is for `issue` alone."""

    name: str
    groups: tuple[str, ...]
    hosts: tuple[str, ...]
    addresses: tuple[str, ...]
    mails: tuple[str, ...]
    links: tuple[str, ...]
    parsed: x509.CertificateSigningRequest


def read_request(data: bytes) -> SigningRequest:
    """A request in PEM. Raises Invalid, with the original's words where it has some."""
    if b"-----BEGIN CERTIFICATE REQUEST-----" not in data and b"-----BEGIN NEW CERTIFICATE REQUEST-----" not in data:
        raise Invalid("PEM block type must be CERTIFICATE REQUEST")
    try:
        parsed = x509.load_pem_x509_csr(data)
        if not parsed.is_signature_valid:
            raise Invalid("the request is not signed by its key")
        subject = parsed.subject
        groups = [str(part.value) for part in subject.get_attributes_for_oid(NameOID.ORGANIZATION_NAME)]
        names = [str(part.value) for part in subject.get_attributes_for_oid(NameOID.COMMON_NAME)]
        try:
            places = parsed.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
        except x509.ExtensionNotFound:
            places = x509.SubjectAlternativeName([])
        check_public(parsed.public_key(), "of the request")
    except UNREADABLE as error:
        raise Invalid(f"cannot read the request: {error}") from error
    return SigningRequest(
        name=names[0] if names else "",
        groups=tuple(groups),
        hosts=tuple(places.get_values_for_type(x509.DNSName)),
        addresses=tuple(str(address) for address in places.get_values_for_type(x509.IPAddress)),
        mails=tuple(places.get_values_for_type(x509.RFC822Name)),
        links=tuple(places.get_values_for_type(x509.UniformResourceIdentifier)),
        parsed=parsed,
    )


def issue(
    request: SigningRequest,
    usages: Sequence[str],
    issuer: Issuer,
    now: datetime.datetime,
    life: datetime.timedelta,
) -> bytes:
    """The certificate (PEM) that a request asks for: its subject, names and key, with these usages. It ends with its
    authority at the latest. Raises Invalid for an unknown usage."""
    unknown = [usage for usage in usages if usage not in KEY_USAGES and usage not in EXTENDED_USAGES]
    if unknown:
        raise Invalid(f'unrecognized usage: "{unknown[0]}"')
    named = {KEY_USAGES[usage] for usage in usages if usage in KEY_USAGES}
    if named & {"encipher_only", "decipher_only"}:
        named.add("key_agreement")  # these two say something of key agreement only
    extended = list(dict.fromkeys(EXTENDED_USAGES[usage] for usage in usages if usage in EXTENDED_USAGES))
    parsed = request.parsed
    public = check_public(parsed.public_key(), "of the request")
    backdate = min(LONGEST_BACKDATE, life / 2)
    end = min(now - backdate + life, issuer.certificate.not_valid_after_utc)
    if end <= now:
        raise Invalid("cannot issue: the authority's certificate has ended")
    begin = now - max(backdate, min(LONG_BACKDATE, life / LONG_PART))
    builder = (
        x509.CertificateBuilder()
        .subject_name(parsed.subject)
        .issuer_name(issuer.certificate.subject)
        .public_key(public)
        .serial_number(x509.random_serial_number())
        .not_valid_before(begin)
        .not_valid_after(end)
        .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        .add_extension(issued_by(issuer), critical=False)
    )
    if named:
        builder = builder.add_extension(key_usage(named), critical=True)
    if extended:
        builder = builder.add_extension(x509.ExtendedKeyUsage(extended), critical=False)
    try:
        places = parsed.extensions.get_extension_for_class(x509.SubjectAlternativeName)
        builder = builder.add_extension(places.value, critical=False)
    except x509.ExtensionNotFound:
        pass
    return dump_certificates(sign(builder, issuer.key))
