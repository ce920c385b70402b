"""TLS contexts for both ends of a connection.

TLS 1.2 at least. A server's context asks each client for a certificate of the authority, unless it is made for a
listener that knows its clients in another way (the registry's). A list of revoked certificates is obeyed where there
is one.
"""

import ssl
from pathlib import Path

from boxship.errors import Invalid, NotFound


def server_context(
    certificate: Path, key: Path, authority: Path, revoked: Path | None = None, *, clients: bool = True
) -> ssl.SSLContext:
    """For a listener: shows `certificate`, and asks every client for one that `authority` signed and that is not on the
    list `revoked`; with `clients` False it asks for none."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    if not clients:
        return _own(context, certificate, key)
    return _fill(context, certificate, key, authority, revoked)


def client_context(certificate: Path, key: Path, authority: Path) -> ssl.SSLContext:
    """For a caller: shows `certificate`, and checks the server's name and that `authority` signed its certificate."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = True
    return _fill(context, certificate, key, authority, None)


def _own(context: ssl.SSLContext, certificate: Path, key: Path) -> ssl.SSLContext:
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.set_alpn_protocols(["http/1.1"])
    for path in (certificate, key):
        if not path.is_file():
            raise NotFound(f"cannot use {path} for TLS: no such file")
    try:
        context.load_cert_chain(certificate, key, password=_no_passphrase)
    except (ssl.SSLError, ValueError, OSError) as error:
        raise Invalid(f"cannot use the certificate {certificate} with the key {key}: {error}") from error
    return context


def _fill(
    context: ssl.SSLContext, certificate: Path, key: Path, authority: Path, revoked: Path | None
) -> ssl.SSLContext:
    _own(context, certificate, key)
    context.verify_mode = ssl.CERT_REQUIRED
    if not authority.is_file():
        raise NotFound(f"cannot use {authority} for TLS: no such file")
    try:
        context.load_verify_locations(cafile=authority)
        if revoked is not None:
            context.load_verify_locations(cafile=revoked)
            context.verify_flags |= ssl.VerifyFlags.VERIFY_CRL_CHECK_LEAF
    except (ssl.SSLError, OSError) as error:
        raise Invalid(f"cannot use the authority {authority} for TLS: {error}") from error
    return context


def _no_passphrase() -> bytes:
    """OpenSSL would ask on the terminal for an encrypted key's passphrase; a daemon has none."""
    raise ValueError("the key is encrypted")
