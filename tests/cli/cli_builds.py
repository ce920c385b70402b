"""A daemon's door with a builder that plays a script, on a real unix socket, served by a thread."""

import asyncio
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from boxship.builder.contexts import Contexts
from boxship.doors.docker.builds import Builds
from boxship.doors.docker.door import Door
from boxship.transport.listen import UnixAddress
from boxship.transport.server import Server
from fake_builder import FakeBuilder


class BuildServer:
    """The server. `builder.script` may hold events, exceptions and `server.event()` objects."""

    def __init__(self, folder: Path) -> None:
        self.builder = FakeBuilder()
        self.url = f"unix://{folder}/d.sock"
        self.contexts = folder / "contexts"
        self._path = folder / "d.sock"
        self._loop = asyncio.new_event_loop()
        self._ready = threading.Event()
        self._stop = asyncio.Event()
        self._thread = threading.Thread(target=lambda: self._loop.run_until_complete(self._serve()), daemon=True)

    async def _serve(self) -> None:
        contexts = Contexts(self.contexts)
        await contexts.recover()
        door = Door(object(), Builds(self.builder, contexts))  # type: ignore[arg-type]
        server = Server(door.handle)
        await server.start([UnixAddress(self._path, 0o600, None)])
        self._ready.set()
        await self._stop.wait()
        await server.stop()

    def start(self) -> None:
        self._thread.start()
        assert self._ready.wait(10)

    def call(self, function: object) -> None:
        """Call something in the server's loop."""
        self._loop.call_soon_threadsafe(function)  # type: ignore[arg-type]

    def stop(self) -> None:
        self.call(self._stop.set)
        self._thread.join(10)

    def left(self) -> list[str]:
        return [path.name for path in self.contexts.iterdir() if path.name != ".trash"]


@contextmanager
def serving(folder: Path) -> Iterator[BuildServer]:
    server = BuildServer(folder)
    server.start()
    try:
        yield server
    finally:
        server.stop()
