"""What is known of everything that is being done: one row for each thing, kept from events. It writes nothing."""

from __future__ import annotations

from collections.abc import Callable, Container

from boxship.compose.running.view import Event

WAITING, WORKING, DONE, WARNING, FAILED, CANCELED = "waiting", "working", "done", "warning", "failed", "canceled"


class Row:
    """One thing ("Container demo-web-1"). `began` is 0 until something is done with it; `seconds` counts to the end."""

    def __init__(self, subject: str, service: str) -> None:
        self.subject = subject
        self.service = service
        self.state = WAITING
        self.text = ""
        self.reason = ""
        self.current = 0
        self.total = 0
        self.began = 0.0
        self.seconds = 0.0
        self.working: set[int] = set()


class Rows:
    """All rows, in the order in which they were heard of."""

    def __init__(self, clock: Callable[[], float]) -> None:
        self.clock = clock
        self.all: dict[str, Row] = {}
        self.began = clock()

    def take(self, event: Event) -> Row:
        """Keep an event; the row that it is about."""
        row = self.all.get(event.subject)
        if row is None:
            row = self.all[event.subject] = Row(event.subject, event.service)
        row.reason = event.reason or row.reason
        if event.state == WAITING:
            if not row.began and not row.text:
                row.text = event.text
            return row
        if not row.began:
            row.began = self.clock()
        if event.state == WORKING:
            row.working.add(event.step)
        else:
            row.working.discard(event.step)
            row.seconds = self.clock() - row.began
        # A thing may be in two steps at once: what goes on hides what ended, but a failure shows.
        if event.state in (FAILED, WORKING) or not row.working:
            row.state, row.text = event.state, event.text
            row.current, row.total = event.current, event.total
        return row

    def elapsed(self, row: Row) -> float:
        return self.clock() - row.began if row.working else row.seconds

    def counts(self, waiting: Container[str]) -> tuple[int, int]:
        """Rows that are through, and all; those that wait for others have more to come."""
        over = sum(row.state not in (WAITING, WORKING) and row.subject not in waiting for row in self.all.values())
        return over, len(self.all)
