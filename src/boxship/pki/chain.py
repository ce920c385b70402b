"""Whom to trust: is there a chain of certificates in force from the signer of a message to a root? Pure."""

import datetime
from collections.abc import Collection, Sequence

import msgspec
from cryptography import x509
from cryptography.exceptions import InvalidSignature

from boxship.errors import Denied
from boxship.pki.certificates import common_name

CHAIN_LENGTH = 8


class Trusted(msgspec.Struct, frozen=True):
    """What the one who checks knows: the roots, the time, and the serial numbers that hold no longer."""

    roots: tuple[x509.Certificate, ...]
    now: datetime.datetime
    revoked: Collection[int] = ()


def check_chain(
    leaf: x509.Certificate,
    others: Sequence[x509.Certificate],
    trusted: Trusted,
) -> None:
    """Raises Denied where no chain of certificates in force leads from the leaf to one of the roots."""
    name = common_name(leaf)
    if leaf.serial_number in trusted.revoked:
        raise Denied(f"cannot trust the message: the certificate of {name} was revoked")
    if not _may_sign(leaf):
        raise Denied(f"cannot trust the message: {name} may not sign messages")
    current = leaf
    for depth in range(CHAIN_LENGTH):
        if not current.not_valid_before_utc <= trusted.now <= current.not_valid_after_utc:
            raise Denied(f"cannot trust the message: the certificate of {common_name(current)} is not in force")
        if any(ext.critical and isinstance(ext.value, x509.UnrecognizedExtension) for ext in current.extensions):
            raise Denied(f"cannot trust the message: the certificate of {common_name(current)} has unknown conditions")
        for issuer in (*trusted.roots, *others):
            if issuer.subject == current.issuer and _is_issued_by(current, issuer, depth):
                break
        else:
            raise Denied(f"cannot trust the message: no trusted authority vouches for {common_name(current)}")
        if issuer in trusted.roots:
            if not issuer.not_valid_before_utc <= trusted.now <= issuer.not_valid_after_utc:
                raise Denied(f"cannot trust the message: the root {common_name(issuer)} is not in force")
            return
        current = issuer
    raise Denied(f"cannot trust the message: the chain of certificates of {name} is too long")


def _is_issued_by(certificate: x509.Certificate, issuer: x509.Certificate, depth: int) -> bool:
    """Whether a certificate of an authority signed it, with at most `depth` authorities between it and the leaf."""
    try:
        constraints = issuer.extensions.get_extension_for_class(x509.BasicConstraints).value
        usage = issuer.extensions.get_extension_for_class(x509.KeyUsage).value
        if not constraints.ca or not usage.key_cert_sign:
            return False
        if constraints.path_length is not None and constraints.path_length < depth:
            return False
        certificate.verify_directly_issued_by(issuer)
    except (x509.ExtensionNotFound, InvalidSignature, ValueError, TypeError):
        return False
    return True


def _may_sign(certificate: x509.Certificate) -> bool:
    try:
        return certificate.extensions.get_extension_for_class(x509.KeyUsage).value.digital_signature
    except x509.ExtensionNotFound:
        return True  # what says nothing restricts nothing
