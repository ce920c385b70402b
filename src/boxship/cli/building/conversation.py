"""The talk with the daemon while it builds: one loop over poll(2) that sends what is wanted, carries agents' bytes, and
hands on news and archives as they come. The frames and their meaning are those of `POST /boxship/build`.
"""

from __future__ import annotations

import json
import select
import time
from collections.abc import Callable, Iterable, Iterator, Mapping

from boxship.cli.building.order import Order
from boxship.cli.call import Failure
from boxship.cli.daemon import Daemon, DaemonError, Object
from boxship.errors import BoxshipError
from boxship.transport.blocking import Address, Channel, open_channel
from boxship.wire.channels import DATA, END, MESSAGE, OPEN, PIECE_BYTES, ChannelReader, frame

ORDER, WANT, EVENT, DONE, FAILED = range(5)
OUTPUTS = 0x4000  # the number of the first output's stream
TICK_MILLISECONDS = 100
UPGRADE = {"Connection": "Upgrade", "Upgrade": "boxship-build"}

TYPE_CHECKING = False
if TYPE_CHECKING:
    from boxship.cli.building.outputs import FileSink, FolderSink

    Sinks = Mapping[int, FileSink | FolderSink]
else:
    Sinks = Mapping


class BuildError(BoxshipError):
    """The daemon says that the build failed; `fields` are what it tells of it."""

    def __init__(self, fields: Object) -> None:
        super().__init__(fields.get("message") or "")
        self.fields = fields


class Conversation:
    """One build. `take` gets each event's kind, fields and raw bytes; `tick` is called while nothing comes."""

    def __init__(
        self,
        daemon: Daemon,
        order: Order,
        sinks: Sinks,
        take: Callable[[str, Object, bytes], object],
        tick: Callable[[], object] | None,
    ) -> None:
        self._channel, self._first = connect(daemon)
        self._order = order
        self._sinks = sinks
        self._take = take
        self._tick = tick
        self._frames = ChannelReader()
        self._outgoing: list[bytes] = []
        self._unsent = memoryview(b"")
        self._sending: Iterator[bytes] = iter(())
        self._agents: dict[int, Channel] = {}
        self._over = False

    def run(self) -> None:
        """Until the daemon says how it ended. Raises BuildError."""
        body = json.dumps(self._order.body, separators=(",", ":")).encode()
        self._outgoing.append(frame(MESSAGE, ORDER, body))
        try:
            if self._first:
                self._receive(self._first)
            while not self._over:
                self._turn()
        finally:
            self._channel.close()
            for agent in self._agents.values():
                agent.close()

    def _turn(self) -> None:
        self._fill()
        poll = select.poll()
        poll.register(self._channel.fileno(), select.POLLIN | (select.POLLOUT if self._unsent else 0))
        agents = {agent.fileno(): number for number, agent in self._agents.items()}
        for descriptor in agents:
            poll.register(descriptor, select.POLLIN)
        wait = 0 if self._channel.pending() else TICK_MILLISECONDS if self._tick else None
        ready = dict(poll.poll(wait))
        if ready.get(self._channel.fileno(), 0) & ~select.POLLOUT or self._channel.pending():
            data = self._channel.receive_now()
            if data is not None:
                self._receive(data)
        if not self._over and self._unsent and ready.get(self._channel.fileno(), 0) & select.POLLOUT:
            self._send()
        for descriptor, number in agents.items():
            if descriptor in ready and number in self._agents:
                self._from_agent(number)
        if self._tick and not self._over:
            self._tick()

    # what goes up

    def _fill(self) -> None:
        """Have something to send, where there is anything."""
        while not self._unsent:
            if self._outgoing:
                self._unsent = memoryview(b"".join(self._outgoing))
                self._outgoing.clear()
                return
            piece = next(self._sending, None)
            if piece is None:
                return
            self._unsent = memoryview(piece)

    def _send(self) -> None:
        try:
            self._unsent = self._unsent[self._channel.send_some(self._unsent) :]
        except (BrokenPipeError, ConnectionResetError):
            self._unsent = memoryview(b"")  # why it hung up may still be read
            self._sending = iter(())

    def _contexts(self, wanted: list[int]) -> Iterator[bytes]:
        """Frames of all folders that the daemon asks for; told as a step, though it is one of ours."""
        began, total = time.monotonic(), 0
        self._tell("StepStarted", name="[internal] send build context")
        for number in wanted:
            for data in joined(self._order.folders[number].pieces()):
                total += len(data)
                self._tell("StepProgress", part="context", current=total)
                yield frame(DATA, number, data)
            yield frame(END, number)
        self._tell("StepFinished", seconds=time.monotonic() - began)

    def _tell(self, kind: str, **fields: object) -> None:
        event = {"type": kind, "step": "send", **fields}
        self._take(kind, event, json.dumps(event).encode())

    # what comes down

    def _receive(self, data: bytes) -> None:
        if not data:
            raise Failure("cannot build: the daemon closed the connection")
        try:
            for kind, number, payload in self._frames.feed(data):
                self._handle(kind, number, payload)
        except ValueError as error:
            raise Failure(f"cannot read the daemon's answer: {error}") from None

    def _handle(self, kind: int, number: int, payload: bytes) -> None:
        if kind == MESSAGE:
            self._message(number, payload)
        elif number in self._agents and kind in (DATA, END):
            self._to_agent(number, payload)
        elif kind == OPEN:
            self._open_agent(number, payload.decode("utf-8", "replace"))
        elif kind == DATA and number - OUTPUTS in self._sinks:
            self._sinks[number - OUTPUTS].write(payload)

    def _message(self, number: int, payload: bytes) -> None:
        fields = json.loads(payload)
        if number == EVENT:
            self._take(fields["type"], fields, payload)
        elif number == WANT:
            self._sending = self._contexts(fields) if fields else iter(())
        elif number == FAILED:
            self._over = True
            raise BuildError(fields)
        elif number == DONE:
            self._over = True

    # agents

    def _open_agent(self, number: int, identifier: str) -> None:
        try:
            self._agents[number] = open_channel(Address(path=self._order.agents[identifier]))
        except (KeyError, BoxshipError):
            self._outgoing.append(frame(END, number))

    def _to_agent(self, number: int, payload: bytes) -> None:
        """Their questions are short, so it is no matter that this waits for the agent to take them."""
        try:
            if payload:
                self._agents[number].send(payload)
                return
        except OSError:
            self._outgoing.append(frame(END, number))
        self._agents.pop(number).close()

    def _from_agent(self, number: int) -> None:
        data = self._agents[number].receive()
        self._outgoing.append(frame(DATA, number, data) if data else frame(END, number))
        if not data:
            self._agents.pop(number).close()


def joined(pieces: Iterable[bytes]) -> Iterator[bytes]:
    """Small pieces of an archive in bigger ones."""
    held: list[bytes] = []
    size = 0
    for piece in pieces:
        held.append(piece)
        size += len(piece)
        if size >= PIECE_BYTES:
            yield b"".join(held)
            held, size = [], 0
    if held:
        yield b"".join(held)


def connect(daemon: Daemon) -> tuple[Channel, bytes]:
    """The connection, taken over."""
    try:
        response = daemon.request("POST", "/boxship/build", headers=UPGRADE, own_connection=True)
    except DaemonError as error:
        if error.status == 404:
            raise Failure("cannot build: the daemon is no boxshipd that builds (it has no /boxship/build)") from None
        raise
    if response.status != 101:
        raise Failure(f"cannot build: the daemon answered {response.status} {response.reason}")
    return response.take_over()
