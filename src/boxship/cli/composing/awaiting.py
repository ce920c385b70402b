"""Waiting until a container is what others need it to be, with the reason when it cannot become so."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

from boxship.cli.composing.reach import Reach
from boxship.cli.daemon import DaemonError
from boxship.cli.text import visible
from boxship.cli.times import is_missing, parse_time
from boxship.compose.planning.actions import AwaitContainer, WatchContainer
from boxship.compose.running.host import News
from boxship.errors import Conflict, NotFound, Timeout
from boxship.spec.duration import SECOND

Object = dict[str, Any]
FIRST_PAUSE, LONGEST_PAUSE = 0.02, 0.25  # seconds between two looks
SETTLING_SECONDS = 0.5  # what has no health check is to run so long before it counts as up
OUTPUT_CHARACTERS = 400


def await_container(reach: Reach, action: AwaitContainer, tell: Callable[[News], None]) -> None:
    """Return when the condition holds. Raises Conflict when it cannot come true any more, Timeout when it is late."""
    began, pause, said = time.monotonic(), FIRST_PAUSE, ""
    restarts: int | None = None
    while True:
        record = look(reach, action.container, action.name)
        count = record.get("RestartCount") or 0
        if action.steady and count > (count if restarts is None else restarts):
            raise Conflict(f"container {action.name} ended and was restarted")
        restarts = count
        if action.checked and not _has_check(record):
            raise Conflict(f"container {action.name} has no healthcheck configured")
        verdict = judge(record, action.condition, action.name)
        if verdict is None and action.condition == "healthy" and not _has_check(record) and is_young(record):
            time.sleep(LONGEST_PAUSE)  # many a wrong command ends at once
            continue
        if verdict is None:
            return
        if verdict != said:
            tell(News(verdict))
            said = verdict
        passed = time.monotonic() - began
        if action.seconds is not None and passed >= action.seconds:
            raise Timeout(f"container {action.name} is not {action.condition} after {action.seconds:g} s: {verdict}")
        time.sleep(pause)
        pause = min(pause * 1.5, LONGEST_PAUSE)


def is_young(record: Object, now: float | None = None) -> bool:
    """Whether it was started a moment ago. A daemon with another clock is believed to have started it earlier."""
    started = (record.get("State") or {}).get("StartedAt") or ""
    if is_missing(started):
        return False
    age = (time.time() if now is None else now) - parse_time(started) / SECOND
    return 0 <= age < SETTLING_SECONDS


def _has_check(record: Object) -> bool:
    check = (record.get("Config") or {}).get("Healthcheck") or {}
    return bool((record.get("State") or {}).get("Health")) or (check.get("Test") or ["NONE"])[0] != "NONE"


def look(reach: Reach, container: str, name: str) -> Object:
    try:
        found = reach.daemon.get(f"/containers/{container}/json")
    except DaemonError as error:
        if error.status == 404:
            raise NotFound(f"container {name} is gone") from None
        raise
    assert isinstance(found, dict)
    return found


def judge(record: Object, condition: str, name: str) -> str | None:
    """None: it is so; a text: what is still missing. Raises Conflict when it cannot become so."""
    state = record.get("State") or {}
    health = state.get("Health") or {}
    running = bool(state.get("Running")) and not state.get("Restarting")
    ended = state.get("Status") in ("exited", "dead")
    if condition == "completed":
        if ended and state.get("ExitCode") == 0:
            return None
        if ended:
            raise Conflict(exit_sentence(record, name))
        return "running" if running else str(state.get("Status") or "waiting")
    if condition == "started":
        return None if running or not is_missing(state.get("StartedAt") or "") else "created"
    if ended:
        raise Conflict(exit_sentence(record, name))
    kind = health.get("Status") or "none"
    if kind == "unhealthy":
        raise Conflict(f"container {name} is unhealthy{probe_text(health)}")
    if kind == "none":
        group = (record.get("Boxship") or {}).get("Group") or {}
        if running and group.get("Ready") is False:
            return "not listening yet"
        return None if running else str(state.get("Status") or "waiting")
    return None if kind == "healthy" else f"health: {kind}"


def probe_text(health: Object) -> str:
    """What the last probe said, as the end of a sentence."""
    last = (health.get("Log") or [{}])[-1]
    output = " ".join(visible(last.get("Output") or "").split())[:OUTPUT_CHARACTERS]
    code = last.get("ExitCode")
    if not output:
        return f": the last probe exited with {code}" if code is not None else ""
    return f": {output}"


def exit_sentence(record: Object, name: str) -> str:
    state = record.get("State") or {}
    why = " (out of memory)" if state.get("OOMKilled") else f": {state['Error']}" if state.get("Error") else ""
    return f"container {name} exited ({state.get('ExitCode', 0)}){why}"


def watch_container(reach: Reach, action: WatchContainer) -> None:
    """Raises Conflict when the container ends, restarts or gets unhealthy within the time."""
    until = time.monotonic() + action.seconds
    restarts = look(reach, action.container, action.name).get("RestartCount") or 0
    while True:
        record = look(reach, action.container, action.name)
        state = record.get("State") or {}
        if not state.get("Running") or state.get("Restarting"):
            raise Conflict(exit_sentence(record, action.name))
        if (record.get("RestartCount") or 0) > restarts:
            raise Conflict(f"container {action.name} restarted")
        if ((state.get("Health") or {}).get("Status")) == "unhealthy":
            raise Conflict(f"container {action.name} is unhealthy{probe_text(state['Health'])}")
        left = until - time.monotonic()
        if left <= 0:
            return
        time.sleep(min(left, LONGEST_PAUSE))
