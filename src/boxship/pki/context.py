"""TLS contexts for both ends of a connection on which each side shows a certificate of the authority.

TLS 1.2 at least. A context without a certificate to demand from the other side cannot be made here: plain TCP and
one-sided TLS are refused by not existing.
"""

import ssl
from pathlib import Path

from boxship.errors import Invalid, NotFound


def server_context(certificate: Path, key: Path, authority: Path) -> ssl.SSLContext:
    """For a listener: shows `certificate`, and asks every client for one that `authority` signed."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    return _fill(context, certificate, key, authority)


def client_context(certificate: Path, key: Path, authority: Path) -> ssl.SSLContext:
    """For a caller: shows `certificate`, and checks the server's name and that `authority` signed its certificate."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = True
    return _fill(context, certificate, key, authority)


def _fill(context: ssl.SSLContext, certificate: Path, key: Path, authority: Path) -> ssl.SSLContext:
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.verify_mode = ssl.CERT_REQUIRED
    context.set_alpn_protocols(["http/1.1"])
    for path in (certificate, key, authority):
        if not path.is_file():
            raise NotFound(f"cannot use {path} for TLS: no such file")
    try:
        context.load_cert_chain(certificate, key, password=_no_passphrase)
    except (ssl.SSLError, ValueError, OSError) as error:
        raise Invalid(f"cannot use the certificate {certificate} with the key {key}: {error}") from error
    try:
        context.load_verify_locations(cafile=authority)
    except (ssl.SSLError, OSError) as error:
        raise Invalid(f"cannot use the authority {authority}: {error}") from error
    return context


def _no_passphrase() -> bytes:
    """OpenSSL would ask on the terminal for an encrypted key's passphrase; a daemon has none."""
    raise ValueError("the key is encrypted")
