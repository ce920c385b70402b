"""Starts and ends the processes of a cluster: as systemd's units where they are installed, else in the background.

A background process leaves its id and the time of its start in a file, so that an id that the kernel has given to
somebody else in the meantime is never taken for ours.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

from boxship.cli.call import Failure

START_SECONDS = 30.0
STOP_SECONDS = 20.0
KILL_SECONDS = 5.0
LOOK_SECONDS = 0.01
LOG_LINES = 5  # of a process that did not start, shown in the error
UNITS = ("/etc/systemd/system", "/usr/lib/systemd/system", "/lib/systemd/system", "/usr/local/lib/systemd/system")


class Process:
    """One program of the cluster: `command` with its arguments, its pid file and its log. `unit` is systemd's name for
    it, where it would be used."""

    __slots__ = ("command", "log", "name", "pid_file", "unit")

    def __init__(self, name: str, command: list[str], run: Path, unit: str = "") -> None:
        self.name = name
        self.command = command
        self.pid_file = run / f"{name}.pid"
        self.log = run / f"{name}.log"
        self.unit = unit

    def running(self) -> int:
        """Its process id, or 0."""
        try:
            told = json.loads(self.pid_file.read_text())
            pid, started = int(told["pid"]), str(told["started"])
        except (OSError, ValueError, KeyError, TypeError):
            return 0
        return pid if started_at(pid) == started else 0

    def uses_systemd(self) -> bool:
        return bool(self.unit) and os.path.isdir("/run/systemd/system") and unit_installed(self.unit)

    def start(self) -> int:
        """Start it; the id of a background process, 0 for a unit. Raises Failure."""
        if self.uses_systemd():
            done = subprocess.run(["systemctl", "start", self.unit], capture_output=True, text=True, check=False)
            if done.returncode:
                raise Failure(f"cannot start {self.unit}: {done.stderr.strip()}")
            return 0
        self.log.parent.mkdir(parents=True, exist_ok=True, mode=0o711)
        with self.log.open("ab") as log:
            child = subprocess.Popen(
                self.command, stdin=subprocess.DEVNULL, stdout=log, stderr=log, start_new_session=True, cwd="/"
            )
        told = json.dumps({"pid": child.pid, "started": started_at(child.pid)})
        half = self.pid_file.with_suffix(".new")
        half.write_text(told)
        os.replace(half, self.pid_file)
        return child.pid

    def wait(self, ready: Callable[[], bool], seconds: float = START_SECONDS) -> None:
        """Wait until it is ready. Raises Failure with the log's end where it ends or takes too long."""
        deadline = time.monotonic() + seconds
        while not ready():
            if not self.uses_systemd() and self.ended():
                raise Failure(f"cannot start {self.name}: it ended at once; {self._said()}")
            if time.monotonic() > deadline:
                raise Failure(f"cannot start {self.name}: not ready within {seconds:g} s; {self._said()}")
            time.sleep(LOOK_SECONDS)

    def ended(self) -> bool:
        """Whether the process of the pid file is gone or dead; reaps it where it is our child."""
        pid = self.running()
        if not pid:
            return True
        try:
            return os.waitpid(pid, os.WNOHANG)[0] == pid
        except ChildProcessError:
            return False

    def stop(self) -> bool:
        """End it; whether it was there. It gets time to end by itself."""
        if self.uses_systemd():
            done = subprocess.run(["systemctl", "stop", self.unit], capture_output=True, text=True, check=False)
            if done.returncode:
                raise Failure(f"cannot stop {self.unit}: {done.stderr.strip()}")
            return True
        pid = self.running()
        if not pid:
            self.pid_file.unlink(missing_ok=True)
            return False
        for number, seconds in ((signal.SIGTERM, STOP_SECONDS), (signal.SIGKILL, KILL_SECONDS)):
            try:
                os.kill(pid, number)
            except ProcessLookupError:
                break
            deadline = time.monotonic() + seconds
            while not self.ended() and time.monotonic() < deadline:
                time.sleep(LOOK_SECONDS)
            if self.ended():
                break
        else:
            raise Failure(f"cannot stop {self.name}: process {pid} is still there")
        self.pid_file.unlink(missing_ok=True)
        return True

    def _said(self) -> str:
        try:
            lines = self.log.read_text(errors="replace").splitlines()[-LOG_LINES:]
        except OSError:
            lines = []
        return f"the end of {self.log}:\n  " + "\n  ".join(lines) if lines else f"{self.log} is empty"


def unit_installed(unit: str) -> bool:
    return any(os.path.exists(f"{folder}/{unit}") for folder in UNITS)


def started_at(pid: int) -> str:
    """The time of a process's start in the kernel's ticks (proc(5), stat, field 22); "" where it is not there or is
    dead and only not yet reaped."""
    try:
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except OSError:
        return ""
    return "" if fields[0] in ("Z", "X") else fields[19]


def program(name: str) -> str:
    """The path of one of our own programs: beside this one, wherever it was installed."""
    beside = Path(sys.argv[0]).resolve().parent / name
    if beside.exists():
        return str(beside)
    beside = Path(sys.executable).parent / name
    if beside.exists():
        return str(beside)
    raise Failure(f"cannot start {name}: it is not installed beside {sys.argv[0]}")
