"""`logs`: what containers said, in the order of time over all of them, and what they go on to say."""

from __future__ import annotations

import heapq
import queue
import time
from collections.abc import Callable, Iterator

from boxship.cli.composing.following import Following, Source, read_lines
from boxship.cli.composing.observing import first_name
from boxship.cli.composing.opening import Opening
from boxship.cli.composing.printing import LogPrinter, short_name
from boxship.cli.composing.seen import containers, labels_of, number_of, service_of
from boxship.cli.daemon import Object
from boxship.cli.terminal import is_terminal
from boxship.cli.times import parse_time, timestamp
from boxship.compose.model import Project
from boxship.spec.duration import SECOND

RUNNING = ("running", "restarting", "paused")
LOOK_SECONDS = 1.0
AGAIN_SECONDS = 1.0
Entry = tuple[int, int, bytes, bytes, int]  # time, the container's place, stamp, text, stream


def printer_of(opening: Opening, errors: int = 1) -> LogPrinter:
    options = opening.call.options
    ansi = opening.call.group.text("ansi") if opening.call.group.has("ansi") else "auto"
    color = ansi == "always" or (ansi != "never" and is_terminal(1) and not opening.call.environment.get("NO_COLOR"))
    return LogPrinter(
        opening.screen,
        prefix=not options.on("no-log-prefix"),
        timestamps=options.on("timestamps"),
        color=color and not options.on("no-color"),
        errors=errors,
    )


def name_of(item: Object) -> str:
    return short_name(first_name(item), labels_of(item))


def show_logs(opening: Opening, found: list[Object]) -> dict[str, int]:
    """Write what was said, the earliest first; the time after the last line of each container by its id."""
    printer = printer_of(opening)
    after: dict[str, int] = {}
    for item in found:
        printer.know(name_of(item))
    readings = [_entries(opening, item, place) for place, item in enumerate(found)]
    for moment, place, stamp, text, stream in heapq.merge(*readings, key=lambda entry: entry[0]):
        printer.line(name_of(found[place]), stamp, text, stream)
        after[found[place]["Id"]] = moment + 1
    return after


def _entries(opening: Opening, item: Object, place: int) -> Iterator[Entry]:
    options = opening.call.options
    since = options.text("since")
    until = timestamp(options.text("until")) if options.text("until") else ""
    begin = _nanoseconds(timestamp(since)) if since else 0
    moment = begin
    lines = read_lines(opening.host, item["Id"], begin, tail=options.text("tail"), until=until)
    for stamp, text, stream in lines:
        moment = parse_time(stamp.decode()) if stamp else moment
        yield moment, place, stamp, text, stream


def _running(opening: Opening, project: Project, services: set[str], index: int) -> bool:
    found = containers(opening, project, stopped=False)
    return any((not services or service_of(one) in services) and index in (0, number_of(one)) for one in found)


def lives_on(alive: Callable[[], bool]) -> bool:
    """Whether something runs: what is between an end and the next start is not taken for the end of all."""
    until = time.monotonic() + AGAIN_SECONDS
    while not alive():
        if time.monotonic() > until:
            return False
        time.sleep(AGAIN_SECONDS / 10)
    return True


def _nanoseconds(text: str) -> int:
    whole, _, fraction = text.partition(".")
    return int(whole) * SECOND + int(fraction[:9].ljust(9, "0") or "0")


def follow_logs(opening: Opening, project: Project, found: list[Object]) -> int:
    """Until nothing runs any more, or Ctrl-C."""
    services = set(opening.call.arguments)
    index = opening.call.options.number("index")
    happenings: queue.Queue[None] = queue.Queue()

    def ended(source: Source, code: int, again: bool) -> None:
        happenings.put(None)

    following = Following(
        opening.host,
        project.name,
        lambda service: not services or service in services,
        printer_of(opening),
        ended=ended,
        number=index,
    )
    following.watch()
    began = time.time_ns()
    after = show_logs(opening, found)
    running = False
    for item in found:
        if item.get("State") in RUNNING:
            running = True
            following.add(item["Id"], name_of(item), service_of(item), after.get(item["Id"], began))
    while running:
        try:
            happenings.get(timeout=LOOK_SECONDS)
        except queue.Empty:
            if following.broken:
                raise BrokenPipeError from None
            if not following.lost:
                continue
            following.resume()
        running = lives_on(lambda: _running(opening, project, services, index))
    following.drain_all()
    return 0
