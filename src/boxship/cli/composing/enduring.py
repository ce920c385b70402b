"""Waiting for the ends of containers, all at once: each on a connection of its own."""

from __future__ import annotations

import queue
import threading

from boxship.cli.composing.opening import Opening
from boxship.cli.daemon import Object
from boxship.cli.waiting import Wait
from boxship.errors import BoxshipError


def wait_for_first(opening: Opening, found: list[Object]) -> int:
    """The exit code of the one that ends first."""
    return _told(opening, _waits(opening, found).get())


def wait_for_all(opening: Opening, found: list[Object]) -> int:
    """The exit code of the one that ends last."""
    ends, code = _waits(opening, found), 0
    for _ in found:
        code = _told(opening, ends.get())
    return code


def _waits(opening: Opening, found: list[Object]) -> queue.Queue[tuple[str, int | BoxshipError]]:
    ends: queue.Queue[tuple[str, int | BoxshipError]] = queue.Queue()

    def wait(container: str) -> None:
        try:
            ends.put((container, Wait(opening.host.reach.daemon, container, "").exit_code()))
        except BoxshipError as error:
            ends.put((container, error))

    for item in found:
        threading.Thread(target=wait, args=(item["Id"],), daemon=True).start()
    return ends


def _told(opening: Opening, end: tuple[str, int | BoxshipError]) -> int:
    container, code = end
    if isinstance(code, BoxshipError):
        raise code
    opening.call.line(f'container "{container}" exited with status code {code}')
    return code
