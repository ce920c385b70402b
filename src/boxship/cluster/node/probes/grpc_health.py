"""The one call of grpc.health.v1 that a probe makes, as HTTP/2 frames without a library: a request is written, and of
the answer only its message is read, so header compression never has to be understood. Pure.

Source: RFC 9113 (frames), RFC 7541 (literal header fields), grpc.health.v1.Health/Check.
"""

PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
DATA, HEADERS, RESET, SETTINGS, PING, GO_AWAY = 0x0, 0x1, 0x3, 0x4, 0x6, 0x7
END_STREAM, END_HEADERS, ACK, PADDED = 0x1, 0x4, 0x1, 0x8
STREAM = 1
SERVING = 1
NAMES = {0: "UNKNOWN", 1: "SERVING", 2: "NOT_SERVING", 3: "SERVICE_UNKNOWN"}
FRAME_LIMIT = 1 << 20  # bytes
BODY_LIMIT = 1 << 16  # bytes of the answer, which has three


def frame(kind: int, flags: int, stream: int, payload: bytes = b"") -> bytes:
    return len(payload).to_bytes(3, "big") + bytes([kind, flags]) + stream.to_bytes(4, "big") + payload


def request(authority: str, service: str) -> bytes:
    """Everything that the client says for one check."""
    fields = [
        (":method", "POST"),
        (":scheme", "http"),
        (":path", "/grpc.health.v1.Health/Check"),
        (":authority", authority),
        ("content-type", "application/grpc"),
        ("user-agent", "kube-probe/1.36"),
        ("te", "trailers"),
    ]
    block = b"".join(b"\x00" + _text(name) + _text(value) for name, value in fields)
    name = service.encode()
    message = (b"\x0a" + _varint(len(name)) + name) if name else b""
    body = b"\x00" + len(message).to_bytes(4, "big") + message
    return b"".join(
        (
            PREFACE,
            frame(SETTINGS, 0, 0),
            frame(HEADERS, END_HEADERS, STREAM, block),
            frame(DATA, END_STREAM, STREAM, body),
        )
    )


def _text(text: str) -> bytes:
    data = text.encode()
    if len(data) < 127:
        return bytes([len(data)]) + data
    return b"\x7f" + _varint(len(data) - 127) + data


def _varint(number: int) -> bytes:
    found = bytearray()
    while number > 127:
        found.append(number & 127 | 128)
        number >>= 7
    return bytes([*found, number])


class Reply:
    """Fed with what the server says: `feed` returns what has to be answered; `ended` when nothing more comes."""

    def __init__(self) -> None:
        self._held = b""
        self._body = b""
        self.ended = False
        self.refused = ""

    def feed(self, data: bytes) -> bytes:
        self._held += data
        said = b""
        while len(self._held) >= 9 and not self.ended:
            size = int.from_bytes(self._held[:3], "big")
            if size > FRAME_LIMIT:
                self.ended, self.refused = True, "the answer is no gRPC"
                break
            if len(self._held) < 9 + size:
                break
            kind, flags = self._held[3], self._held[4]
            payload, self._held = self._held[9 : 9 + size], self._held[9 + size :]
            said += self._take(kind, flags, payload)
        return said

    def _take(self, kind: int, flags: int, payload: bytes) -> bytes:
        if kind == DATA:
            if flags & PADDED and payload:
                payload = payload[1 : len(payload) - payload[0]]
            self._body += payload
            self.ended = bool(flags & END_STREAM)
            if len(self._body) > BODY_LIMIT:
                self.ended, self.refused, self._body = True, "the answer is too large", b""
        elif kind == HEADERS:
            self.ended = bool(flags & END_STREAM)
        elif kind in (RESET, GO_AWAY):
            self.ended, self.refused = True, "the stream was reset"
        elif kind == SETTINGS and not flags & ACK:
            return frame(SETTINGS, ACK, 0)
        elif kind == PING and not flags & ACK:
            return frame(PING, ACK, 0, payload)
        return b""

    @property
    def status(self) -> int | None:
        """What the health service answered; None: nothing that could be read."""
        if len(self._body) < 5:
            return None
        message = self._body[5 : 5 + int.from_bytes(self._body[1:5], "big")]
        if not message:
            return 0
        return message[1] if len(message) >= 2 and message[0] == 0x08 else None
