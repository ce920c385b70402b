"""The authority on disk.

    DIR/ca.pem                  the root's certificate: what everybody trusts
    DIR/root-key.pem            the root's key, encrypted; only needed to make a new intermediate
    DIR/intermediate.pem        signs servers and clients
    DIR/intermediate-key.pem    its key, encrypted
    DIR/passphrase              opens both keys (mode 0600), unless the user keeps the passphrase elsewhere
    DIR/issued/NAME/            ca.pem, cert.pem (with the intermediate), key.pem: the names that DOCKER_CERT_PATH wants

What is issued is the record of what was issued: there is no list beside the folders. Keys of servers and clients are
not encrypted, because the stock clients cannot open encrypted ones; mode 0600 guards them.
"""

import datetime
import secrets
from pathlib import Path

import msgspec
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from boxship.errors import Exists, NotFound
from boxship.pki.certificates import (
    LEAF_DAYS,
    Issuer,
    dump_certificates,
    dump_key,
    load_certificates,
    load_key,
    make_client,
    make_intermediate,
    make_root,
    make_server,
    new_key,
)
from boxship.pki.files import PRIVATE, PUBLIC, read_file, read_passphrase, write_file, write_folder
from boxship.pki.names import Subject, check_name

ROOT, ROOT_KEY = "ca.pem", "root-key.pem"
INTERMEDIATE, INTERMEDIATE_KEY = "intermediate.pem", "intermediate-key.pem"
PASSPHRASE, ISSUED = "passphrase", "issued"
LEAF_AUTHORITY, LEAF, LEAF_KEY = "ca.pem", "cert.pem", "key.pem"


class Summary(msgspec.Struct, frozen=True):
    """A certificate in words. `kind` is "root", "intermediate", "server" or "client"; times are UTC."""

    name: str
    kind: str
    serial: str  # hexadecimal
    fingerprint: str  # SHA-256, hexadecimal
    begins: datetime.datetime
    ends: datetime.datetime
    places: tuple[str, ...] = ()
    path: str = ""


class Authority(msgspec.Struct, frozen=True):
    """An opened authority: it can issue."""

    folder: Path
    root: x509.Certificate
    intermediate: Issuer

    def issue_server(self, subject: Subject, now: datetime.datetime, days: int = LEAF_DAYS) -> Path:
        """The folder with a new server certificate and key. Raises Exists, Invalid."""
        key = new_key()
        return self._keep(subject.name, make_server(subject, key, self.intermediate, now, days), dump_key(key, None))

    def issue_client(self, subject: Subject, now: datetime.datetime, days: int = LEAF_DAYS) -> Path:
        """The folder with a new client certificate and key. Raises Exists, Invalid."""
        key = new_key()
        return self._keep(subject.name, make_client(subject, key, self.intermediate, now, days), dump_key(key, None))

    def _keep(self, name: str, certificate: x509.Certificate, key: bytes) -> Path:
        target = self.folder / ISSUED / check_name(name)
        if target.exists():
            raise Exists(f"cannot issue {name}: {target} exists; move it away to issue a new one")
        chain = dump_certificates(certificate, self.intermediate.certificate)
        files = {
            LEAF_AUTHORITY: (dump_certificates(self.root), PUBLIC),
            LEAF: (chain, PUBLIC),
            LEAF_KEY: (key, PRIVATE),
        }
        write_folder(target, files)
        return target


def create(folder: Path, name: str, now: datetime.datetime, passphrase: bytes | None = None) -> None:
    """Make a new authority. Without a passphrase one is made and kept in DIR/passphrase. Raises Exists."""
    if (folder / ROOT).exists():
        raise Exists(f"cannot make an authority in {folder}: there is one")
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    (folder / ISSUED).mkdir(mode=0o700, exist_ok=True)
    if passphrase is None:
        passphrase = secrets.token_urlsafe(32).encode()
        write_file(folder / PASSPHRASE, passphrase + b"\n")
    root_key, intermediate_key = new_key(), new_key()
    root = make_root(name, root_key, now)
    intermediate = make_intermediate(name, intermediate_key, Issuer(root, root_key), now)
    write_file(folder / ROOT_KEY, dump_key(root_key, passphrase))
    write_file(folder / INTERMEDIATE_KEY, dump_key(intermediate_key, passphrase))
    write_file(folder / INTERMEDIATE, dump_certificates(intermediate), PUBLIC)
    write_file(folder / ROOT, dump_certificates(root), PUBLIC)  # last: its presence says that the authority is whole


def open_authority(folder: Path, passphrase: bytes | None = None) -> Authority:
    """The authority in `folder`; the passphrase comes from DIR/passphrase where none is given."""
    root = one_certificate(folder / ROOT, f"cannot open the authority in {folder}: there is none (boxship pki init)")
    if passphrase is None:
        passphrase = read_passphrase(folder / PASSPHRASE)
    key_path = folder / INTERMEDIATE_KEY
    key = load_key(read_file(key_path), passphrase, str(key_path))
    return Authority(folder, root, Issuer(one_certificate(folder / INTERMEDIATE), key))


def one_certificate(path: Path, absent: str = "") -> x509.Certificate:
    """The first certificate of a file. Raises NotFound (with the text `absent`), Invalid."""
    if absent and not path.exists():
        raise NotFound(absent)
    return load_certificates(read_file(path), str(path))[0]


def summaries(folder: Path) -> tuple[Summary, ...]:
    """The authority's certificates and everything it issued, by name. Needs no passphrase. Raises NotFound."""
    root = one_certificate(folder / ROOT, f"cannot open the authority in {folder}: there is none (boxship pki init)")
    found = [summarise(root, "root", folder / ROOT)]
    found.append(summarise(one_certificate(folder / INTERMEDIATE), "intermediate", folder / INTERMEDIATE))
    for child in sorted((folder / ISSUED).iterdir()):
        if (child / LEAF).exists():
            found.append(summarise(one_certificate(child / LEAF), "", child / LEAF))
    return tuple(found)


def summarise(certificate: x509.Certificate, kind: str, path: Path) -> Summary:
    """What a certificate says, in words; an empty `kind` is read from the certificate's usage."""
    names = certificate.subject.get_attributes_for_oid(NameOID.COMMON_NAME)
    places: list[str] = []
    for extension in certificate.extensions:
        value = extension.value
        if isinstance(value, x509.SubjectAlternativeName):
            places += value.get_values_for_type(x509.DNSName)
            places += [str(address) for address in value.get_values_for_type(x509.IPAddress)]
        elif isinstance(value, x509.ExtendedKeyUsage) and not kind:
            kind = "server" if ExtendedKeyUsageOID.SERVER_AUTH in value else "client"
    return Summary(
        name=str(names[0].value) if names else certificate.subject.rfc4514_string(),
        kind=kind,
        serial=f"{certificate.serial_number:x}",
        fingerprint=certificate.fingerprint(hashes.SHA256()).hex(),
        begins=certificate.not_valid_before_utc,
        ends=certificate.not_valid_after_utc,
        places=tuple(places),
        path=str(path),
    )
