"""Clients that vanish or are interrupted: the project stays as it was asked for, and ^C means what it says."""

import os
import signal
import time

import pytest
from faults_compose import Victim

from daemons import until

CALM = """
    services:
      a:
        image: busybox
        command:
          - sh
          - -c
          - "trap 'echo goodbye; exit 0' TERM; i=0; while :; do i=$$((i+1)); echo line $$i; sleep 0.1; done"
      b: {image: busybox, command: sleep 1000, init: true, depends_on: [a]}
"""
DEAF = """
    services:
      a: {image: busybox, command: ["sh", "-c", "trap '' TERM INT; echo deaf; while :; do sleep 0.1; done"]}
"""
WAITS = """
    services:
      a:
        image: busybox
        command: sleep 1000
        init: true
        healthcheck: {test: test -e /ready, interval: 100ms, start_period: 60s, start_interval: 100ms}
      b: {image: busybox, command: sleep 1000, init: true, depends_on: {a: {condition: service_healthy}}}
"""
RUNS = {"a1": "running", "b1": "running"}
INTERRUPTED = 130


def runs(victim: Victim, wanted: dict[str, str]) -> None:
    until(lambda: victim.states() == wanted, 20, f"{wanted} run")


def stays(victim: Victim) -> None:
    """The project runs on after the client's end, and is free for the next one."""
    runs(victim, RUNS)
    ids = victim.ids("a", "b")
    victim.compose("up", "-d", timeout=30)
    assert victim.ids("a", "b") == ids and victim.states() == RUNS


def test_interrupted_on_a_terminal(victim: Victim) -> None:
    """Once: the containers end as they like. Twice: they are killed."""
    victim.file(CALM)
    with victim.terminal("up") as terminal:
        terminal.expect("line 1")
        until(lambda: victim.states() == RUNS, 20, "all run")
        terminal.type("\x03")
        said = terminal.rest()
        calm = "goodbye" in said  # pytest would compare the long text for minutes
        assert calm and terminal.code() == INTERRUPTED, said[-500:]
    assert victim.states() == {"a1": "exited", "b1": "exited"}
    assert victim.one("a")["State"]["ExitCode"] == 0
    victim.file(DEAF)
    with victim.terminal("up", "--remove-orphans") as terminal:
        terminal.expect("deaf")
        began = time.monotonic()
        terminal.type("\x03")
        terminal.expect("force")
        terminal.type("\x03")
        said = terminal.rest()
        assert terminal.code() == INTERRUPTED and time.monotonic() - began < 8, said[-500:]
    until(lambda: victim.states() == {"a1": "exited"}, 20, "who was killed has ended")
    assert victim.one("a")["State"]["ExitCode"] == 137


@pytest.mark.slow
def test_interrupted_while_it_waits_for_health(victim: Victim) -> None:
    victim.file(WAITS)
    with victim.terminal("up", "-d") as terminal:
        until(lambda: victim.states().get("a1") == "running", 20, "the first service runs")
        terminal.type("\x03")
        assert "Traceback" not in terminal.rest()
        assert terminal.code() == INTERRUPTED
    assert victim.states().get("b1", "created") == "created"
    victim.inside("a", "touch /ready")
    stays_after = victim.compose("up", "-d", timeout=30)
    assert victim.states() == RUNS, stays_after.stderr


@pytest.mark.slow
@pytest.mark.parametrize("end", ["kill", "hang-up", "pipe"])
def test_an_attached_client_vanishes(victim: Victim, end: str) -> None:
    victim.file(CALM)
    if end == "hang-up":
        with victim.terminal("up") as terminal:
            terminal.expect("line 1")
            runs(victim, RUNS)
        # The terminal is closed here: whatever wrote to it is killed by the kernel's hang-up.
    elif end == "pipe":
        with victim.begun("up") as process:
            assert process.stdout is not None and process.stdout.readline()
            process.stdout.close()
            process.stdout = None
            assert process.wait(20) != 0
            assert process.stderr is not None and "Traceback" not in process.stderr.read()
    else:
        with victim.begun("up") as process:
            runs(victim, RUNS)
            process.kill()
    stays(victim)


@pytest.mark.slow
@pytest.mark.parametrize("way", ["plain", "json"])
def test_nobody_reads_the_progress(victim: Victim, way: str) -> None:
    """`up -d 2>&1 | head -1` does what it was asked for."""
    victim.file(WAITS)
    with victim.begun("--progress", way, "up", "-d") as process:
        assert process.stderr is not None and process.stderr.read(1)
        process.stderr.close()
        process.stderr = None
        until(lambda: victim.states().get("a1") == "running", 20, "the first service runs")
        victim.inside("a", "touch /ready")
        assert process.wait(20) == 0
    assert victim.states() == RUNS
    with victim.begun("--progress", way, "down", "-t", "0") as process:
        assert process.stderr is not None and process.stderr.read(1)
        process.stderr.close()
        process.stderr = None
        assert process.wait(20) == 0
    assert not victim.containers() and not victim.networks()


@pytest.mark.slow
def test_a_terminal_is_closed(victim: Victim) -> None:
    """SIGHUP alone, as the session's leader gets it."""
    victim.file(CALM)
    with victim.begun("up") as process:
        runs(victim, RUNS)
        os.kill(process.pid, signal.SIGHUP)
        assert process.wait(20) in (-signal.SIGHUP, 129)
    stays(victim)


@pytest.mark.slow
@pytest.mark.parametrize(
    "words",
    [("logs", "-f"), ("logs",), ("events",), ("ps", "-a"), ("config",), ("stats",), ("top",)],
    ids=lambda words: "".join(words),
)
def test_nobody_reads_any_more(victim: Victim, words: tuple[str, ...]) -> None:
    victim.file(CALM)
    victim.compose("up", "-d")
    with victim.begun(*words) as process:
        assert process.stdout is not None and process.stderr is not None
        if words[0] == "events":
            victim.compose("restart", "-t", "0", "b")
        process.stdout.readline()
        process.stdout.close()
        process.stdout = None
        if words[0] == "events":
            victim.compose("restart", "-t", "0", "b")
        process.wait(20)
        assert process.stderr.read() == ""
    stays(victim)


@pytest.mark.slow
def test_interrupts_go_where_they_belong(victim: Victim) -> None:
    victim.file(CALM)
    victim.compose("up", "-d")
    with victim.terminal("logs", "-f") as terminal:
        terminal.expect("line 2")
        terminal.type("\x03")
        assert "Traceback" not in terminal.rest() and terminal.code() == INTERRUPTED
    with victim.terminal("exec", "b", "sh", "-c", "trap 'echo caught; exit 7' INT; echo begun; sleep 20") as terminal:
        terminal.expect("begun")
        terminal.type("\x03")
        terminal.expect("caught")
        assert terminal.code() == 7
    script = "trap 'echo caught; exit 7' INT; echo begun; while :; do sleep 0.1; done"
    with victim.terminal("run", "--rm", "b", "sh", "-c", script) as terminal:
        terminal.expect("begun")
        terminal.type("\x03")
        terminal.expect("caught")
        assert terminal.code() == 7
    with victim.begun("run", "--rm", "-T", "b", "sh", "-c", script) as process:
        assert process.stdout is not None and process.stdout.readline() == "begun\n"
        process.send_signal(signal.SIGINT)
        assert process.stdout.readline() == "caught\n" and process.wait(20) == 7
    assert not victim.containers(one_off=True)
    stays(victim)


@pytest.mark.slow
def test_watch_is_interrupted(victim: Victim) -> None:
    watched = "develop: {watch: [{action: sync, path: ./src, target: /src}]}, build: {dockerfile_inline: FROM busybox}"
    victim.file(f"services: {{a: {{command: sleep 1000, init: true, {watched}}}}}")
    (victim.folder / "src").mkdir()
    victim.compose("up", "-d", "--build")
    with victim.terminal("watch", "--no-up") as terminal:
        terminal.expect("(?i)watch")
        terminal.type("\x03")
        assert "Traceback" not in terminal.rest() and terminal.code() in (0, INTERRUPTED)
    assert victim.states() == {"a1": "running"}
