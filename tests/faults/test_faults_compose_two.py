"""Two Compose clients at one project: one after the other or refused by name. And the daemon's own death in the middle
of what a client does: the client says so, and the next call finishes it."""

import random
import re

import pytest
from faults_compose import MOMENTS, Victim
from test_faults_compose_killed import CASES, Case, renew, undisturbed

from daemons import until

TWO = """
    services:
      a: {image: busybox, command: sleep 1000, stop_signal: SIGKILL, scale: 2}
      b: {image: busybox, command: sleep 1000, stop_signal: SIGKILL, volumes: ["data:/data"]}
    volumes: {data: }
"""
WAITS = """
    services:
      a:
        image: busybox
        command: sleep 1000
        stop_signal: SIGKILL
        healthcheck: {test: test -e /ready, interval: 100ms, start_period: 60s, start_interval: 100ms}
      b: {image: busybox, command: sleep 1000, stop_signal: SIGKILL, depends_on: {a: {condition: service_healthy}}}
"""
OWNER = re.compile(r"boxship compose up \(process \d+\)")


def both(project: Victim, first: tuple[str, ...], second: tuple[str, ...]) -> list[tuple[int, str]]:
    """Two at the same moment; how each ended."""
    with project.begun(*first) as one, project.begun(*second) as other:
        said = [process.communicate(timeout=60) for process in (one, other)]
        return [(one.returncode, "".join(said[0])), (other.returncode, "".join(said[1]))]


def test_a_lock_is_waited_for_or_refused(victim: Victim) -> None:
    """Also: what a killed one has held is free at once."""
    victim.file(WAITS)
    with victim.begun("up", "-d") as first:
        until(lambda: victim.states().get("a1") == "running", 20, "the first one is at work")
        refused = victim.compose("down", check=False, env={"COMPOSE_LOCK": "refuse"})
        assert refused.returncode == 1 and f"{victim.name} is locked by" in refused.stderr, refused
        assert OWNER.search(refused.stderr) and str(first.pid) in refused.stderr, refused
        with victim.started("up", "-d") as second:
            second.says("waiting: boxship compose up (process")
            first.kill()
            until(lambda: first.poll() is not None, 20, "the first one is dead")
            victim.inside("a", "touch /ready")
            assert second.code() == 0, second.output()
    assert victim.states() == {"a1": "running", "b1": "running"}


@pytest.mark.slow
@pytest.mark.parametrize("turn", range(3))
def test_two_at_once(victim: Victim, turn: int) -> None:
    victim.file(TWO)
    victim.compose("up", "-d")
    whole = victim.state()
    victim.wipe()
    for code, said in both(victim, ("up", "-d"), ("up", "-d")):
        assert code == 0, said
    assert victim.state() == whole

    for code, said in both(victim, ("up", "-d", "--force-recreate"), ("down",)):
        assert code == 0, said
    assert victim.states() in ({}, {"a1": "running", "a2": "running", "b1": "running"})
    assert bool(victim.networks()) == bool(victim.states())

    victim.compose("up", "-d")
    assert victim.state() == whole
    scaled, downed = both(victim, ("scale", "a=3"), ("down",))
    assert scaled[0] == downed[0] == 0, (scaled, downed)
    assert set(victim.states()) in (set(), {"a1", "a2", "a3"}, {"a1", "a2", "a3", "b1"})
    victim.compose("up", "-d")
    assert victim.state() == whole


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(2))
@pytest.mark.parametrize("name", ["fresh", "changed", "rolling", "rolling-all", "down", "network", "rollback"])
def test_the_daemon_dies(victim: Victim, name: str, seed: int) -> None:
    case, chance = CASES[name](), random.Random(seed)
    count, wanted = undisturbed(victim, case)
    wrong = []
    for _ in range(4):
        point, moment = chance.randrange(count), chance.choice(MOMENTS)
        try:
            daemon_killed(victim, case, wanted, point, moment)
        except AssertionError as error:
            wrong.append(f"{point} {moment}: {error}")
    assert not wrong, "\n\n".join(wrong)


def daemon_killed(victim: Victim, case: Case, wanted: dict[str, object], point: int, moment: str) -> None:
    """A kill of the daemon at this request, a start, and the same call again."""
    renew(victim, case)
    victim.gate.arm(point, moment, victim.daemon.kill)
    try:
        with victim.begun(*case.words) as process:
            output, errors = process.communicate(timeout=60)
    finally:
        if victim.gate.acted:
            victim.daemon.start()
    where = f"killed {victim.gate.acted}"
    if victim.gate.acted:
        assert process.returncode not in (0, -9), (where, output, errors)
        last = errors.strip().splitlines()[-1]
        assert last.startswith("boxship: ") and "Traceback" not in errors, (where, errors)
        assert re.search(r"connect|connection|daemon", last), (where, errors)
    again = victim.compose(*case.words, check=False)
    assert again.returncode == case.code, f"{where}: {again.stderr}{again.stdout}"
    assert victim.state() == wanted, where


def test_the_daemon_dies_once(victim: Victim) -> None:
    case = CASES["changed"]()
    count, wanted = undisturbed(victim, case)
    daemon_killed(victim, case, wanted, count // 2, MOMENTS[1])
