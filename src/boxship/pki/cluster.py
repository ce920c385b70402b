"""The authority of one cluster on disk: made whole or not at all, completed and renewed at each start.

The files lie as kubeadm lays them out (`ca.crt`, `ca.key`, `apiserver.crt`, `front-proxy-ca.crt`, `sa.key` …),
so that people and tools find them, and may bring their own. A renewal keeps the key and replaces the certificate in one
step, so no crash leaves a pair that does not match. A key's file is never readable by others.
"""

import datetime
import ssl
from collections.abc import Sequence
from pathlib import Path

import msgspec

from boxship.errors import Invalid, NotFound
from boxship.pki.certificates import Issuer, dump_certificates, load_certificates
from boxship.pki.cluster_certificates import (
    CLIENTS,
    Wanted,
    holds,
    is_ending,
    make_authority,
    make_certificate,
    serving_places,
)
from boxship.pki.cluster_clients import ClientCertificates
from boxship.pki.cluster_kubeconfig import kubeconfig_of
from boxship.pki.cluster_tokens import TokenKeys, key_name
from boxship.pki.files import PRIVATE, PUBLIC, locked, read_file, sweep, write_file, write_folder
from boxship.pki.keys import Key, dump_key, dump_public, load_key, load_public, new_key, same_public

AUTHORITIES = {"ca": "kubernetes", "front-proxy-ca": "front-proxy-ca"}  # file → common name
SERVER = "apiserver"
SERVICE_CIDR = "10.96.0.0/12"
DOMAIN = "cluster.local"


class ClusterAuthority(msgspec.Struct, frozen=True):
    """The opened authority. `clients` says whose a client's certificate is, `tokens` signs and checks the tokens of
    service accounts, `signer` signs what certificate signing requests ask for."""

    folder: Path
    signer: Issuer
    front_proxy: Issuer
    tokens: TokenKeys
    clients: ClientCertificates

    @property
    def certificate(self) -> Path:
        """What the API server shows; `key` is its key."""
        return self.folder / f"{SERVER}.crt"

    @property
    def key(self) -> Path:
        return self.folder / f"{SERVER}.key"

    @property
    def client_ca(self) -> Path:
        return self.folder / "ca.crt"

    @property
    def front_proxy_ca(self) -> Path:
        return self.folder / "front-proxy-ca.crt"

    @property
    def ca_pem(self) -> bytes:
        return dump_certificates(self.signer.certificate)

    @property
    def front_proxy_ca_pem(self) -> bytes:
        return dump_certificates(self.front_proxy.certificate)

    def server_context(self) -> ssl.SSLContext:
        """For the API's listener: asks clients for a certificate, and lets those in that have none."""
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.minimum_version = ssl.TLSVersion.TLSv1_2
        context.set_alpn_protocols(["http/1.1"])
        context.load_cert_chain(self.certificate, self.key)
        context.load_verify_locations(cafile=self.client_ca)
        context.load_verify_locations(cafile=self.front_proxy_ca)
        context.verify_mode = ssl.CERT_OPTIONAL
        return context

    def client(self, name: str) -> tuple[Path, Path]:
        """Certificate and key of one of CLIENTS."""
        if name not in CLIENTS:
            raise NotFound(f"cannot find the client {name}: it is one of {', '.join(CLIENTS)}")
        return self.folder / f"{name}.crt", self.folder / f"{name}.key"

    def kubeconfig(self, name: str, server: str, cluster: str = "boxship") -> bytes:
        """A kubeconfig (YAML) with which the client `name` reaches the API at the URL `server`."""
        certificate, key = self.client(name)
        return kubeconfig_of(name, server, cluster, self.ca_pem, read_file(certificate), read_file(key))


def open_authority(
    folder: Path,
    hosts: Sequence[str],
    now: datetime.datetime,
    *,
    service_cidr: str = SERVICE_CIDR,
    domain: str = DOMAIN,
) -> ClusterAuthority:
    """The authority in `folder`: what is missing is made, what ends soon is renewed. `hosts` are further names and
    addresses under which the API is reached. Raises Invalid for files that are not what they should be."""
    places = serving_places(hosts, service_cidr, domain)
    folder.parent.mkdir(parents=True, exist_ok=True)
    with locked(folder.parent):
        sweep(folder.parent)
        if not folder.is_dir() or not any(folder.iterdir()):
            if folder.is_dir():
                folder.rmdir()
            write_folder(folder, _everything(places, now))
        sweep(folder)
        return _opened(folder, places, now)


def _everything(places: Sequence[str], now: datetime.datetime) -> dict[str, tuple[bytes, int]]:
    """The files of a new authority: name → content and mode."""
    files: dict[str, tuple[bytes, int]] = {}
    issuers: dict[str, Issuer] = {}
    for file, name in AUTHORITIES.items():
        key = new_key()
        issuers[file] = Issuer(make_authority(name, key, now), key)
        files |= _pair(file, issuers[file])
    for wanted in _wanted(places):
        key = new_key()
        issuer = issuers[wanted.authority]
        files |= _pair(wanted.file, Issuer(make_certificate(wanted, key.public_key(), issuer, now), key))
    key = new_key()
    files["sa.key"] = (dump_key(key, None), PRIVATE)
    files["sa.pub"] = (dump_public(key.public_key()), PUBLIC)
    return files


def _pair(file: str, holder: Issuer) -> dict[str, tuple[bytes, int]]:
    return {
        f"{file}.crt": (dump_certificates(holder.certificate), PUBLIC),
        f"{file}.key": (dump_key(holder.key, None), PRIVATE),
    }


def _wanted(places: Sequence[str]) -> list[Wanted]:
    return [Wanted(SERVER, "ca", "kube-apiserver", (), tuple(places)), *CLIENTS.values()]


def _opened(folder: Path, places: Sequence[str], now: datetime.datetime) -> ClusterAuthority:
    """Read all, and make whole what is not."""
    issuers = {file: _authority(folder, file, name, now) for file, name in AUTHORITIES.items()}
    for wanted in _wanted(places):
        _settle(folder, wanted, issuers[wanted.authority], now)
    tokens = _token_keys(folder)
    clients = ClientCertificates(issuers["ca"].certificate, issuers["front-proxy-ca"].certificate)
    return ClusterAuthority(folder, issuers["ca"], issuers["front-proxy-ca"], tokens, clients)


def _authority(folder: Path, file: str, name: str, now: datetime.datetime) -> Issuer:
    """One of the two authorities; renewed with its own key, so that all that it has signed goes on to hold."""
    certificate_path, key_path = folder / f"{file}.crt", folder / f"{file}.key"
    if certificate_path.exists() != key_path.exists():
        missing = key_path if certificate_path.exists() else certificate_path
        raise Invalid(f"cannot open the cluster's authority: {missing} is missing")
    if not certificate_path.exists():
        holder = new_key()
        write_file(key_path, dump_key(holder, None))
        write_file(certificate_path, dump_certificates(make_authority(name, holder, now)), PUBLIC)
    key = load_key(read_file(key_path), None, str(key_path))
    found = load_certificates(read_file(certificate_path), str(certificate_path))
    if not found:
        raise Invalid(f"cannot read the certificate {certificate_path}: there is none in it")
    certificate = found[0]
    if not same_public(key.public_key(), certificate.public_key()):
        raise Invalid(f"cannot open the cluster's authority: {key_path} is not the key of {certificate_path}")
    if is_ending(certificate, now):
        certificate = make_authority(name, key, now, subject=certificate.subject)
        write_file(certificate_path, dump_certificates(certificate), PUBLIC)
    return Issuer(certificate, key)


def _settle(folder: Path, wanted: Wanted, issuer: Issuer, now: datetime.datetime) -> None:
    """One certificate with its key: made where it is missing, renewed where it ends or lacks a place."""
    certificate_path, key_path = folder / f"{wanted.file}.crt", folder / f"{wanted.file}.key"
    if not key_path.exists():
        write_file(key_path, dump_key(new_key(), None))
    key: Key = load_key(read_file(key_path), None, str(key_path))
    if certificate_path.exists():
        found = load_certificates(read_file(certificate_path), str(certificate_path))
        if found and holds(found[0], wanted, key.public_key(), issuer, now):
            return
    certificate = make_certificate(wanted, key.public_key(), issuer, now)
    write_file(certificate_path, dump_certificates(certificate), PUBLIC)


def _token_keys(folder: Path) -> TokenKeys:
    """The key that signs tokens, and those whose tokens still hold: any `sa-*.pub` beside it. Where `sa.key` was
    replaced, the old public key gets such a name."""
    path = folder / "sa.key"
    if not path.exists():
        write_file(path, dump_key(new_key(), None))
    key = load_key(read_file(path), None, str(path))
    public = folder / "sa.pub"
    known = load_public(read_file(public), str(public)) if public.exists() else None
    if known is None or not same_public(key.public_key(), known):
        if known is not None:
            write_file(folder / f"sa-{key_name(known)[:12]}.pub", dump_public(known), PUBLIC)
        write_file(public, dump_public(key.public_key()), PUBLIC)
    others = [load_public(read_file(other), str(other)) for other in sorted(folder.glob("sa-*.pub"))]
    return TokenKeys(key, others)
