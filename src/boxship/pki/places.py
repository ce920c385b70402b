"""Where the parts of an authority lie, and how they are read. Nothing is written here, and no key is opened.

    DIR/ca.pem                  the root's certificate: what everybody trusts
    DIR/root-key.pem            the root's key, encrypted; only needed to make or renew the intermediate
    DIR/intermediate.pem        signs servers, clients and signers of messages
    DIR/intermediate-key.pem    its key, encrypted
    DIR/crl.pem                 what was revoked, signed by the intermediate
    DIR/passphrase              opens both keys (mode 0600), unless the user keeps the passphrase elsewhere
    DIR/certificates/SERIAL.pem every certificate that was ever issued; written before it can be used
    DIR/issued/NAME/            ca.pem, cert.pem (with the intermediate), key.pem: the names that DOCKER_CERT_PATH wants

Authorities made before 0.3 have neither `crl.pem` nor `certificates`: they get them with their next change.
"""

import datetime
from pathlib import Path

import msgspec
from cryptography import x509
from cryptography.hazmat.primitives import hashes

from boxship.errors import NotFound
from boxship.pki.certificates import common_name, kind_of_certificate, load_certificates
from boxship.pki.files import read_file
from boxship.pki.keys import check_public, kind_of
from boxship.pki.revocation import Revocations, load

ROOT, ROOT_KEY = "ca.pem", "root-key.pem"
INTERMEDIATE, INTERMEDIATE_KEY = "intermediate.pem", "intermediate-key.pem"
PASSPHRASE, ISSUED, RECORD, REVOKED = "passphrase", "issued", "certificates", "crl.pem"
LEAF_AUTHORITY, LEAF, LEAF_KEY = "ca.pem", "cert.pem", "key.pem"
NEXT = ".next"
NONE = Revocations()


class Summary(msgspec.Struct, frozen=True):
    """A certificate in words. `kind` is "root", "intermediate", "server", "client" or "signer"; times are UTC."""

    name: str
    kind: str
    serial: str  # hexadecimal
    fingerprint: str  # SHA-256, hexadecimal
    begins: datetime.datetime
    ends: datetime.datetime
    places: tuple[str, ...] = ()
    path: str = ""
    key: str = ""  # "ec", "rsa" or "ed25519"
    revoked: str = ""  # the reason


def one_certificate(path: Path, absent: str = "") -> x509.Certificate:
    """The first certificate of a file. Raises NotFound (with the text `absent`), Invalid."""
    if absent and not path.exists():
        raise NotFound(absent)
    return load_certificates(read_file(path), str(path))[0]


def root_of(folder: Path) -> x509.Certificate:
    """Raises NotFound where there is no authority."""
    return one_certificate(folder / ROOT, f"cannot open the authority in {folder}: there is none (boxship pki init)")


def revocations(folder: Path, intermediate: x509.Certificate) -> Revocations:
    """What was revoked; nothing where there is no list yet. Raises Invalid for one that is not the authority's."""
    path = folder / REVOKED
    return load(read_file(path), intermediate, str(path)) if path.exists() else Revocations()


def issued_folders(folder: Path) -> list[Path]:
    """The folders of what was issued, by name."""
    place = folder / ISSUED
    found = sorted(place.iterdir()) if place.is_dir() else []
    return [child for child in found if not child.name.startswith(".") and child.is_dir()]


def every_certificate(folder: Path) -> list[x509.Certificate]:
    """All leaves that were ever issued, also those that a renewal replaced."""
    paths = [child / LEAF for child in issued_folders(folder) if (child / LEAF).exists()]
    if (folder / RECORD).is_dir():
        paths += sorted(path for path in (folder / RECORD).iterdir() if path.suffix == ".pem")
    found = {certificate.serial_number: certificate for certificate in map(one_certificate, paths)}
    return list(found.values())


def find_certificates(folder: Path, word: str) -> list[x509.Certificate]:
    """All certificates of a name, or the one whose serial number the hexadecimal `word` is. Raises NotFound."""
    known = every_certificate(folder)
    found = [entry for entry in known if common_name(entry) == word]
    if not found:
        digits = word.lower().replace(":", "").removeprefix("0x").lstrip("0")
        found = [entry for entry in known if f"{entry.serial_number:x}" == digits]
    if not found:
        raise NotFound(f"cannot find {word}: no certificate of that name or serial number was issued here")
    return found


def summaries(folder: Path) -> tuple[Summary, ...]:
    """The authority's certificates and what it issued, by name. Needs no passphrase. Raises NotFound."""
    root = root_of(folder)
    intermediate = one_certificate(folder / INTERMEDIATE)
    known = revocations(folder, intermediate)
    found = [summarise(root, "root", folder / ROOT)]
    found.append(summarise(intermediate, "intermediate", folder / INTERMEDIATE))
    for child in issued_folders(folder):
        if (child / LEAF).exists():
            found.append(summarise(one_certificate(child / LEAF), "", child / LEAF, known))
    return tuple(found)


def summarise(certificate: x509.Certificate, kind: str, path: Path, known: Revocations = NONE) -> Summary:
    """What a certificate says, in words; an empty `kind` is read from the certificate's usage."""
    places: list[str] = []
    for extension in certificate.extensions:
        value = extension.value
        if isinstance(value, x509.SubjectAlternativeName):
            places += value.get_values_for_type(x509.DNSName)
            places += [str(address) for address in value.get_values_for_type(x509.IPAddress)]
    revoked = known.entries.get(certificate.serial_number)
    return Summary(
        name=common_name(certificate),
        kind=kind or kind_of_certificate(certificate),
        serial=f"{certificate.serial_number:x}",
        fingerprint=certificate.fingerprint(hashes.SHA256()).hex(),
        begins=certificate.not_valid_before_utc,
        ends=certificate.not_valid_after_utc,
        places=tuple(places),
        path=str(path),
        key=kind_of(check_public(certificate.public_key(), str(path))),
        revoked=revoked.reason if revoked else "",
    )
