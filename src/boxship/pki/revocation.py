"""The list of revoked certificates (CRL), as a value: read, extend, write anew. Pure.

The list itself, signed by the intermediate, is the only record of what was revoked: there is nothing that could differ
from it. It holds until the intermediate ends, because a list that runs out would turn every client away.
"""

import datetime
from collections.abc import Mapping, Sequence

import msgspec
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization

from boxship.errors import Conflict, Invalid
from boxship.pki.certificates import Issuer, signed_by
from boxship.pki.keys import signature_hash

REASONS = {
    "unspecified": x509.ReasonFlags.unspecified,
    "key-compromise": x509.ReasonFlags.key_compromise,
    "affiliation-changed": x509.ReasonFlags.affiliation_changed,
    "superseded": x509.ReasonFlags.superseded,
    "cessation": x509.ReasonFlags.cessation_of_operation,
    "hold": x509.ReasonFlags.certificate_hold,
    "privilege-withdrawn": x509.ReasonFlags.privilege_withdrawn,
}
HOLD = "hold"  # the one reason that can be taken back


class Revoked(msgspec.Struct, frozen=True):
    """One revoked certificate."""

    serial: int
    date: datetime.datetime
    reason: str


class Revocations(msgspec.Struct, frozen=True):
    """All of them, by serial number; `number` counts the lists that were written."""

    entries: Mapping[int, Revoked] = {}
    number: int = 0

    @property
    def serials(self) -> frozenset[int]:
        return frozenset(self.entries)


def extend(known: Revocations, serials: Sequence[int], reason: str, now: datetime.datetime) -> Revocations:
    """With more on it; what was revoked before stays as it is, but a hold may become final. Raises Invalid."""
    if reason not in REASONS:
        raise Invalid(f"cannot revoke for the reason {reason!r}: it is one of {', '.join(REASONS)}")
    entries = dict(known.entries)
    for serial in serials:
        before = entries.get(serial)
        if before is None or (before.reason == HOLD and reason != HOLD):
            entries[serial] = Revoked(serial, now, reason)
    return Revocations(entries, known.number)


def lift(known: Revocations, serials: Sequence[int]) -> Revocations:
    """Without those that were on hold. Raises Conflict for one that was revoked for good."""
    entries = dict(known.entries)
    for serial in serials:
        before = entries.get(serial)
        if before is not None and before.reason != HOLD:
            raise Conflict(f"cannot take back the revocation of {serial:x}: its reason is {before.reason}, not {HOLD}")
        entries.pop(serial, None)
    return Revocations(entries, known.number)


def dump(known: Revocations, issuer: Issuer, now: datetime.datetime) -> bytes:
    """The next list as PEM, signed."""
    builder = (
        x509.CertificateRevocationListBuilder()
        .issuer_name(issuer.certificate.subject)
        .last_update(now.replace(microsecond=0))
        .next_update(issuer.certificate.not_valid_after_utc)
        .add_extension(x509.CRLNumber(known.number + 1), critical=False)
        .add_extension(signed_by(issuer), critical=False)
    )
    for entry in known.entries.values():
        one = x509.RevokedCertificateBuilder().serial_number(entry.serial).revocation_date(entry.date)
        if entry.reason != "unspecified":
            one = one.add_extension(x509.CRLReason(REASONS[entry.reason]), critical=False)
        builder = builder.add_revoked_certificate(one.build())
    algorithm = signature_hash(issuer.key)
    assert algorithm is None or isinstance(algorithm, hashes.SHA256)
    return builder.sign(issuer.key, algorithm).public_bytes(serialization.Encoding.PEM)


def load(data: bytes, issuer: x509.Certificate, name: str) -> Revocations:
    """The list of a PEM text. Raises Invalid for one that is damaged or that the issuer has not signed."""
    try:
        found = x509.load_pem_x509_crl(data)
        public = issuer.public_key()
        if found.issuer != issuer.subject or not found.is_signature_valid(public):  # type: ignore[arg-type]
            raise Invalid(f"cannot use the revocation list {name}: this authority has not signed it")
        number = found.extensions.get_extension_for_class(x509.CRLNumber).value.crl_number
        entries = {}
        for entry in found:
            entries[entry.serial_number] = Revoked(entry.serial_number, entry.revocation_date_utc, _reason(entry))
    except (ValueError, TypeError, x509.ExtensionNotFound) as error:
        raise Invalid(f"cannot read the revocation list {name}: {error}") from error
    return Revocations(entries, number)


def _reason(entry: x509.RevokedCertificate) -> str:
    for extension in entry.extensions:
        if isinstance(extension.value, x509.CRLReason):
            flag = extension.value.reason
            return next((name for name, known in REASONS.items() if known is flag), flag.value)
    return "unspecified"
