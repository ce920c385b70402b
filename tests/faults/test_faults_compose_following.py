"""Compose's long-lived verbs, while the daemon is killed and while another holds the project's lock."""

import signal
import subprocess
import sys
from pathlib import Path

from daemons import Daemon, running_daemon, until

PROGRAM = str(Path(sys.executable).parent / "boxship")
FILE = """\
name: follow
services:
  web: {image: busybox, command: ["sh", "-c", "n=0; while :; do n=$$((n+1)); echo line $$n; sleep .2; done"]}
"""


def start(daemon: Daemon, log: Path, *words: str) -> "subprocess.Popen[bytes]":
    with log.open("wb") as target:
        return subprocess.Popen(
            [PROGRAM, "compose", "-f", str(log.parent / "compose.yaml"), *words],
            stdin=subprocess.DEVNULL,
            stdout=target,
            stderr=target,
            env={**daemon.environment(), "BOXSHIP_HOST": daemon.url},
        )


def test_following_goes_on_after_a_kill_and_a_lock_is_not_deaf(tmp_path: Path) -> None:
    (tmp_path / "compose.yaml").write_text(FILE)
    log, other, second = (tmp_path / name for name in ("log", "other", "second"))
    (tmp_path / "home").mkdir()
    with running_daemon(tmp_path / "home") as daemon:
        assert start(daemon, tmp_path / "up", "up", "-d").wait(60) == 0
        following = start(daemon, log, "logs", "-f", "--no-log-prefix")
        until(lambda: "line 3\n" in log.read_text(), 30, "the first lines")
        daemon.kill()
        daemon.start()
        seen = len(log.read_text().splitlines())
        until(lambda: len(log.read_text().splitlines()) > seen + 10, 30, "lines after the kill")
        numbers = [int(line.removeprefix("line ")) for line in log.read_text().splitlines() if line.startswith("line ")]
        assert numbers == list(range(1, len(numbers) + 1))
        following.send_signal(signal.SIGINT)
        assert following.wait(10) == 130
        holder = subprocess.Popen(
            [
                "curl",
                "-sN",
                "--unix-socket",
                str(daemon.socket),
                "-X",
                "POST",
                "http://d/boxship/locks/follow?owner=me",
            ],
            stdout=other.open("wb"),
        )
        try:
            until(lambda: "held" in other.read_text(), 10, "the lock")
            waiting = start(daemon, second, "up")
            until(lambda: "me is changing project follow" in second.read_text(), 20, "waiting for the lock")
            waiting.send_signal(signal.SIGINT)
            assert waiting.wait(10) == 130
        finally:
            holder.kill()
            holder.wait()
        assert start(daemon, tmp_path / "down", "down", "-t", "0").wait(60) == 0
