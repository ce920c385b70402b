"""The lines of a project's containers as they come: those that are there, those that start later, and those that start
again. Nothing is shown twice and nothing is left out, as every reading begins after the last line that was seen.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from typing import Any

from boxship.cli.composing.host import HttpHost
from boxship.cli.composing.printing import LineCutter, LogPrinter, short_name
from boxship.cli.times import parse_time
from boxship.compose.planning.observed import LABEL_NUMBER, LABEL_ONE_OFF, LABEL_SERVICE
from boxship.errors import BoxshipError

Object = dict[str, Any]
SECOND = 1_000_000_000
RETURN_SECONDS = 15.0  # in which a daemon that went away is restarted


def moment_text(nanoseconds: int) -> str:
    return f"{nanoseconds // SECOND}.{nanoseconds % SECOND:09d}"


class Source:
    """One container. `since` is the time of the first line that is still wanted, in nanoseconds since the epoch."""

    def __init__(self, identifier: str, name: str, service: str, since: int) -> None:
        self.id = identifier
        self.name = name
        self.service = service
        self.since = since
        self.reading = False
        self.again = False  # it started while the end of what it said before was still being read


class Following:
    """Follows services of a project in threads of its own. `ended` is called with each container that ends: its source,
    its exit code and whether it is started again by the engine."""

    def __init__(
        self,
        host: HttpHost,
        project: str,
        wanted: Callable[[str], bool],
        printer: LogPrinter,
        *,
        ended: Callable[[Source, int, bool], None] | None = None,
        shown: Callable[[str], bool] = lambda service: True,
        number: int = 0,
    ) -> None:
        self._host = host
        self._project = project
        self._wanted = wanted
        self._printer = printer
        self._ended = ended
        self._shown = shown
        self._number = number  # of each service's containers; 0: all of them
        self._endings = 0
        self._lock = threading.Lock()
        self.sources: dict[str, Source] = {}
        self._readers = 0
        self._quiet = threading.Condition(self._lock)
        self.broken = False  # whoever read our output has gone
        self.lost = False  # the daemon has gone: nothing more is heard until `resume`

    def add(self, identifier: str, name: str, service: str, since: int) -> Source:
        """A container that is there; its lines from `since` on."""
        with self._lock:
            source = self.sources.get(identifier)
            if source is None:
                source = self.sources[identifier] = Source(identifier, name, service, since)
                if self._shown(service):
                    self._printer.know(name)
            elif source.reading:
                source.again = True
                return source
            if not self._shown(service):
                return source
            source.reading = True
            self._readers += 1
        threading.Thread(target=self._read, args=(source,), daemon=True).start()
        return source

    def watch(self) -> None:
        """Take up what starts from now on, until the daemon goes away. Returns when the daemon listens."""
        ready = threading.Event()
        threading.Thread(target=self._watch, args=(ready,), daemon=True).start()
        ready.wait(10)

    def resume(self, hopeless: Callable[[], bool] = lambda: False) -> None:
        """Go on where the daemon was restarted: every container from its last line on. It has a while to come back,
        unless it is `hopeless`; then Unavailable is raised."""
        deadline = time.monotonic() + RETURN_SECONDS
        while True:
            try:
                self._host.reach.daemon.get("/version")
                break
            except (BoxshipError, OSError):
                if hopeless() or time.monotonic() > deadline:
                    raise
            time.sleep(0.1)
        self.drain_all(2.0)
        self.lost = False
        self.watch()
        for source in list(self.sources.values()):
            self.add(source.id, source.name, source.service, source.since)

    def _watch(self, ready: threading.Event) -> None:
        try:
            events = self._host.listen(self._project)
            ready.set()
            for event in events:
                self._take(event)
        except (BoxshipError, OSError, ValueError):
            pass  # told by `lost`
        finally:
            self.lost = True
            ready.set()

    def _take(self, event: Object) -> None:
        labels = (event.get("Actor") or {}).get("Attributes") or {}
        identifier, action = event["Actor"]["ID"], event.get("Action")
        service = labels.get(LABEL_SERVICE, "")
        if labels.get(LABEL_ONE_OFF) == "True" or not self._wanted(service):
            return
        if self._number and labels.get(LABEL_NUMBER) != str(self._number):
            return
        if action == "start":
            moment = int(event.get("timeNano") or time.time_ns())
            # The engine tells of a start after it: what was said in between belongs to it.
            self.add(identifier, short_name(labels.get("name", ""), labels), service, moment - SECOND)
        elif action == "die" and self._ended:
            known = self.sources.get(identifier)
            if known is not None:
                code = labels.get("exitCode") or "0"
                with self._lock:
                    self._endings += 1
                threading.Thread(target=self._end, args=(known, int(code)), daemon=True).start()

    def _end(self, source: Source, code: int) -> None:
        again = False
        try:
            state = self._host.inspect(source.id).get("State") or {}
            again = bool(state.get("Restarting") or state.get("Running"))
        except (BoxshipError, OSError):
            again = False  # it is gone
        self.drain(source)
        assert self._ended is not None
        self._ended(source, code, again)
        with self._lock:
            self._endings -= 1

    def ending(self) -> bool:
        """Whether an end was heard of that was not told yet."""
        return self._endings > 0

    def names(self) -> list[str]:
        """Of all containers whose output is shown."""
        with self._lock:
            return [source.name for source in self.sources.values() if self._shown(source.service)]

    def drain(self, source: Source, seconds: float = 2.0) -> None:
        """Wait until everything that it said is shown."""
        with self._quiet:
            self._quiet.wait_for(lambda: not source.reading or source.again, seconds)

    def drain_all(self, seconds: float = 5.0) -> None:
        with self._quiet:
            self._quiet.wait_for(lambda: self._readers == 0, seconds)

    def _read(self, source: Source) -> None:
        try:
            while True:
                for stamp, text, stream in read_lines(self._host, source.id, source.since, follow=True):
                    if stamp:
                        source.since = max(source.since, parse_time(stamp.decode()) + 1)
                    self._printer.line(source.name, stamp, text, stream)
                with self._quiet:
                    if not source.again:  # decided and told at once: a start must find a reader, or begin one
                        self._leave(source)
                        return
                    source.again = False
        except (BoxshipError, OSError, ValueError) as error:  # the container, the daemon or our reader is gone
            self.broken |= isinstance(error, BrokenPipeError)
            with self._quiet:
                self._leave(source)

    def _leave(self, source: Source) -> None:
        source.reading = False
        self._readers -= 1
        self._quiet.notify_all()


def read_lines(
    host: HttpHost,
    container: str,
    since: int,
    *,
    follow: bool = False,
    tail: str = "all",
    until: str = "",
) -> Iterator[tuple[bytes, bytes, int]]:
    """(stamp, text, stream) of what a container said."""
    record = host.inspect(container)
    tty = bool((record.get("Config") or {}).get("Tty"))
    if follow and ((record.get("HostConfig") or {}).get("LogConfig") or {}).get("Type") == "none":
        yield from _attached(host, container, LineCutter(tty))
        return
    query = {
        "stdout": True,
        "stderr": True,
        "timestamps": True,
        "follow": follow or None,
        "since": moment_text(since) if since else None,
        "until": until or None,
        "tail": tail,
    }
    response = host.reach.daemon.request("GET", f"/containers/{container}/logs", query, own_connection=True)
    cutter = LineCutter(tty)
    try:
        for piece in response.pieces():
            yield from cutter.feed(piece)
        yield from cutter.end()
    finally:
        response.close()


def _attached(host: HttpHost, container: str, cutter: LineCutter) -> Iterator[tuple[bytes, bytes, int]]:
    """What a container without a log says from now on."""
    response = host.reach.daemon.request(
        "POST",
        f"/containers/{container}/attach",
        {"stream": True, "stdout": True, "stderr": True},
        headers={"Connection": "Upgrade", "Upgrade": "tcp"},
        own_connection=True,
    )
    channel, data = response.take_over()
    try:
        while True:
            yield from cutter.feed(data)
            data = channel.receive()
            if not data:
                break
        yield from cutter.end()
    finally:
        channel.close()
