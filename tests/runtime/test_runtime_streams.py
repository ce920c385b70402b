"""Whose the standard streams of a process become: pipes alone, never a file that has taken a pipe's place."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from boxship.runtime.streams import give_streams

USER = 0x7000_0000

pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason="needs root")


def test_pipes_are_given_and_nothing_else(tmp_path: Path) -> None:
    file, pipe = tmp_path / "file", tmp_path / "pipe"
    file.touch()
    os.mkfifo(pipe)
    reading, writing = os.pipe()
    opened = [os.open(file, os.O_RDWR), os.open(pipe, os.O_RDWR)]
    line = [sys.executable, "-c", "import signal; signal.pause()"]
    process = subprocess.Popen(line, stdin=opened[0], stdout=opened[1], stderr=writing)
    try:
        give_streams(process.pid, USER, USER + 1)
        status = os.fstat(writing)
        assert (status.st_uid, status.st_gid) == (USER, USER + 1)
        assert [place.stat().st_uid for place in (file, pipe)] == [0, 0]
    finally:
        process.kill()
        process.wait()
        for descriptor in (reading, writing, *opened):
            os.close(descriptor)


def test_a_process_that_has_ended_is_fine() -> None:
    process = subprocess.Popen(["true"])
    process.wait()
    give_streams(process.pid, USER, USER)
    give_streams(process.pid, USER, USER, every=True)
