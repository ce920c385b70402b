"""Private keys: make, keep and read them. PKCS#8 PEM, encrypted wherever a passphrase is given.

Three kinds: "ec" (ECDSA on P-256, the default), "rsa" (3072 bits, for old clients) and "ed25519" (signs, but cannot be
encrypted to). A key that is too weak to be used is refused when it is read, not only when it is made.
"""

import hmac

from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, padding, rsa

from boxship.errors import Denied, Invalid

KINDS = ("ec", "rsa", "ed25519")
RSA_BITS = 3072
LEAST_RSA_BITS = 2048

Key = ec.EllipticCurvePrivateKey | rsa.RSAPrivateKey | ed25519.Ed25519PrivateKey
PublicKey = ec.EllipticCurvePublicKey | rsa.RSAPublicKey | ed25519.Ed25519PublicKey


def new_key(kind: str = "ec") -> Key:
    """A new key. Raises Invalid for an unknown kind."""
    if kind == "ec":
        return ec.generate_private_key(ec.SECP256R1())
    if kind == "rsa":
        return rsa.generate_private_key(65537, RSA_BITS)
    if kind == "ed25519":
        return ed25519.Ed25519PrivateKey.generate()
    raise Invalid(f"cannot make a key of the kind {kind!r}: it is one of {', '.join(KINDS)}")


def kind_of(key: Key | PublicKey) -> str:
    if isinstance(key, (ec.EllipticCurvePrivateKey, ec.EllipticCurvePublicKey)):
        return "ec"
    return "rsa" if isinstance(key, (rsa.RSAPrivateKey, rsa.RSAPublicKey)) else "ed25519"


def dump_key(key: Key, passphrase: bytes | None) -> bytes:
    """PKCS#8 PEM; encrypted where a passphrase is given."""
    protection: serialization.KeySerializationEncryption = (
        serialization.BestAvailableEncryption(passphrase) if passphrase else serialization.NoEncryption()
    )
    return key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, protection)


def load_key(data: bytes, passphrase: bytes | None, name: str) -> Key:
    """The key in a PEM text. Raises Denied for a wrong or missing passphrase, Invalid for what is no such key."""
    encrypted = b"ENCRYPTED" in data
    try:
        key = serialization.load_pem_private_key(data, passphrase if encrypted else None)
    except TypeError as error:
        raise Denied(f"cannot open the key {name}: it is encrypted, and no passphrase was given") from error
    except (ValueError, UnsupportedAlgorithm) as error:
        if encrypted and passphrase is not None:
            raise Denied(f"cannot open the key {name}: wrong passphrase") from error
        raise Invalid(f"cannot read the key {name}: {error}") from error
    check_public(key.public_key(), name)
    assert isinstance(key, Key)
    return key


def load_public(data: bytes, name: str) -> PublicKey:
    """The public key in a PEM text. Raises Invalid."""
    try:
        key = serialization.load_pem_public_key(data)
    except (ValueError, UnsupportedAlgorithm) as error:
        raise Invalid(f"cannot read the public key {name}: {error}") from error
    return check_public(key, name)


def check_public(key: object, name: str) -> PublicKey:
    """The key itself. Raises Invalid for a kind or a size that is not used here."""
    if isinstance(key, ec.EllipticCurvePublicKey):
        if key.curve.name not in ("secp256r1", "secp384r1", "secp521r1"):
            raise Invalid(f"cannot use the key {name}: its curve {key.curve.name} is not P-256, P-384 or P-521")
        return key
    if isinstance(key, rsa.RSAPublicKey):
        if key.key_size < LEAST_RSA_BITS:
            raise Invalid(f"cannot use the key {name}: {key.key_size} bits of RSA, {LEAST_RSA_BITS} are needed")
        return key
    if isinstance(key, ed25519.Ed25519PublicKey):
        return key
    raise Invalid(f"cannot use the key {name}: neither an elliptic curve, RSA nor Ed25519 key")


def dump_public(key: PublicKey) -> bytes:
    return key.public_bytes(serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo)


def same_public(one: PublicKey, other: object) -> bool:
    """Whether two public keys are the same key."""
    form = (serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo)
    return isinstance(other, PublicKey) and hmac.compare_digest(one.public_bytes(*form), other.public_bytes(*form))


def signature_hash(key: Key | PublicKey) -> hashes.HashAlgorithm | None:
    """The hash that goes with a certificate signed by this key; Ed25519 has its own."""
    return None if kind_of(key) == "ed25519" else hashes.SHA256()


def sign(key: Key, data: bytes) -> bytes:
    """A signature over `data`: ECDSA (DER) or RSA (PKCS#1 v1.5) with SHA-256, or Ed25519."""
    if isinstance(key, ec.EllipticCurvePrivateKey):
        return key.sign(data, ec.ECDSA(hashes.SHA256()))
    if isinstance(key, rsa.RSAPrivateKey):
        return key.sign(data, padding.PKCS1v15(), hashes.SHA256())
    return key.sign(data)


def is_signed(key: PublicKey, signature: bytes, data: bytes, algorithm: hashes.HashAlgorithm | None = None) -> bool:
    """Whether `signature` is one of `key` over `data`; `algorithm` is SHA-256 where none is given."""
    digest = algorithm or hashes.SHA256()
    try:
        if isinstance(key, ec.EllipticCurvePublicKey):
            key.verify(signature, data, ec.ECDSA(digest))
        elif isinstance(key, rsa.RSAPublicKey):
            key.verify(signature, data, padding.PKCS1v15(), digest)
        else:
            key.verify(signature, data)
    except InvalidSignature:
        return False
    return True
