"""The real conmon writes, is told to open its log again, and a reader follows: nothing lost, nothing twice."""

import asyncio
import os
import shutil
import tempfile
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from boxship.logs.options import LogSettings
from boxship.logs.reader import read
from boxship.logs.rotate import needs_rotation, rotate

CONMON = shutil.which("conmon")
pytestmark = pytest.mark.skipif(CONMON is None, reason="conmon is not installed")

# Does what conmon wants of a runtime, without a container: starts the script and notes its pid.
RUNTIME = """#!/bin/sh
for word; do
    case "$before" in --pid-file) file=$word ;; esac
    before=$word
done
case " $* " in *" create "*) sh "$(dirname "$0")/script" & echo -n $! > "$file" ;; esac
"""
PARTS, LINES = 15, 4000


class Monitored:
    """A conmon that holds a script's output."""

    def __init__(self, folder: Path, process: asyncio.subprocess.Process) -> None:
        self.log = folder / "container.log"
        self._folder = folder
        self._process = process

    @property
    def ended(self) -> bool:
        return self._process.returncode is not None

    async def reopen(self) -> None:
        """As the driver does it."""
        before = self.log.exists()
        assert not before
        descriptor = os.open(self._folder / "ctl", os.O_WRONLY | os.O_NONBLOCK)
        os.write(descriptor, b"2 0 0\n")
        os.close(descriptor)
        async with asyncio.timeout(10):
            while not self.log.exists() and not self.ended:
                await asyncio.sleep(0.001)


async def start(folder: Path, script: str) -> Monitored:
    (folder / "script").write_text(script)
    (folder / "runtime").write_text(RUNTIME)
    (folder / "runtime").chmod(0o755)
    process = await asyncio.create_subprocess_exec(
        str(CONMON),
        *("--sync", "--no-sync-log", "--full-attach", "--api-version=1", "--cid=x", "--cuuid=x"),
        *(f"--runtime={folder}/runtime", f"--bundle={folder}", f"--container-pidfile={folder}/pidfile"),
        *(f"--exit-dir={folder}", f"--log-path=k8s-file:{folder}/container.log"),
        stdin=asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.DEVNULL,
        stderr=asyncio.subprocess.DEVNULL,
    )
    return Monitored(folder, process)


@pytest.fixture
async def folder() -> AsyncIterator[Path]:
    """A short path: conmon makes sockets in it."""
    with tempfile.TemporaryDirectory(prefix="bxl") as name:
        yield Path(name)


async def output(monitored: Monitored, **options: object) -> dict[int, bytes]:
    """What each stream had."""
    found = {1: b"", 2: b""}
    pieces: dict[int, list[bytes]] = {1: [], 2: []}
    async for record in read(monitored.log, ended=lambda: monitored.ended, **options):  # type: ignore[arg-type]
        pieces[record.stream].append(record.data)
    return {stream: found[stream] + b"".join(parts) for stream, parts in pieces.items()}


async def test_what_conmon_writes_is_read_byte_for_byte(folder: Path) -> None:
    script = "printf 'no newline'; printf 'é\\377' >&2; head -c 20000 /dev/zero | tr '\\0' x; echo; echo; printf tail"
    monitored = await start(folder, script)
    async with asyncio.timeout(20):
        found = await output(monitored, follow=True)
    assert found == {1: b"no newline" + b"x" * 20000 + b"\n\ntail", 2: "é".encode() + b"\xff"}
    assert await output(monitored) == found
    assert await output(monitored, merge=True) == found
    assert (await output(monitored, tail=1))[1] == b"tail"
    assert (await output(monitored, tail=2))[1] == b"\ntail"


@pytest.mark.parametrize("merge", [False, True])
async def test_rotations_of_a_busy_log(folder: Path, merge: bool) -> None:
    parts = " ".join(map(str, range(PARTS)))
    monitored = await start(folder, f"for part in {parts}; do seq 1 {LINES}; sleep 0.02; done; printf end")
    settings = LogSettings(max_size=200_000, max_file=200, compress=True)
    wanted = "".join(f"{number}\n" for number in range(1, LINES + 1)).encode() * PARTS + b"end"
    async with asyncio.timeout(60):
        following = asyncio.create_task(output(monitored, follow=True, merge=merge))
        rotations = 0
        while not monitored.ended:
            if monitored.log.exists() and needs_rotation(monitored.log, settings):
                await asyncio.to_thread(rotate, monitored.log, settings)
                await monitored.reopen()
                rotations += 1
            await asyncio.sleep(0.001)
        assert (await following)[1] == wanted
    assert rotations >= 3
    assert (await output(monitored))[1] == wanted
    assert (await output(monitored, tail=1000))[1] == b"".join(wanted.splitlines(keepends=True)[-1000:])
