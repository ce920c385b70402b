"""Up and down: which processes there should be, and the way there. Both can be repeated at any time."""

from __future__ import annotations

import contextlib
import fcntl
from collections.abc import Callable, Iterator

from boxship.cli.call import Failure
from boxship.cli.cluster.members import (
    Record,
    control_answers,
    control_process,
    engine_answers,
    engine_process,
)
from boxship.cli.cluster.places import PORT, Places
from boxship.errors import BoxshipError
from boxship.transport.blocking import Address, open_channel

Say = Callable[[str], object]


@contextlib.contextmanager
def alone(places: Places) -> Iterator[None]:
    """Only one up or down of a cluster at a time. Raises Failure where the roots cannot be made."""
    try:
        places.run.mkdir(parents=True, exist_ok=True, mode=0o711)
        places.data.mkdir(parents=True, exist_ok=True, mode=0o711)
        lock = places.lock.open("a")
    except OSError as error:
        raise Failure(f"cannot use {error.filename}: {(error.strerror or '').lower()}") from None
    with lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def bring_up(places: Places, *, port: int, extra: tuple[str, ...], engine: bool, wait: bool, say: Say) -> int:
    """Start what is not running; the port of the API."""
    with alone(places):
        known = Record.read(places.record)
        record = Record(port or (known.port if known else PORT), extra or (known.extra if known else ()), engine)
        control = control_process(places, record)
        running = control.running() or control_answers(places, record.port, "/livez")
        if running and known and (known.port, known.extra) != (record.port, record.extra):
            raise Failure(
                f"cannot change the cluster in {places.run}: it runs on port {known.port}; "
                "take it down first: boxship cluster down"
            )
        if not running:
            _check_port(record.port)
        record.write(places.record)
        started = []
        if engine and not engine_answers(places):
            started.append((engine_process(places), lambda: engine_answers(places)))
        elif engine:
            say("boxshipd is running")
        if not running:
            started.append((control, lambda: control_answers(places, record.port)))
        else:
            say("boxship-control is running")
        for process, _ in started:
            pid = process.start()
            say(f"started {process.name} ({f'process {pid}' if pid else f'systemd unit {process.unit}'})")
        if wait:
            for process, ready in started:
                process.wait(ready)
            if running:
                control.wait(lambda: control_answers(places, record.port))
        return record.port


def _check_port(port: int) -> None:
    """Raises Failure where somebody else has the port: the process's own error would come too late to be seen."""
    try:
        open_channel(Address(host="127.0.0.1", port=port)).close()
    except BoxshipError:
        return
    raise Failure(f"cannot listen on 127.0.0.1:{port}: somebody else does; choose another port: --port N")


def take_down(places: Places, say: Say) -> bool:
    """End the processes that `up` started; whether there were any. Data and containers stay."""
    if not places.run.exists():
        return False
    with alone(places):
        record = Record.read(places.record) or Record()
        processes = [control_process(places, record)]
        if record.engine:
            processes.append(engine_process(places))
        any_was_there = False
        for process in processes:
            if process.uses_systemd() or process.running():
                process.stop()
                any_was_there = True
                say(f"stopped {process.name}")
            else:
                say(f"{process.name} was not started by boxship cluster up, or is not running")
        return any_was_there
