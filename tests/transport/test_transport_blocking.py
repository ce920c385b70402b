"""The blocking client against a server that sends exactly the bytes that a test wants."""

import contextlib
import datetime
import select
import socket
import threading
from collections.abc import Callable, Iterator
from itertools import pairwise
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from boxship.errors import Internal, Unavailable
from boxship.pki.authority import create, open_authority
from boxship.pki.context import server_context
from boxship.pki.names import Subject
from boxship.transport.blocking import Address, Connection, TlsFiles

Script = Callable[[socket.socket], None]


class ScriptedServer:
    """Accepts connections on a unix socket; each runs the next script in a thread."""

    def __init__(self, path: Path) -> None:
        self.address = Address(path=str(path))
        self.scripts: list[Script] = []
        self.seen: list[bytes] = []
        self._listener = socket.socket(socket.AF_UNIX)
        self._listener.bind(str(path))
        self._listener.listen(8)
        self._thread = threading.Thread(target=self._serve, daemon=True)
        self._thread.start()

    def _serve(self) -> None:
        while True:
            try:
                connection, _ = self._listener.accept()
            except OSError:
                return
            script = self.scripts.pop(0)
            threading.Thread(target=self._run, args=(script, connection), daemon=True).start()

    def _run(self, script: Script, connection: socket.socket) -> None:
        with connection:
            script(connection)

    def head(self, connection: socket.socket) -> bytes:
        """Read one request's headers."""
        data = b""
        while b"\r\n\r\n" not in data:
            piece = connection.recv(65536)
            if not piece:
                break
            data += piece
        self.seen.append(data)
        return data

    def answers(self, *parts: bytes) -> None:
        """The next connection answers with these parts, sent apart, and closes."""

        def script(connection: socket.socket) -> None:
            self.head(connection)
            for part in parts:
                connection.sendall(part)

        self.scripts.append(script)

    def close(self) -> None:
        self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        self._thread.join(5)


@pytest.fixture
def server(tmp_path: Path) -> Iterator[ScriptedServer]:
    server = ScriptedServer(tmp_path / "s")
    yield server
    server.close()


def get(server: ScriptedServer, *parts: bytes) -> bytes:
    server.answers(*parts)
    connection = Connection(server.address)
    try:
        return connection.request("GET", "/").read()
    finally:
        connection.close()


def test_reads_a_body_by_its_length(server: ScriptedServer) -> None:
    assert get(server, b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhe", b"llo, and what follows") == b"hello"


def test_reads_chunks_with_extensions_and_trailers(server: ScriptedServer) -> None:
    body = b"5;x=y\r\nhello\r\n6\r\n world\r\n0\r\nTrailer: 1\r\n\r\n"
    assert get(server, b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n", body) == b"hello world"


def test_reads_to_the_end_without_a_length(server: ScriptedServer) -> None:
    assert get(server, b"HTTP/1.1 200 OK\r\n\r\nab", b"c") == b"abc"


def test_steps_over_interim_answers(server: ScriptedServer) -> None:
    assert get(server, b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 1\r\n\r\nx") == b"x"


def test_joins_repeated_headers_and_lowers_their_names(server: ScriptedServer) -> None:
    server.answers(b"HTTP/1.1 204 No Content\r\nX-A: 1\r\nx-a:2 \r\n\r\n")
    response = Connection(server.address).request("GET", "/")
    assert (response.status, response.headers, response.read()) == (204, {"x-a": "1, 2"}, b"")


def test_splits_lines_as_they_arrive(server: ScriptedServer) -> None:
    server.answers(b"HTTP/1.1 200 OK\r\n\r\n{1}\r\n{2", b"}\n\n{3}")
    assert list(Connection(server.address).request("GET", "/").lines()) == [b"{1}", b"{2}", b"{3}"]


@pytest.mark.parametrize(
    "answer",
    [
        b"nonsense\r\n\r\n",
        b"HTTP/1.1 2x0 OK\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nno colon\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nContent-Length: -1\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nContent-Length: 1_0\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nxyz\r\n",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n1\r\nabc\r\n0\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nX: " + b"a" * 300_000,
    ],
)
def test_refuses_what_is_not_http(server: ScriptedServer, answer: bytes) -> None:
    with pytest.raises(Internal):
        get(server, answer)


@pytest.mark.parametrize(
    "answer",
    [b"", b"HTTP/1.1 200", b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nabc"]
    + [b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n" + body for body in (b"", b"5\r\nab", b"1\r\na\r\n")],
)
def test_a_truncated_answer_is_an_error(server: ScriptedServer, answer: bytes) -> None:
    with pytest.raises(Unavailable):
        get(server, answer)


def test_limits_a_whole_body(server: ScriptedServer) -> None:
    server.answers(b"HTTP/1.1 200 OK\r\n\r\n" + b"x" * 100)
    with pytest.raises(Internal):
        Connection(server.address).request("GET", "/").read(limit=50)


def test_sends_a_body_with_its_length(server: ScriptedServer) -> None:
    server.answers(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n")
    Connection(server.address).request("POST", "/x?y=1", {"A": "b"}, b"body").read()
    assert server.seen[0] == b"POST /x?y=1 HTTP/1.1\r\nHost: localhost\r\nA: b\r\nContent-Length: 4\r\n\r\nbody"


def test_a_post_without_a_body_says_so(server: ScriptedServer) -> None:
    server.answers(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n")
    Connection(server.address).request("POST", "/").read()
    assert b"Content-Length: 0\r\n" in server.seen[0]


def test_refuses_a_line_end_in_a_target(server: ScriptedServer) -> None:
    server.answers()
    with pytest.raises(Internal):
        Connection(server.address).request("GET", "/ HTTP/1.1\r\nX: y")


def test_streams_a_body_in_chunks(server: ScriptedServer) -> None:
    def script(connection: socket.socket) -> None:
        data = server.head(connection)
        while not data.endswith(b"0\r\n\r\n"):
            data += connection.recv(65536)
        connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok")
        server.seen.append(data)

    server.scripts.append(script)
    assert Connection(server.address).request("POST", "/", body=iter([b"ab", b"", b"c" * 10])).read() == b"ok"
    assert server.seen[-1].endswith(b"\r\n\r\n2\r\nab\r\na\r\ncccccccccc\r\n0\r\n\r\n")


def test_hears_a_refusal_while_it_still_sends(server: ScriptedServer) -> None:
    server.answers(b"HTTP/1.1 404 Not Found\r\nContent-Length: 4\r\n\r\nnope")
    response = Connection(server.address).request("POST", "/", body=(b"x" * 65536 for _ in range(10_000)))
    assert (response.status, response.read()) == (404, b"nope")


def test_progress_while_sending_does_not_stop_either_side(server: ScriptedServer) -> None:
    def script(connection: socket.socket) -> None:
        data = server.head(connection)
        connection.sendall(b"HTTP/1.1 200 OK\r\n\r\n")
        while not data.endswith(b"0\r\n\r\n"):
            connection.sendall(b"p" * 65536)  # far more in all than the socket holds
            data = data[-8:] + connection.recv(65536)

    server.scripts.append(script)
    body = Connection(server.address).request("POST", "/", body=(b"x" * 65536 for _ in range(64))).read()
    assert set(body) == {ord("p")} and len(body) > 1 << 20


def test_uses_a_connection_again_and_sees_when_it_is_closed(server: ScriptedServer) -> None:
    closed = threading.Event()

    def script(connection: socket.socket) -> None:
        for answer in (b"one", b"two"):
            server.head(connection)
            connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\n" + answer)
        connection.close()
        closed.set()

    server.scripts.append(script)
    connection = Connection(server.address)
    assert connection.request("GET", "/").read() == b"one"
    assert connection.usable()
    assert connection.request("GET", "/").read() == b"two"
    assert closed.wait(5)
    assert not connection.usable()


def test_close_is_heeded(server: ScriptedServer) -> None:
    server.answers(b"HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 0\r\n\r\n")
    connection = Connection(server.address)
    connection.request("GET", "/").read()
    assert not connection.usable()


def test_hands_the_connection_over_after_an_upgrade(server: ScriptedServer) -> None:
    def script(connection: socket.socket) -> None:
        server.head(connection)
        connection.sendall(b"HTTP/1.1 101 UPGRADED\r\nConnection: Upgrade\r\nUpgrade: tcp\r\n\r\nfirst")
        received = b""
        while piece := connection.recv(100):
            received += piece
        connection.sendall(b"got " + received)  # our half is closed, theirs is not

    server.scripts.append(script)
    channel, first = Connection(server.address).request("POST", "/attach", {"Upgrade": "tcp"}).take_over()
    whole = first
    while len(whole) < len(b"first"):
        whole += channel.receive()
    assert channel.send_some(memoryview(b"typed")) == 5
    channel.close_write()
    while piece := channel.receive():
        whole += piece
    channel.close()
    assert whole == b"firstgot typed"


def test_send_some_takes_only_what_fits(server: ScriptedServer) -> None:
    release = threading.Event()

    def script(connection: socket.socket) -> None:
        server.head(connection)
        connection.sendall(b"HTTP/1.1 101 UPGRADED\r\n\r\n")
        release.wait(10)

    server.scripts.append(script)
    channel, _ = Connection(server.address).request("POST", "/").take_over()
    data = memoryview(b"x" * (1 << 20))
    taken = total = channel.send_some(data)
    while taken:
        taken = channel.send_some(data)
        total += taken
    release.set()
    channel.close()
    assert 0 < total < 1 << 24


def test_nobody_there(tmp_path: Path) -> None:
    with pytest.raises(Unavailable, match="no such file or directory"):
        Connection(Address(path=str(tmp_path / "none")))
    with pytest.raises(Unavailable, match="connection refused"), socket.socket() as reserved:
        reserved.bind(("127.0.0.1", 0))
        Connection(Address(host="127.0.0.1", port=reserved.getsockname()[1]))


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(pieces=st.lists(st.binary(min_size=1, max_size=40), max_size=8), cuts=st.lists(st.integers(0, 400), max_size=12))
def test_any_cut_of_a_chunked_answer_reads_the_same(
    server: ScriptedServer, pieces: list[bytes], cuts: list[int]
) -> None:
    chunks = b"".join(b"%x\r\n%b\r\n" % (len(piece), piece) for piece in pieces)
    whole = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n" + chunks + b"0\r\n\r\n"
    places = sorted({min(cut, len(whole)) for cut in cuts} | {0, len(whole)})
    parts = [whole[start:end] for start, end in pairwise(places)]
    assert get(server, *parts) == b"".join(pieces)


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(answer=st.binary(max_size=200) | st.binary(max_size=100).map(lambda tail: b"HTTP/1.1 200 OK\r\n" + tail))
def test_no_answer_does_worse_than_an_error(server: ScriptedServer, answer: bytes) -> None:
    with contextlib.suppress(Internal, Unavailable):
        get(server, answer)


class TlsServer:
    """One TLS connection at a time on the loopback, which asks for the client's certificate."""

    def __init__(self, folder: Path) -> None:
        now = datetime.datetime.now(datetime.UTC)
        create(folder, "test", now)
        authority = open_authority(folder)
        own = authority.issue_server(Subject("server", ("localhost",), ("127.0.0.1",)), now)
        self.client = authority.issue_client(Subject("client"), now)
        self._context = server_context(own / "cert.pem", own / "key.pem", own / "ca.pem")
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port = self._listener.getsockname()[1]

    def files(self, certificate: bool = True, authority: Path | None = None) -> TlsFiles:
        own = (str(self.client / "cert.pem"), str(self.client / "key.pem")) if certificate else ("", "")
        return TlsFiles(str(authority or self.client / "ca.pem"), *own)

    def serve(self, echo: bool = False) -> threading.Thread:
        """Answer one connection: an upgrade, then back what came, at the client's end or (`echo`) at once."""

        def run() -> None:
            raw, _ = self._listener.accept()
            with contextlib.suppress(OSError), self._context.wrap_socket(raw, server_side=True) as connection:
                while not connection.recv(65536).endswith(b"\r\n\r\n"):
                    pass
                connection.sendall(b"HTTP/1.1 101 UPGRADED\r\n\r\n")
                received = b""
                while piece := connection.recv(65536):
                    if echo:
                        connection.sendall(piece)  # stops us if the client does not read while it sends
                    else:
                        received += piece
                connection.sendall(b"got " + received)

        thread = threading.Thread(target=run, daemon=True)
        thread.start()
        return thread

    def close(self) -> None:
        self._listener.close()


@pytest.fixture
def tls_server(tmp_path: Path) -> Iterator[TlsServer]:
    server = TlsServer(tmp_path / "pki")
    yield server
    server.close()


def test_speaks_mutual_tls_and_closes_one_half(tls_server: TlsServer) -> None:
    thread = tls_server.serve()
    connection = Connection(Address(host="127.0.0.1", port=tls_server.port, tls=tls_server.files()))
    channel, whole = connection.request("POST", "/").take_over()
    data = memoryview(b"x" * 300_000)
    while data:
        data = data[channel.send_some(data) :]
    channel.close_write()
    while piece := channel.receive():
        whole += piece
    channel.close()
    thread.join(5)
    assert whole == b"got " + b"x" * 300_000


def test_a_server_of_another_authority_is_refused(tls_server: TlsServer, tmp_path: Path) -> None:
    now = datetime.datetime.now(datetime.UTC)
    create(tmp_path / "other", "other", now)
    stranger = open_authority(tmp_path / "other").issue_client(Subject("client"), now) / "ca.pem"
    thread = tls_server.serve()
    with pytest.raises(Unavailable, match="TLS"):
        Connection(Address(host="127.0.0.1", port=tls_server.port, tls=tls_server.files(authority=stranger)))
    thread.join(5)


def test_a_client_without_a_certificate_is_told(tls_server: TlsServer) -> None:
    thread = tls_server.serve()
    with pytest.raises(Unavailable):
        tls = tls_server.files(certificate=False)
        Connection(Address(host="127.0.0.1", port=tls_server.port, tls=tls)).request("GET", "/").read()
    thread.join(5)


def test_both_directions_at_once(tls_server: TlsServer) -> None:
    thread = tls_server.serve(echo=True)
    connection = Connection(Address(host="127.0.0.1", port=tls_server.port, tls=tls_server.files()))
    channel, first = connection.request("POST", "/").take_over()
    whole = bytearray(first)
    sent = bytes(range(256)) * (8 << 12)
    unsent, ended = memoryview(sent), False
    while not ended:
        poll = select.poll()
        poll.register(channel.fileno(), select.POLLIN | (select.POLLOUT if unsent else 0))
        assert channel.pending() or poll.poll(20_000), "nothing moves"
        if unsent:
            unsent = unsent[channel.send_some(unsent[:65536]) :]
            if not unsent:
                channel.close_write()
        piece = channel.receive_now()
        if piece is not None:
            whole += piece
            ended = not piece
    channel.close()
    thread.join(5)
    assert whole == sent + b"got "
