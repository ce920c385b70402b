"""The program haproxy: a master and its worker, started by us, on their own afterwards. A daemon that was killed finds
them again by process id and start time; a daemon that ends leaves them at work.

Its files lie in a folder for each generation, and a link says which one counts: the master reads them anew at a signal,
hands the sockets from the old worker to the new one, and lets the old one finish what it has begun.
"""

import asyncio
import contextlib
import logging
import os
import shutil
import signal
import subprocess
from collections.abc import Mapping
from pathlib import Path

import msgspec

from boxship.errors import BoxshipError, Internal, Invalid, NotFound, Timeout
from boxship.transport.commands import command

log = logging.getLogger(__name__)

PROGRAM = "haproxy"
CURRENT, CONFIGURATION = "current", "haproxy.cfg"
CHECK_SECONDS = 20.0
WORKER_SECONDS = 10.0  # until a new worker serves
LOOK_SECONDS = 0.01
BATCH = 100  # commands at once


class _Mark(msgspec.Struct, frozen=True):
    """Who it is: a process id alone may be somebody else's by now."""

    pid: int
    started: str


class Haproxy:
    """One, with its files below `folder`."""

    def __init__(self, folder: Path, program: str = PROGRAM) -> None:
        self._folder = folder
        self._program = program
        self._mark: _Mark | None = None
        self.socket = folder / "haproxy.sock"

    def find(self) -> bool:
        """Find again what an earlier daemon started; whether it lives. Where that daemon was killed before it could
        write down whom it had started, haproxy itself has."""
        mark = self._written()
        if mark is None or not mark.started or _started(mark.pid) != mark.started:
            mark = self._claimed()
        if mark is None:
            return False
        self._keep(mark)
        return True

    def _written(self) -> _Mark | None:
        try:
            return msgspec.json.decode((self._folder / "process.json").read_bytes(), type=_Mark)
        except (OSError, msgspec.DecodeError):
            return None

    def _claimed(self) -> _Mark | None:
        try:
            pid = int((self._folder / "haproxy.pid").read_text().split()[0])
        except (OSError, ValueError, IndexError):
            return None
        started = _started(pid)
        return _Mark(pid, started) if started and str(self._folder) in _command_of(pid) else None

    def _keep(self, mark: _Mark) -> None:
        half = self._folder / "process.json.new"
        half.write_bytes(msgspec.json.encode(mark))
        half.replace(self._folder / "process.json")
        self._mark = mark

    @property
    def is_alive(self) -> bool:
        return self._mark is not None and _started(self._mark.pid) == self._mark.started

    async def ended(self) -> None:
        """Returns when it has ended; at once where it does not run."""
        mark = self._mark
        if mark is None:
            return
        if not self.is_alive:
            _bury(mark.pid)
            return
        try:
            handle = os.pidfd_open(mark.pid)
        except ProcessLookupError:
            return
        loop, ended = asyncio.get_running_loop(), asyncio.Event()
        loop.add_reader(handle, ended.set)
        try:
            await ended.wait()
        finally:
            loop.remove_reader(handle)
            os.close(handle)
        _bury(mark.pid)

    def folder_of_next(self) -> Path:
        """Where the files of the next generation are to lie."""
        known = [int(path.name) for path in self._folder.glob("[0-9]*") if path.name.isdigit()]
        return self._folder / str(max(known, default=0) + 1)

    async def use(self, folder: Path, files: Mapping[str, bytes]) -> None:
        """Serve by these files, which are the next generation's. Raises Invalid where haproxy refuses them."""
        await asyncio.to_thread(_write, folder, files)
        try:
            await self._check(folder)
        except BoxshipError:
            await asyncio.to_thread(shutil.rmtree, folder, True)
            raise
        before = await self._worker() if self.is_alive else ""
        link = self._folder / f"{CURRENT}.new"
        link.unlink(missing_ok=True)
        link.symlink_to(folder.name)
        link.replace(self._folder / CURRENT)
        if self.is_alive:
            assert self._mark is not None
            os.kill(self._mark.pid, signal.SIGUSR2)
        else:
            self._start()
        await self._wait_for_worker(before)
        for path in self._folder.glob("[0-9]*"):
            if path.name.isdigit() and path != folder:
                await asyncio.to_thread(shutil.rmtree, path, True)

    async def accepts(self, folder: Path, files: Mapping[str, bytes]) -> bool:
        """Whether haproxy takes these files. Nothing stays of them."""
        await asyncio.to_thread(_write, folder, files)
        try:
            await self._check(folder)
        except Invalid:
            return False
        finally:
            await asyncio.to_thread(shutil.rmtree, folder, True)
        return True

    async def tell(self, commands: list[str]) -> None:
        """Commands for the worker. Raises Unavailable, and Internal where it refuses one."""
        for first in range(0, len(commands), BATCH):
            answer = await command(self.socket, ";".join(commands[first : first + BATCH]))
            wrong = [line for line in answer.splitlines() if line.strip() and not _is_fine(line)]
            if wrong:
                raise Internal(f"haproxy refuses a command: {wrong[0]}")

    async def dismiss(self) -> None:
        """Where the master has died, its worker listens no more and finishes what it has begun."""
        worker = "" if self.is_alive else await self._worker()
        if worker and str(self._folder) in _command_of(int(worker)):
            with contextlib.suppress(ProcessLookupError):
                os.kill(int(worker), signal.SIGUSR1)

    async def stop(self) -> None:
        """End it, with what it has under way cut off."""
        if self.is_alive and self._mark is not None:
            with contextlib.suppress(ProcessLookupError):
                os.kill(self._mark.pid, signal.SIGTERM)
            await self.ended()
        self._mark = None
        (self._folder / "process.json").unlink(missing_ok=True)

    def _start(self) -> None:
        if self._mark is not None:
            _bury(self._mark.pid)
        master = f"{self._folder / 'master.sock'},mode,600"
        arguments = [self._program, "-W", "-db", "-q", "-S", master, "-p", str(self._folder / "haproxy.pid")]
        arguments += ["-f", str(self._folder / CURRENT / CONFIGURATION)]
        with (self._folder / "haproxy.log").open("ab") as output:
            try:
                process = subprocess.Popen(
                    arguments, stdin=subprocess.DEVNULL, stdout=output, stderr=output, start_new_session=True
                )
            except FileNotFoundError:
                raise NotFound(f"cannot serve Ingress: {self._program} is not installed") from None
        process.returncode = 0  # its end is seen by `ended`, whoever is its parent then
        self._keep(_Mark(process.pid, _started(process.pid)))

    async def _check(self, folder: Path) -> None:
        try:
            checking = await asyncio.create_subprocess_exec(
                self._program,
                "-c",
                "-q",
                "-f",
                str(folder / CONFIGURATION),
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
            )
        except FileNotFoundError:
            raise NotFound(f"cannot serve Ingress: {self._program} is not installed") from None
        try:
            async with asyncio.timeout(CHECK_SECONDS):
                output, _ = await checking.communicate()
        except TimeoutError:
            checking.kill()
            raise Timeout("cannot serve Ingress: haproxy does not check its files in time") from None
        if checking.returncode:
            alerts = [line for line in output.decode(errors="replace").splitlines() if "[ALERT]" in line]
            raise Invalid(f"cannot serve Ingress: haproxy refuses its files: {'; '.join(alerts[:3])}")

    async def _worker(self) -> str:
        """The process id of the worker that answers; "" where none does."""
        try:
            answer = await command(self.socket, "show info")
        except BoxshipError:
            return ""
        return next((line.partition(":")[2].strip() for line in answer.splitlines() if line.startswith("Pid:")), "")

    async def _wait_for_worker(self, before: str) -> None:
        """Until another worker than `before` answers."""
        try:
            async with asyncio.timeout(WORKER_SECONDS):
                while not (now := await self._worker()) or now == before:
                    if not self.is_alive:
                        raise Internal(f"cannot serve Ingress: haproxy ended; see {self._folder / 'haproxy.log'}")
                    await asyncio.sleep(LOOK_SECONDS)
        except TimeoutError:
            raise Timeout("cannot serve Ingress: no new worker of haproxy answers") from None


def _is_fine(line: str) -> bool:
    """Whether an answer's line tells of something done, or of nothing to be done."""
    return line.startswith(("IP changed", "port changed", "no need to change", "nothing changed"))


def _started(pid: int) -> str:
    """When a process started, in the kernel's own words; "" where it is gone, or dead and not buried."""
    try:
        rest = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except OSError:
        return ""
    return "" if rest[0] in "ZX" else rest[19]


def _command_of(pid: int) -> str:
    try:
        return Path(f"/proc/{pid}/cmdline").read_text(errors="replace")
    except OSError:
        return ""


def _bury(pid: int) -> None:
    """A child that has ended; somebody else's is his own to bury."""
    with contextlib.suppress(ChildProcessError):
        os.waitpid(pid, os.WNOHANG)


def _write(folder: Path, files: Mapping[str, bytes]) -> None:
    shutil.rmtree(folder, True)
    folder.mkdir(parents=True, mode=0o755)
    for name, data in files.items():
        handle = os.open(folder / name, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        with os.fdopen(handle, "wb") as opened:
            opened.write(data)
