"""Signed messages: CMS SignedData (RFC 5652), with the content inside or beside. What `openssl cms` reads and writes.

Reading a message proves nothing; `verify` does, and it answers only when every signer's signature, certificate and
chain are good. A signature counts at the moment of the check: the time in it is only the signer's word.
"""

import base64
import datetime
import re
from collections.abc import Collection, Sequence

import msgspec
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization

from boxship.errors import Denied, Invalid, Unsupported
from boxship.pki import der, keys
from boxship.pki.certificates import UNREADABLE, common_name
from boxship.pki.chain import Trusted, check_chain

DATA = "1.2.840.113549.1.7.1"
SIGNED_DATA = "1.2.840.113549.1.7.2"
CONTENT_TYPE = "1.2.840.113549.1.9.3"
MESSAGE_DIGEST = "1.2.840.113549.1.9.4"
SIGNING_TIME = "1.2.840.113549.1.9.5"
HASHES: dict[str, hashes.HashAlgorithm] = {
    "2.16.840.1.101.3.4.2.1": hashes.SHA256(),
    "2.16.840.1.101.3.4.2.2": hashes.SHA384(),
    "2.16.840.1.101.3.4.2.3": hashes.SHA512(),
}
SHA256, SHA512 = "2.16.840.1.101.3.4.2.1", "2.16.840.1.101.3.4.2.3"
RSA, ED25519 = "1.2.840.113549.1.1.1", "1.3.101.112"
SIGNATURES = {  # algorithm: the kind of key, and the hash it names itself ("": the signer's digest algorithm)
    "1.2.840.10045.4.3.2": ("ec", SHA256),
    "1.2.840.10045.4.3.3": ("ec", "2.16.840.1.101.3.4.2.2"),
    "1.2.840.10045.4.3.4": ("ec", SHA512),
    RSA: ("rsa", ""),
    "1.2.840.113549.1.1.11": ("rsa", SHA256),
    "1.2.840.113549.1.1.12": ("rsa", "2.16.840.1.101.3.4.2.2"),
    "1.2.840.113549.1.1.13": ("rsa", SHA512),
    ED25519: ("ed25519", ""),
}
LABEL = b"CMS"


class Signer(msgspec.Struct, frozen=True):
    """Who signed: the name in the certificate, its serial number, and the time that the signer claims."""

    name: str
    serial: int
    time: datetime.datetime | None


class Verified(msgspec.Struct, frozen=True):
    """A message that is good: its content, and all who signed it."""

    content: bytes
    signers: tuple[Signer, ...]


def sign(
    content: bytes,
    key: keys.Key,
    chain: Sequence[x509.Certificate],
    now: datetime.datetime,
    *,
    attached: bool = False,
) -> bytes:
    """A signed message (DER). `chain` is the signer's certificate and what stands between it and the root."""
    if not keys.same_public(key.public_key(), chain[0].public_key()):
        raise Invalid("cannot sign: the key does not belong to the certificate")
    kind = keys.kind_of(key)
    digest_name = SHA512 if kind == "ed25519" else SHA256
    digest = der.algorithm(digest_name)
    attributes = [
        _attribute(CONTENT_TYPE, der.identifier(DATA)),
        _attribute(SIGNING_TIME, der.write(0x17, now.astimezone(datetime.UTC).strftime("%y%m%d%H%M%SZ").encode())),
        _attribute(MESSAGE_DIGEST, der.octets(_hashed(HASHES[digest_name], content))),
    ]
    signature = keys.sign(key, der.sorted_set(attributes))
    algorithms = {
        "ec": der.algorithm("1.2.840.10045.4.3.2"),
        "rsa": der.algorithm(RSA, der.write(der.NULL)),
        "ed25519": der.algorithm(ED25519),
    }
    signer = der.sequence(
        der.integer(1),
        issuer_and_serial(chain[0]),
        digest,
        der.sorted_set(attributes, der.context(0)),
        algorithms[kind],
        der.octets(signature),
    )
    inside = [der.write(der.context(0), der.octets(content))] if attached else []
    signed = der.sequence(
        der.integer(1),
        der.write(der.SET, digest),
        der.sequence(der.identifier(DATA), *inside),
        der.sorted_set((entry.public_bytes(serialization.Encoding.DER) for entry in chain), der.context(0)),
        der.write(der.SET, signer),
    )
    return der.sequence(der.identifier(SIGNED_DATA), der.write(der.context(0), signed))


def verify(
    message: bytes,
    content: bytes | None,
    trusted: Trusted,
) -> Verified:
    """The content and the signers. `content` is needed where the message does not have it. Raises Denied for a
    signature that is not good or not trusted, Invalid for what is no such message."""
    try:
        return _verify(message, content, trusted)
    except UNREADABLE as error:
        raise Invalid(f"cannot read the message: {error}") from error


def _verify(message: bytes, content: bytes | None, trusted: Trusted) -> Verified:
    node = contents_of(message, SIGNED_DATA)
    listed = {entry.expect(der.SEQUENCE).part(0).name for entry in node.part(1, der.SET).parts}
    inner = node.part(2, der.SEQUENCE)
    carried = _carried(inner.tagged(der.context(0)))
    if carried is not None and content is not None and carried != content:
        raise Denied("cannot trust the message: it was signed with other content than was given")
    if carried is None and content is None:
        raise Invalid("cannot check the message: its content is not in it, and none was given")
    data = content if carried is None else carried
    assert data is not None
    certificates = _certificates(node)
    signers = node.part(len(node.parts) - 1, der.SET).parts
    if not signers:
        raise Denied("cannot trust the message: nobody signed it")
    kind = inner.part(0).name
    is_newer = kind != DATA or any(signer.part(0).number == 3 for signer in signers)
    if node.part(0).number != (3 if is_newer else 1):
        raise Invalid("cannot read the message: its version does not fit")
    checked = [_check(signer.expect(der.SEQUENCE), listed, kind, data, certificates, trusted) for signer in signers]
    return Verified(data, tuple(checked))


def _check(
    node: der.Node,
    listed: Collection[str],
    kind: str,
    content: bytes,
    certificates: Sequence[x509.Certificate],
    trusted: Trusted,
) -> Signer:
    """One signer: the certificate, the chain, the attributes, the signature."""
    identifier = node.part(1)
    if node.part(0).number != (1 if identifier.tag == der.SEQUENCE else 3):
        raise Invalid("cannot read the message: its signer's version does not fit")
    certificate = find_certificate(identifier, certificates)
    if certificate is None:
        raise Denied("cannot trust the message: its signer's certificate is not in it")
    name = common_name(certificate)
    check_chain(certificate, certificates, trusted)
    digest_name = node.part(2, der.SEQUENCE).part(0).name
    digest = HASHES.get(digest_name)
    if digest is None or digest_name not in listed:
        raise Unsupported(f"unsupported: the digest algorithm {digest_name} of a message")
    attributes = node.part(3)
    place = 3
    time = None
    signed = content
    if attributes.tag == der.context(0):
        place = 4
        values = {entry.part(0).name: entry.part(1, der.SET).part(0) for entry in attributes.parts}
        said = values.get(MESSAGE_DIGEST)
        if said is None or said.octets != _hashed(digest, content):
            raise Denied(f"cannot trust the message: its content is not what {name} signed")
        if CONTENT_TYPE not in values or values[CONTENT_TYPE].name != kind:
            raise Denied("cannot trust the message: its content has another type than was signed")
        time = _time(values.get(SIGNING_TIME))
        signed = der.write(der.SET, *(entry.raw for entry in attributes.parts))
    elif kind != DATA:
        raise Denied("cannot trust the message: its content's type is not signed")
    algorithm = node.part(place, der.SEQUENCE).part(0).name
    key_kind, own_hash = SIGNATURES.get(algorithm, ("", ""))
    if not key_kind:
        raise Unsupported(f"unsupported: the signature algorithm {algorithm} of a message")
    key = keys.check_public(certificate.public_key(), name)
    hashed = HASHES[own_hash] if own_hash else digest
    signature = node.part(place + 1, der.OCTETS).content
    if keys.kind_of(key) != key_kind or not keys.is_signed(key, signature, signed, hashed):
        raise Denied(f"cannot trust the message: the signature of {name} is wrong")
    return Signer(name, certificate.serial_number, time)


def contents_of(message: bytes, kind: str) -> der.Node:
    """The message of a kind inside its wrapping, DER or PEM. Raises Invalid."""
    outer = der.read(unarmoured(message)).expect(der.SEQUENCE)
    if outer.part(0).name != kind:
        raise Invalid("cannot read the message: it is of another kind")
    return outer.part(1, der.context(0)).part(0, der.SEQUENCE)


def armoured(message: bytes) -> bytes:
    """A message as PEM."""
    text = base64.b64encode(message)
    lines = b"".join(text[start : start + 64] + b"\n" for start in range(0, len(text), 64))
    return b"-----BEGIN %s-----\n%s-----END %s-----\n" % (LABEL, lines, LABEL)


def unarmoured(message: bytes) -> bytes:
    """The bytes of a message, which may be PEM."""
    if not message.lstrip().startswith(b"-----BEGIN"):
        return message
    found = re.search(rb"-----BEGIN (CMS|PKCS7)-----\r?\n(.*?)-----END \1-----", message, re.DOTALL)
    if found is None:
        raise Invalid("cannot read the message: it is PEM, but no CMS")
    try:
        return base64.b64decode(b"".join(found[2].split()), validate=True)
    except ValueError as error:
        raise Invalid(f"cannot read the message: {error}") from error


def issuer_and_serial(certificate: x509.Certificate) -> bytes:
    return der.sequence(certificate.issuer.public_bytes(), der.integer(certificate.serial_number))


def find_certificate(node: der.Node, certificates: Sequence[x509.Certificate]) -> x509.Certificate | None:
    """The certificate that a SignerIdentifier or RecipientIdentifier means."""
    for certificate in certificates:
        if node.tag == der.SEQUENCE:
            if node.raw == issuer_and_serial(certificate):
                return certificate
        elif node.tag == der.context(0, constructed=False):
            values = (extension.value for extension in certificate.extensions)
            if any(isinstance(value, x509.SubjectKeyIdentifier) and value.digest == node.content for value in values):
                return certificate
    return None


def _carried(node: der.Node | None) -> bytes | None:
    """The content that is in the message."""
    if node is None:
        return None
    found = node.part(0)
    if found.tag not in (der.OCTETS, der.OCTETS | der.CONSTRUCTED):
        raise Invalid("cannot read the message: its content is none")
    return found.octets


def _certificates(node: der.Node) -> list[x509.Certificate]:
    found = node.tagged(der.context(0))
    parts = found.parts if found is not None else ()
    if any(part.part(2, der.BIT_STRING).content[:1] != b"\0" for part in parts):  # the library does not look at it
        raise Invalid("cannot read the message: a certificate's signature is damaged")
    return [x509.load_der_x509_certificate(part.raw) for part in parts]


def _attribute(name: str, value: bytes) -> bytes:
    return der.sequence(der.identifier(name), der.write(der.SET, value))


def _hashed(algorithm: hashes.HashAlgorithm, data: bytes) -> bytes:
    digest = hashes.Hash(algorithm)
    digest.update(data)
    return digest.finalize()


def _time(node: der.Node | None) -> datetime.datetime | None:
    if node is None:
        return None
    form = "%y%m%d%H%M%SZ" if node.tag == 0x17 else "%Y%m%d%H%M%SZ"
    try:
        return datetime.datetime.strptime(node.content.decode("ascii"), form).replace(tzinfo=datetime.UTC)
    except ValueError as error:
        raise Invalid("cannot read the message: its time is none") from error
