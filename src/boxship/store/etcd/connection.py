"""The way to etcd: its endpoints, one of which is used at a time, calls with deadlines, and errors as ours.

Only what changes nothing is asked again elsewhere: whether a commit whose answer got lost was made, nobody here knows.
"""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable, Sequence
from typing import Any, TypeVar
from urllib.parse import urlsplit

import grpc

from boxship.errors import BoxshipError, Denied, Exhausted, Invalid, Unavailable
from boxship.store.etcd import messages
from boxship.store.files import Files
from boxship.store.status import Member

ASK_SECONDS = 5.0  # for an answer to a question
COMMIT_SECONDS = 10.0  # for an answer to a commit
SHRINK_SECONDS = 600.0  # for a member to write its file anew
ENDING_SECONDS = 0.02  # in which the library tells this loop that its calls have ended; it may be closed then
NEEDS_LEADER = (("hasleader", "true"),)  # a member that is cut off from the others ends the watch
OPTIONS = (
    ("grpc.max_receive_message_length", -1),
    ("grpc.max_send_message_length", -1),  # etcd says itself what is too large
    ("grpc.keepalive_time_ms", 10_000),
    ("grpc.keepalive_timeout_ms", 5_000),
    ("grpc.keepalive_permit_without_calls", 1),
    ("grpc.http2.max_pings_without_data", 0),
    ("grpc.initial_reconnect_backoff_ms", 100),
    ("grpc.min_reconnect_backoff_ms", 5_000),  # also what connecting may take
    ("grpc.max_reconnect_backoff_ms", 1_000),
    ("grpc.enable_http_proxy", 0),
    ("grpc.use_local_subchannel_pool", 1),  # two stores in one process stay apart
)

Answer = TypeVar("Answer")


class Gone(Exception):
    """The revision that was asked for is compacted, or has not come yet."""


def parse_endpoints(text: str) -> tuple[str, ...]:
    """ "http://10.0.0.1:2379,https://…" as URLs. Raises Invalid."""
    urls = tuple(part.strip().rstrip("/") for part in text.split(",") if part.strip())
    if not urls:
        raise Invalid("cannot use etcd: no endpoint is given")
    for url in urls:
        parts = urlsplit(url)
        try:
            fine = parts.scheme in ("http", "https") and parts.hostname and not (parts.path or parts.query)
            _ = parts.port
        except ValueError:
            fine = False
        if not fine:
            raise Invalid(f"cannot use etcd at {url!r}: an endpoint is http://HOST:PORT or https://HOST:PORT")
    if len({urlsplit(url).scheme for url in urls}) > 1:
        raise Invalid("cannot use etcd: its endpoints are either all http or all https")
    return urls


def translate(error: grpc.RpcError, doing: str) -> BoxshipError | Gone:
    """etcd's error as one of ours."""
    code, details = error.code(), error.details() or ""
    if code == grpc.StatusCode.OUT_OF_RANGE:
        return Gone(details)
    if code in (grpc.StatusCode.PERMISSION_DENIED, grpc.StatusCode.UNAUTHENTICATED):
        return Denied(f"cannot {doing}: {details}")
    if code == grpc.StatusCode.RESOURCE_EXHAUSTED and "too many requests" not in details:
        large = "too large for etcd: " if "larger than max" in details else ""
        return Exhausted(f"cannot {doing}: {large}{details}")
    if code == grpc.StatusCode.INVALID_ARGUMENT:
        too_much = "too large" in details or "too many" in details
        return (Exhausted if too_much else Invalid)(f"cannot {doing}: {details}")
    if code == grpc.StatusCode.DEADLINE_EXCEEDED:
        return Unavailable(f"cannot {doing}: etcd does not answer")
    return Unavailable(f"cannot {doing}: {details or code.name}")


class Connection:
    """Calls to etcd. Belongs to the loop that made it."""

    def __init__(self, urls: Sequence[str], files: Files) -> None:
        self.urls = tuple(urls)
        self._files = files
        self._channels = [self._channel(url) for url in urls]
        self._index = 0

    def _channel(self, url: str) -> Any:
        parts = urlsplit(url)
        host = f"[{parts.hostname}]" if ":" in (parts.hostname or "") else parts.hostname
        target = f"{host}:{parts.port or 2379}"
        if parts.scheme == "http":
            return grpc.aio.insecure_channel(target, options=OPTIONS)
        places = (self._files.authority, self._files.key, self._files.certificate)
        try:
            pems = [path.read_bytes() if path else None for path in places]
        except OSError as error:
            raise Unavailable(f"cannot use etcd: {error.filename}: {error.strerror}") from error
        return grpc.aio.secure_channel(target, grpc.ssl_channel_credentials(*pems), options=OPTIONS)

    @property
    def endpoint(self) -> str:
        """The one in use."""
        return self.urls[self._index]

    def _leave(self, index: int) -> None:
        """Use the next endpoint, where this one is still the one in use."""
        if self._index == index:
            self._index = (index + 1) % len(self._channels)

    async def ask(self, method: str, request: bytes, read: Callable[[bytes], Answer], doing: str) -> Answer:
        """A call that changes nothing: asked at each endpoint before it is Unavailable. Raises Gone."""
        failure: BoxshipError | None = None
        for _ in self._channels:
            try:
                return read(await self._call(method, request, ASK_SECONDS, doing))
            except Unavailable as error:
                failure = failure or error
            except ValueError as error:
                raise Unavailable(f"cannot {doing}: etcd's answer makes no sense: {error}") from error
        assert failure is not None
        raise failure

    async def change(self, method: str, request: bytes, read: Callable[[bytes], Answer], doing: str) -> Answer:
        """A call that is made once. Unavailable does not say that nothing was done. Raises Gone."""
        return read(await self._call(method, request, COMMIT_SECONDS, doing))

    async def member(self, index: int) -> Member:
        """What the member behind one endpoint says of itself."""
        url = self.urls[index]
        try:
            data = await self._call("/etcdserverpb.Maintenance/Status", b"", ASK_SECONDS, "ask etcd", index)
            known = messages.read_status(data)
        except (BoxshipError, Gone, ValueError) as error:
            return Member(url, errors=(str(error),))
        leader = known.leader != 0 and known.leader == known.header.member
        return Member(url, known.version, known.size, known.used, leader, known.errors)

    async def defragment(self, index: int) -> None:
        """Let one member give back what its history has freed; it answers nobody meanwhile."""
        method = "/etcdserverpb.Maintenance/Defragment"
        await self._call(method, b"", SHRINK_SECONDS, f"defragment etcd at {self.urls[index]}", index)

    async def _call(self, method: str, request: bytes, seconds: float, doing: str, index: int | None = None) -> bytes:
        index = self._index if index is None else index
        try:
            return bytes(await self._channels[index].unary_unary(method)(request, timeout=seconds))
        except grpc.RpcError as error:
            known = translate(error, doing)
            if isinstance(known, Unavailable):
                self._leave(index)
            raise known from error
        except grpc.aio.UsageError as error:
            raise Unavailable(f"cannot {doing}: the store is closed") from error

    @contextlib.asynccontextmanager
    async def stream(self, method: str, request: bytes) -> AsyncIterator[AsyncIterator[bytes]]:
        """A call with one request and answers without end. Raises Unavailable, also while they are read."""
        index = self._index
        call = self._channels[index].stream_stream(method)(metadata=NEEDS_LEADER)
        try:
            await call.write(request)
            yield self._answers(call)
        except grpc.RpcError as error:
            self._leave(index)
            raise translate(error, "watch etcd") from error
        except (asyncio.InvalidStateError, grpc.aio.UsageError) as error:
            self._leave(index)
            raise Unavailable(f"cannot watch etcd at {self.urls[index]}: the call has ended") from error
        finally:
            call.cancel()

    @staticmethod
    async def _answers(call: Any) -> AsyncIterator[bytes]:
        while True:
            answer = await call.read()
            if answer is grpc.aio.EOF:
                if await call.code() != grpc.StatusCode.OK:
                    raise Unavailable(f"cannot watch etcd: {await call.details()}")
                return
            yield answer

    async def close(self) -> None:
        for channel in self._channels:
            await channel.close()
        await asyncio.sleep(ENDING_SECONDS)
