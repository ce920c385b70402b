"""Mutual TLS for the blocking client. Apart from `blocking`, because `ssl` is slow to import and most calls are local.

The records go through memory buffers in place of `SSLSocket`, whose half-close drops the TLS layer: here `close_write`
sends the closing record alone, and the rest of the other side's bytes can still be read, as attach needs it.
"""

import _socket
import ssl
from contextlib import suppress

from boxship.errors import Invalid, Unavailable
from boxship.transport.blocking import PIECE, Address, Channel


class TlsChannel(Channel):
    """A channel whose bytes are encrypted."""

    def __init__(self, raw: _socket.socket, context: ssl.SSLContext, host: str) -> None:
        super().__init__(raw)
        self._incoming = ssl.MemoryBIO()
        self._outgoing = ssl.MemoryBIO()
        self._unsent = b""
        self._starved = True
        self._ahead = b""  # read while closing our half
        self._tls = context.wrap_bio(self._incoming, self._outgoing, server_hostname=host)

    def handshake(self) -> None:
        while True:
            try:
                self._tls.do_handshake()
            except ssl.SSLWantReadError:
                self._flush()
                self._feed(super().receive(PIECE))
                continue
            self._flush()
            return

    def _flush(self) -> None:
        data, self._unsent = self._unsent + self._outgoing.read(), b""
        if data:
            self._raw.sendall(data)

    def _feed(self, received: bytes) -> None:
        self._starved = False
        if received:
            self._incoming.write(received)
        else:
            self._incoming.write_eof()

    def pending(self) -> bool:
        # Part of a record does not count: the rest of it has to come from the kernel.
        return bool(self._ahead) or (not self._starved and (self._tls.pending() > 0 or self._incoming.pending > 0))

    def _read(self, size: int) -> bytes | None:
        """What is here; None where bytes from the kernel are needed first."""
        if self._ahead:
            data, self._ahead = self._ahead[:size], self._ahead[size:]
            return data
        try:
            return self._tls.read(size)
        except ssl.SSLWantReadError:
            self._starved = True
            return None
        except (ssl.SSLZeroReturnError, ssl.SSLEOFError):
            return b""
        except ssl.SSLError as error:
            # With TLS 1.3 a server refuses a client's certificate only after the handshake.
            raise Unavailable(f"cannot read the answer: {error.reason or error}") from None

    def receive(self, size: int = PIECE) -> bytes:
        while (data := self._read(size)) is None:
            self._feed(super().receive(PIECE))
        return data

    def receive_now(self, size: int = PIECE) -> bytes | None:
        while (data := self._read(size)) is None:
            received = super().receive_now(PIECE)
            if received is None:
                return None
            self._feed(received)
        return data

    def send(self, data: bytes | bytearray | memoryview) -> None:
        self._tls.write(data)
        self._flush()

    def send_some(self, data: bytes | memoryview) -> int:
        # What is encrypted counts as sent; nothing more is taken until the kernel has all of it.
        taken = 0
        if not self._unsent:
            taken = self._tls.write(data)
            self._unsent = self._outgoing.read()
        self._unsent = self._unsent[super().send_some(self._unsent) :]
        return taken

    def close_write(self) -> None:
        # Ending our half looks for the other side's end too, and would drop data that stands before it.
        ahead = b""
        while data := self._read(PIECE):
            ahead += data
        self._ahead = ahead
        with suppress(ssl.SSLError):  # it wants the other side's closing record, which comes after all its data
            self._tls.unwrap()
        try:
            self._flush()
        except OSError:
            return


def secure(raw: _socket.socket, address: Address) -> TlsChannel:
    """Speak TLS on a connected socket. Raises Unavailable when the server is not the one expected, Invalid for files
    that cannot be used."""
    try:
        channel = TlsChannel(raw, _context(address), address.host)
        channel.handshake()
    except (OSError, ssl.CertificateError) as error:
        raw.close()
        reason = error.verify_message if isinstance(error, ssl.SSLCertVerificationError) else str(error)
        raise Unavailable(f"cannot connect to {address}: TLS: {reason}") from None
    return channel


def _context(address: Address) -> ssl.SSLContext:
    files = address.tls
    assert files is not None
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    path = files.authority
    try:
        if files.verify and path:
            context.load_verify_locations(path)
        elif files.verify:
            context.load_default_certs(ssl.Purpose.SERVER_AUTH)
        else:
            context.check_hostname = False
            context.verify_mode = ssl.CERT_NONE
        path = files.certificate
        if path:
            context.load_cert_chain(path, files.key or None)
    except OSError as error:
        raise Invalid(f"cannot use the certificate {path}: {error.strerror or error}") from None
    return context
