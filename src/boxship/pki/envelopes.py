"""Encrypted messages: CMS for holders of certificates (RFC 5652, 5083, 5753). What `openssl cms` reads and writes.

What is written here is AuthEnvelopedData with AES-256-GCM: a changed message does not open. The older EnvelopedData of
other programs, with AES in CBC mode, is read too, but nothing vouches for its content: sign it as well.
"""

import datetime
import secrets
from collections.abc import Sequence

from cryptography import x509
from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives import hashes, keywrap
from cryptography.hazmat.primitives import padding as blocks
from cryptography.hazmat.primitives.asymmetric import ec, padding, rsa
from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.kdf.x963kdf import X963KDF
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from boxship.errors import Denied, Invalid, Unsupported
from boxship.pki import der, keys
from boxship.pki.certificates import common_name
from boxship.pki.messages import DATA, SHA256, find_certificate, issuer_and_serial, unarmoured

ENVELOPED = "1.2.840.113549.1.7.3"
AUTHENTICATED = "1.2.840.113549.1.9.16.1.23"
AES_GCM = {"2.16.840.1.101.3.4.1.6": 16, "2.16.840.1.101.3.4.1.26": 24, "2.16.840.1.101.3.4.1.46": 32}
AES_CBC = {"2.16.840.1.101.3.4.1.2": 16, "2.16.840.1.101.3.4.1.22": 24, "2.16.840.1.101.3.4.1.42": 32}
AES_WRAP = {"2.16.840.1.101.3.4.1.5": 16, "2.16.840.1.101.3.4.1.25": 24, "2.16.840.1.101.3.4.1.45": 32}
AES256_GCM, AES256_WRAP = "2.16.840.1.101.3.4.1.46", "2.16.840.1.101.3.4.1.45"
AGREEMENTS: dict[str, hashes.HashAlgorithm] = {  # ECDH, by the hash of its key derivation
    "1.3.133.16.840.63.0.2": hashes.SHA1(),  # what older openssl writes
    "1.3.132.1.11.1": hashes.SHA256(),
    "1.3.132.1.11.2": hashes.SHA384(),
    "1.3.132.1.11.3": hashes.SHA512(),
}
AGREE_SHA256 = "1.3.132.1.11.1"
RSA, RSA_OAEP, MGF1 = "1.2.840.113549.1.1.1", "1.2.840.113549.1.1.7", "1.2.840.113549.1.1.8"
EC_KEY = "1.2.840.10045.2.1"
HASH_NAMES: dict[str, hashes.HashAlgorithm] = {
    "1.3.14.3.2.26": hashes.SHA1(),
    SHA256: hashes.SHA256(),
    "2.16.840.1.101.3.4.2.2": hashes.SHA384(),
    "2.16.840.1.101.3.4.2.3": hashes.SHA512(),
}
TAG_BYTES = 16


def encrypt(content: bytes, recipients: Sequence[x509.Certificate], now: datetime.datetime) -> bytes:
    """A message (DER) that each of the recipients can open. Raises Invalid for a certificate that is not in force,
    Unsupported for a key that cannot be encrypted to."""
    if not recipients:
        raise Invalid("cannot encrypt: there is no recipient")
    key, nonce = secrets.token_bytes(32), secrets.token_bytes(12)
    sealed = AESGCM(key).encrypt(nonce, content, None)
    infos = [_recipient(certificate, key, now) for certificate in recipients]
    parameters = der.sequence(der.octets(nonce), der.integer(TAG_BYTES))
    inner = der.sequence(
        der.identifier(DATA),
        der.algorithm(AES256_GCM, parameters),
        der.write(der.context(0, constructed=False), sealed[:-TAG_BYTES]),
    )
    body = der.sequence(der.integer(0), der.sorted_set(infos), inner, der.octets(sealed[-TAG_BYTES:]))
    return der.sequence(der.identifier(AUTHENTICATED), der.write(der.context(0), body))


def decrypt(message: bytes, key: keys.Key, certificate: x509.Certificate) -> bytes:
    """The content of a message for the holder of a certificate. Raises Denied where it is for others or was changed,
    Invalid for what is no such message."""
    outer = der.read(unarmoured(message)).expect(der.SEQUENCE)
    kind = outer.part(0).name
    if kind not in (ENVELOPED, AUTHENTICATED):
        raise Invalid("cannot decrypt the message: it is not encrypted")
    body = outer.part(1, der.context(0)).part(0, der.SEQUENCE)
    place = 2 if body.part(1).tag == der.context(0) else 1  # what the originator tells of itself is skipped
    opened = _open_key(body.part(place, der.SET), key, certificate)
    inner = body.part(place + 1, der.SEQUENCE)
    algorithm, sealed = inner.part(1, der.SEQUENCE), inner.part(2)
    if sealed.tag not in (der.context(0), der.context(0, constructed=False)):
        raise Invalid("cannot decrypt the message: it has no content")
    if kind == ENVELOPED:
        return _open_cbc(algorithm, opened, sealed.octets)
    attributes = body.tagged(der.context(1))
    extra = der.write(der.SET, *(part.raw for part in attributes.parts)) if attributes is not None else None
    place += 3 if attributes is not None else 2
    return _open_gcm(algorithm, opened, sealed.octets + body.part(place, der.OCTETS).content, extra)


def _recipient(certificate: x509.Certificate, key: bytes, now: datetime.datetime) -> bytes:
    """The message's key, encrypted to one recipient."""
    name = common_name(certificate)
    if not certificate.not_valid_before_utc <= now <= certificate.not_valid_after_utc:
        raise Invalid(f"cannot encrypt to {name}: its certificate is not in force")
    public = keys.check_public(certificate.public_key(), name)
    if isinstance(public, rsa.RSAPublicKey):
        sha = hashes.SHA256()
        wrapped = public.encrypt(key, padding.OAEP(padding.MGF1(sha), sha, None))
        sha_name = der.algorithm(SHA256)
        parameters = der.sequence(
            der.write(der.context(0), sha_name), der.write(der.context(1), der.algorithm(MGF1, sha_name))
        )
        parts = (der.integer(0), issuer_and_serial(certificate), der.algorithm(RSA_OAEP, parameters))
        return der.sequence(*parts, der.octets(wrapped))
    if not isinstance(public, ec.EllipticCurvePublicKey):
        raise Unsupported(f"unsupported: encryption to {name}: an Ed25519 key can only sign")
    own = ec.generate_private_key(public.curve)
    wrap = der.algorithm(AES256_WRAP)
    agreed = _agreed(own, public, hashes.SHA256(), wrap, 32, b"")
    point = own.public_key().public_bytes(Encoding.X962, PublicFormat.UncompressedPoint)
    originator = der.write(der.context(1), der.algorithm(EC_KEY), der.write(der.BIT_STRING, b"\0", point))
    return der.write(
        der.context(1),
        der.integer(3),
        der.write(der.context(0), originator),
        der.algorithm(AGREE_SHA256, wrap),
        der.sequence(der.sequence(issuer_and_serial(certificate), der.octets(keywrap.aes_key_wrap(agreed, key)))),
    )


def _agreed(
    own: ec.EllipticCurvePrivateKey,
    other: ec.EllipticCurvePublicKey,
    algorithm: hashes.HashAlgorithm,
    wrap: bytes,
    size: int,
    extra: bytes,
) -> bytes:
    """The key that both sides derive (RFC 5753, ECC-CMS-SharedInfo)."""
    known = [der.write(der.context(0), der.octets(extra))] if extra else []
    bits = der.write(der.context(2), der.octets((size * 8).to_bytes(4)))
    shared = der.sequence(wrap, *known, bits)
    return X963KDF(algorithm, size, shared).derive(own.exchange(ec.ECDH(), other))


def _open_key(recipients: der.Node, key: keys.Key, certificate: x509.Certificate) -> bytes:
    """The message's key, from what is for this certificate."""
    for entry in recipients.parts:
        try:
            if entry.tag == der.SEQUENCE and isinstance(key, rsa.RSAPrivateKey):
                if find_certificate(entry.part(1), (certificate,)) is not None:
                    return key.decrypt(entry.part(3, der.OCTETS).content, _rsa_padding(entry.part(2)))
            elif entry.tag == der.context(1) and isinstance(key, ec.EllipticCurvePrivateKey):
                found = _open_agreed(entry, key, certificate)
                if found is not None:
                    return found
        except (ValueError, keywrap.InvalidUnwrap) as error:
            raise Denied("cannot decrypt the message: its key was changed, or is for another key") from error
    raise Denied(f"cannot decrypt the message: it is not for {common_name(certificate)}")


def _open_agreed(entry: der.Node, key: ec.EllipticCurvePrivateKey, certificate: x509.Certificate) -> bytes | None:
    for recipient in entry.part(len(entry.parts) - 1, der.SEQUENCE).parts:
        identifier = recipient.part(0)
        if identifier.tag == der.context(0):  # RecipientKeyIdentifier: its first part is what it is found by
            first = identifier.part(0, der.OCTETS)
            identifier = der.Node(der.context(0, constructed=False), first.content, (), first.raw)
        if find_certificate(identifier, (certificate,)) is None:
            continue
        public = entry.part(1, der.context(0)).part(0, der.context(1)).part(1, der.BIT_STRING).content
        other = ec.EllipticCurvePublicKey.from_encoded_point(key.curve, public[1:])
        material = entry.tagged(der.context(1))
        extra = material.part(0).octets if material is not None else b""
        algorithm = entry.part(len(entry.parts) - 2, der.SEQUENCE)
        derivation = AGREEMENTS.get(algorithm.part(0).name)
        wrap = algorithm.part(1, der.SEQUENCE)
        size = AES_WRAP.get(wrap.part(0).name)
        if derivation is None or size is None:
            raise Unsupported(f"unsupported: the key agreement {algorithm.part(0).name} of a message")
        agreed = _agreed(key, other, derivation, wrap.raw, size, extra)
        return keywrap.aes_key_unwrap(agreed, recipient.part(1, der.OCTETS).content)
    return None


def _rsa_padding(algorithm: der.Node) -> padding.AsymmetricPadding:
    name = algorithm.part(0).name
    if name == RSA:
        return padding.PKCS1v15()
    if name != RSA_OAEP:
        raise Unsupported(f"unsupported: the encryption algorithm {name} of a message's key")
    outer = inner = "1.3.14.3.2.26"
    if len(algorithm.parts) > 1:
        said, mask = algorithm.part(1).tagged(der.context(0)), algorithm.part(1).tagged(der.context(1))
        outer = said.part(0).part(0).name if said is not None else outer
        inner = mask.part(0).part(1).part(0).name if mask is not None else inner
    if outer not in HASH_NAMES or inner not in HASH_NAMES:
        raise Unsupported("unsupported: the hash of a message's key encryption")
    return padding.OAEP(padding.MGF1(HASH_NAMES[inner]), HASH_NAMES[outer], None)


def _open_gcm(algorithm: der.Node, key: bytes, sealed: bytes, extra: bytes | None) -> bytes:
    name, parameters = algorithm.part(0).name, algorithm.part(1, der.SEQUENCE)
    size = parameters.part(1).number if len(parameters.parts) > 1 else 12
    if name not in AES_GCM or size != TAG_BYTES:
        raise Unsupported(f"unsupported: the cipher {name} of a message, with a tag of {size} bytes")
    if len(key) != AES_GCM[name]:
        raise Denied("cannot decrypt the message: its key has the wrong length")
    try:
        return AESGCM(key).decrypt(parameters.part(0, der.OCTETS).content, sealed, extra)
    except (InvalidTag, ValueError) as error:
        raise Denied("cannot decrypt the message: it was changed") from error


def _open_cbc(algorithm: der.Node, key: bytes, sealed: bytes) -> bytes:
    name = algorithm.part(0).name
    if name not in AES_CBC:
        raise Unsupported(f"unsupported: the cipher {name} of a message")
    try:
        if len(key) != AES_CBC[name]:
            raise ValueError("its key has the wrong length")
        opening = Cipher(algorithms.AES(key), modes.CBC(algorithm.part(1, der.OCTETS).content)).decryptor()
        padded = opening.update(sealed) + opening.finalize()
        unpadding = blocks.PKCS7(128).unpadder()
        return unpadding.update(padded) + unpadding.finalize()
    except ValueError as error:
        raise Denied("cannot decrypt the message: it was changed") from error
