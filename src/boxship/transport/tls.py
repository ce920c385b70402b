"""TLS between a TCP connection and an HTTP one, with half-close.

The event loop's own TLS ends both ways when the client says that it will send no more; but `docker run -i` says so when
its input ends, and waits for the output. Here the client's close_notify ends one way alone.
It must never pass a byte on before the handshake, in which the client's certificate is checked, is done.
"""

import asyncio
import logging
import ssl
from collections.abc import Callable
from typing import Any, cast

from boxship.transport.listen import TlsSource

log = logging.getLogger("boxship.transport")
HANDSHAKE_SECONDS = 10.0
PIECE_BYTES = 64 * 1024


class TlsConnection(asyncio.Protocol):
    """The protocol of the TCP connection. Makes the inner protocol when the handshake is done."""

    def __init__(
        self, context: ssl.SSLContext, factory: Callable[[], asyncio.Protocol], source: TlsSource | None = None
    ) -> None:
        self._factory = factory
        self._source = source
        self._version = source.version if source is not None else 0
        self._incoming = ssl.MemoryBIO()
        self._outgoing = ssl.MemoryBIO()
        self._tls = context.wrap_bio(self._incoming, self._outgoing, server_side=True)
        self._raw: asyncio.Transport | None = None
        self._deadline: asyncio.TimerHandle | None = None
        self.inner: asyncio.Protocol | None = None
        self.paused = False
        self.closing = False
        self._input_ended = False

    @property
    def raw(self) -> asyncio.Transport:
        assert self._raw is not None
        return self._raw

    # from the loop

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._raw = cast(asyncio.Transport, transport)
        self._deadline = asyncio.get_running_loop().call_later(HANDSHAKE_SECONDS, self.raw.abort)

    def data_received(self, data: bytes) -> None:
        if self._is_cut():
            return
        self._incoming.write(data)
        self.advance()

    def _is_cut(self) -> bool:
        """End the connection of a client whose certificate was revoked meanwhile; whether that is so."""
        source = self._source
        if source is None or source.version == self._version or self.inner is None:
            return False
        self._version = source.version
        serial = (self._tls.getpeercert() or {}).get("serialNumber")
        if not isinstance(serial, str) or not source.revoked(int(serial, 16)):
            return False
        log.info("TLS connection is cut: the client's certificate %s was revoked", serial)
        self.closing = True
        self.raw.abort()
        return True

    def eof_received(self) -> bool:
        if self.inner is not None:
            self._end_input()
        return False  # the client's socket is away as a whole

    def connection_lost(self, exc: BaseException | None) -> None:
        self.closing = True
        if self._deadline is not None:
            self._deadline.cancel()
        if self.inner is not None:
            self.inner.connection_lost(exc if isinstance(exc, Exception) else None)

    def pause_writing(self) -> None:
        if self.inner is not None:
            self.inner.pause_writing()

    def resume_writing(self) -> None:
        if self.inner is not None:
            self.inner.resume_writing()

    @property
    def certificate(self) -> bytes | None:
        """The client's certificate (DER), which the context's authorities have signed; None where it has shown none."""
        return self._tls.getpeercert(binary_form=True)

    # both ways

    def advance(self) -> None:
        """Go on with the handshake, then hand out what the client sent, until the inner protocol wants no more."""
        try:
            if self.inner is None and not self._shake_hands():
                return
            while not self.paused and not self.closing:
                data = self._tls.read(PIECE_BYTES)
                if not data:
                    self._end_input()
                    return
                cast(asyncio.Protocol, self.inner).data_received(data)
        except ssl.SSLWantReadError:
            self._flush()
        except ssl.SSLZeroReturnError:
            self._flush()
            self._end_input()
        except ssl.SSLError as error:
            log.debug("TLS connection ends: %s", error)
            self._flush()
            self.closing = True
            self.raw.close()

    def _shake_hands(self) -> bool:
        self._tls.do_handshake()
        self._flush()
        if self._deadline is not None:
            self._deadline.cancel()
        self.inner = self._factory()
        self.inner.connection_made(TlsTransport(self))
        return True

    def _end_input(self) -> None:
        if self._input_ended or self.inner is None:
            return
        self._input_ended = True
        if not self.inner.eof_received():
            self.close()

    def _flush(self) -> None:
        data = self._outgoing.read()
        if data and not self.raw.is_closing():
            self.raw.write(data)

    def write(self, data: bytes) -> None:
        if self.closing or not data or self._is_cut():
            return
        try:
            self._tls.write(data)
        except ssl.SSLError as error:
            log.debug("TLS connection cannot send: %s", error)
            self.raw.abort()
            return
        self._flush()

    def end_output(self) -> None:
        """Tell the client that nothing more comes."""
        try:
            self._tls.unwrap()
        except ssl.SSLError:
            pass  # it waits for the client's own close_notify, we don't
        except OSError:
            return
        self._flush()

    def close(self) -> None:
        if not self.closing:
            self.end_output()
            self.closing = True
            self.raw.close()


class TlsTransport(asyncio.Transport):
    """What the inner protocol writes to."""

    def __init__(self, connection: TlsConnection) -> None:
        super().__init__()
        self._connection = connection

    @property
    def certificate(self) -> bytes | None:
        """The client's certificate (DER)."""
        return self._connection.certificate

    def get_extra_info(self, name: str, default: Any = None) -> Any:
        return self._connection.raw.get_extra_info(name, default)

    def get_protocol(self) -> asyncio.BaseProtocol:
        assert self._connection.inner is not None
        return self._connection.inner

    def set_protocol(self, protocol: asyncio.BaseProtocol) -> None:
        self._connection.inner = cast(asyncio.Protocol, protocol)

    def write(self, data: "bytes | bytearray | memoryview[Any]") -> None:
        self._connection.write(bytes(data))

    def writelines(self, list_of_data: Any) -> None:
        self._connection.write(b"".join(list_of_data))

    def can_write_eof(self) -> bool:
        return True

    def write_eof(self) -> None:
        self._connection.end_output()

    def is_closing(self) -> bool:
        return self._connection.closing

    def close(self) -> None:
        self._connection.close()

    def abort(self) -> None:
        self._connection.closing = True
        self._connection.raw.abort()

    def pause_reading(self) -> None:
        self._connection.paused = True
        self._connection.raw.pause_reading()

    def resume_reading(self) -> None:
        self._connection.paused = False
        self._connection.raw.resume_reading()
        asyncio.get_running_loop().call_soon(self._connection.advance)

    def is_reading(self) -> bool:
        return not self._connection.paused

    def get_write_buffer_size(self) -> int:
        return self._connection.raw.get_write_buffer_size()

    def set_write_buffer_limits(self, high: int | None = None, low: int | None = None) -> None:
        self._connection.raw.set_write_buffer_limits(high, low)
