"""Up and down: which processes there should be, and the way there. Both can be repeated at any time."""

from __future__ import annotations

import contextlib
import fcntl
import shutil
from collections.abc import Callable, Iterator

from boxship.cli.call import Failure
from boxship.cli.cluster.members import (
    Record,
    control_answers,
    control_process,
    engine_answers,
    engine_process,
)
from boxship.cli.cluster.places import Places
from boxship.cli.daemon import Daemon, DaemonError
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


def bring_up(
    places: Places, *, port: int, host: str, extra: tuple[str, ...], engine: bool, wait: bool, say: Say
) -> Record:
    """Start what is not running; where the API listens."""
    with alone(places):
        known = Record.read(places.record) or Record()
        record = Record(port or known.port, extra or known.extra, engine, host or known.host)
        control = control_process(places, record)
        running = control.running() or control_answers(places, record, "/livez")
        if running and (known.host, known.port, known.extra) != (record.host, record.port, record.extra):
            raise Failure(
                f"cannot change the cluster in {places.run}: it runs on port {known.port}; "
                "take it down first: boxship cluster down"
            )
        if not running:
            _check_place(record)
        record.write(places.record)
        started = []
        if engine and not engine_answers(places):
            started.append((engine_process(places), lambda: engine_answers(places)))
        elif engine:
            say("boxshipd is running")
        if not running:
            started.append((control, lambda: control_answers(places, record)))
        else:
            say("boxship-control is running")
        for process, _ in started:
            pid = process.start()
            say(f"started {process.name} ({f'process {pid}' if pid else f'systemd unit {process.unit}'})")
        if wait:
            for process, ready in started:
                process.wait(ready)
            if running:
                control.wait(lambda: control_answers(places, record))
        return record


def _check_place(record: Record) -> None:
    """Raises Failure where somebody else has the port: the process's own error would come too late to be seen."""
    try:
        open_channel(Address(host=record.host, port=record.port)).close()
    except BoxshipError:
        return
    raise Failure(f"cannot listen on {record.host}:{record.port}: somebody else does; choose another port: --port N")


def purge(places: Places, say: Say) -> None:
    """This machine is no node any more, and the cluster forgets everything; images and other containers stay. Before
    its processes end, as far as they run."""
    if engine_answers(places):
        daemon = Daemon(Address(path=str(places.engine_socket)))
        try:
            daemon.delete("/boxship/node")
            say("took away the node's pods")
        except DaemonError as error:
            if error.status != 404:
                raise


def forget(places: Places, say: Say) -> None:
    """Take the control plane's data away. Its process has ended."""
    for folder in (places.control_data, places.control_run):
        shutil.rmtree(folder, ignore_errors=True)
    places.record.unlink(missing_ok=True)
    say("took away the cluster's data")


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
