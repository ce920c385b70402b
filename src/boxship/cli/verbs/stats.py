"""boxship stats: what containers use, live.

On a terminal the table is redrawn in place. Elsewhere the header is written once, and then a line for each container
every second.
"""

from __future__ import annotations

import json
import sys
import threading
import time
from collections.abc import Callable

from boxship.cli.call import Call, Failure
from boxship.cli.daemon import Object
from boxship.cli.escape import escape
from boxship.cli.flags import Command, Flag
from boxship.cli.stats_numbers import listing
from boxship.cli.terminal import is_terminal
from boxship.errors import BoxshipError

COMMAND = Command(
    "[CONTAINER...]",
    (
        Flag("-a, --all", "Show all containers (default shows just running)"),
        Flag("--format string", "Format output: 'table', 'table TEMPLATE', 'json' or a Go template"),
        Flag("--no-stream", "Disable streaming stats and only pull the first result"),
        Flag("--no-trunc", "Do not truncate output"),
    ),
    most=None,
    completes=("running",),
)
REDRAW_SECONDS = 0.5
LINES_SECONDS = 1.0
FIRST_SECONDS = 5.0  # how long the first samples may take before rows without them are shown
CLEAR, HOME, CLEAR_LINE, CLEAR_REST = "\x1b[2J", "\x1b[H", "\x1b[K", "\x1b[J"


class Follower(threading.Thread):
    """Reads one container's samples; the newest is in `row`."""

    def __init__(self, call: Call, container: str, stream: bool) -> None:
        super().__init__(daemon=True)
        self.row: Object = {"Id": "", "Name": "", "Container": container, "Sample": None}
        self.error: BoxshipError | None = None
        self.ended = False
        self.first = threading.Event()
        self._call = call
        self._stream = stream

    def run(self) -> None:
        path = f"/containers/{escape(self.row['Container'])}/stats"
        try:
            response = self._call.daemon.request("GET", path, {"stream": self._stream}, own_connection=True)
            for line in response.lines():
                sample = json.loads(line)
                name = (sample.get("name") or "").removeprefix("/")
                self.row = {**self.row, "Id": sample.get("id") or "", "Name": name, "Sample": sample}
                self.first.set()
        except BoxshipError as error:
            self.error = error
        finally:
            self.ended = True
            self.first.set()


def run(call: Call) -> int:
    options = call.options
    call.daemon.settle()  # the threads share the daemon: nothing about it may change any more
    followers: dict[str, Follower] = {}
    stream = not options.on("no-stream")
    _follow(call, followers, stream)
    deadline = time.monotonic() + FIRST_SECONDS
    for follower in followers.values():
        follower.first.wait(max(0.0, deadline - time.monotonic()))
    for follower in followers.values():
        if call.arguments and follower.error:
            raise Failure(str(follower.error))
    render = listing(options.on("no-trunc")).render
    form = options.text("format")
    if not stream:
        call.write(render(_rows(followers), form))
        return 0
    if is_terminal(1):
        return _redraw(call, followers, lambda: render(_rows(followers), form))
    return _write_lines(call, followers, lambda: render(_rows(followers), form), form)


def _follow(call: Call, followers: dict[str, Follower], stream: bool) -> None:
    """Take up containers that are new, drop those that are gone."""
    if call.arguments:
        wanted = call.arguments
    else:
        found = call.daemon.get("/containers/json", {"all": call.options.on("all") or None})
        wanted = [container["Id"] for container in found]
    for name in wanted:
        if name not in followers:
            followers[name] = Follower(call, name, stream)
            followers[name].start()
    for name in [name for name in followers if name not in wanted]:
        del followers[name]


def _rows(followers: dict[str, Follower]) -> list[Object]:
    return [{**f.row, "Id": f.row["Id"] or f.row["Container"]} for f in followers.values() if not f.error]


def _alive(call: Call, followers: dict[str, Follower]) -> bool:
    return not call.arguments or any(not follower.ended for follower in followers.values())


def _redraw(call: Call, followers: dict[str, Follower], render: Callable[[], str]) -> int:
    call.write(CLEAR)
    while True:
        call.write(HOME + render().replace("\n", CLEAR_LINE + "\n") + CLEAR_REST)
        sys.stdout.flush()
        if not _alive(call, followers):
            return 0
        time.sleep(REDRAW_SECONDS)
        _follow(call, followers, True)


def _write_lines(call: Call, followers: dict[str, Follower], render: Callable[[], str], form: str) -> int:
    call.write(render())
    headed = not form or form.startswith("table")
    while True:
        sys.stdout.flush()
        if not _alive(call, followers):
            return 0
        time.sleep(LINES_SECONDS)
        _follow(call, followers, True)
        text = render()
        call.write(text.partition("\n")[2] if headed else text)
