"""`boxship compose up` and `down`, killed at every request that changes something: before it gets through, as it got
through, when it was answered. The next one must reach what an undisturbed one reaches, and leave nothing half-made."""

import random
from collections.abc import Callable
from typing import Any

import pytest
from faults_compose import AFTER, BEFORE, MOMENTS, SENT, Victim
from msgspec import Struct

from daemons import free_port

QUICK = "image: busybox, command: sleep 1000, stop_signal: SIGKILL"
PLAIN = f"""
    services:
      db: {{{QUICK}, environment: {{V: "@"}}, volumes: [/anonymous, "data:/data"], networks: [back]}}
      web: {{{QUICK}, environment: {{V: "@"}}, depends_on: [db], networks: [front, back]}}
      aside: {{{QUICK}}}
    networks: {{front: , back: {{internal: true}}}}
    volumes: {{data: }}
"""
ROLLING = """
    services:
      web:
        image: busybox
        init: true
        environment: {{V: "{0}"}}
        command: ["sh", "-c", "mkdir -p /w; echo {0} >/w/index.html; {1} exec httpd -f -p 80 -h /w"]
        ports: ["127.0.0.1:{2}:80"]
        stop_grace_period: 1s
        healthcheck:
          test: "wget -q -O /dev/null http://127.0.0.1/"
          interval: 300ms
          retries: 2
          start_period: 400ms
          start_interval: 50ms
        deploy: {{replicas: 3, update_config: {{parallelism: {3}, order: {4}}}}}
"""
SCALED = f"""
    services:
      web: {{{QUICK}, scale: @, volumes: [/anonymous]}}
      other: {{{QUICK}, depends_on: [web]}}
"""
ORPHANED = f"services: {{aside: {{{QUICK}}}}}"
NETWORK = f"""
    services:
      a: {{{QUICK}, networks: [front], volumes: [/anonymous]}}
      b: {{{QUICK}, networks: [front, back]}}
    networks: {{front: {{labels: {{V: "@"}}}}, back: }}
"""
UP = ("up", "-d")


class Case(Struct, frozen=True):
    """From one file to another. `words` are what is killed, `kept` whether data of anonymous volumes must be there,
    `code` what an undisturbed run ends with."""

    before: str
    after: str
    words: tuple[str, ...] = UP
    kept: str = ""  # a service with /anonymous
    code: int = 0


def rolling(version: int, port: int, *, bad: bool = False, parallel: int = 1, order: str = "start-first") -> str:
    return ROLLING.format(version, "sleep 1000;" if bad else "", port, parallel, order)


def cases() -> dict[str, Callable[[], Case]]:
    port = free_port()
    first, second = PLAIN.replace("@", "1"), PLAIN.replace("@", "2")
    return {
        "fresh": lambda: Case("", first),
        "changed": lambda: Case(first, second, kept="db"),
        "forced": lambda: Case(first, first, (*UP, "--force-recreate"), kept="db"),
        "renewed": lambda: Case(first, second, (*UP, "-V")),
        "created": lambda: Case("", first, ("create",)),
        "orphans": lambda: Case(first, ORPHANED, (*UP, "--remove-orphans")),
        "network": lambda: Case(NETWORK.replace("@", "1"), NETWORK.replace("@", "2"), kept="a"),
        "fewer": lambda: Case(SCALED.replace("@", "3"), SCALED.replace("@", "1"), kept="web"),
        "more": lambda: Case(SCALED.replace("@", "1"), SCALED.replace("@", "3"), kept="web"),
        "down": lambda: Case(first, first, ("down", "-t", "0")),
        "down-v": lambda: Case(first, first, ("down", "-v")),
        "stop": lambda: Case(first, first, ("stop",)),
        "rolling": lambda: Case(rolling(1, port), rolling(2, port)),
        "rolling-all": lambda: Case(rolling(1, port), rolling(2, port, parallel=0)),
        "stop-first": lambda: Case(rolling(1, port), rolling(2, port, order="stop-first")),
        "rollback": lambda: Case(rolling(1, port), rolling(2, port, bad=True, parallel=2), code=1),
    }


CASES = cases()


def prepare(project: Victim, case: Case) -> None:
    """The project as it was before."""
    if case.before:
        project.file(case.before)
        project.compose("up", "-d", "--wait")
        if case.kept:
            project.inside(case.kept, "echo kept >/anonymous/file")
    project.file(case.after)


def renew(project: Victim, case: Case) -> None:
    """Away with everything, and the project as it was before again."""
    project.wipe()
    prepare(project, case)


def undisturbed(project: Victim, case: Case) -> tuple[int, dict[str, Any]]:
    renew(project, case)
    count, code = project.counted(*case.words)
    assert code == case.code, project.gate.seen
    return count, project.state()


def check(project: Victim, case: Case, wanted: dict[str, Any], point: int, moment: str) -> bool:
    """Kill at the point; whether there was such a point."""
    renew(project, case)
    acted = project.killed(point, moment, *case.words)
    again = project.compose(*case.words, check=False, timeout=60)
    where = f"killed at {point}, {acted}"
    assert again.returncode == case.code, f"{where}: {again.stderr}{again.stdout}"
    found = project.state()
    assert found == wanted, where
    if case.kept:
        assert project.inside(case.kept, "cat /anonymous/file") == "kept", where
    return bool(acted)


@pytest.mark.parametrize(("name", "seed", "kills"), [("changed", 2, 1), ("down", 3, 1)], ids=lambda value: str(value))
def test_some_kills(victim: Victim, name: str, seed: int, kills: int) -> None:
    case, chance = CASES[name](), random.Random(seed)
    count, wanted = undisturbed(victim, case)
    for _ in range(kills):
        check(victim, case, wanted, chance.randrange(count), chance.choice(MOMENTS))


@pytest.mark.slow
@pytest.mark.parametrize("moment", [BEFORE, SENT, AFTER])
@pytest.mark.parametrize("name", list(CASES))
def test_a_kill_at_every_request(victim: Victim, name: str, moment: str) -> None:
    case = CASES[name]()
    count, wanted = undisturbed(victim, case)
    wrong = []
    for point in range(count):
        try:
            check(victim, case, wanted, point, moment)
        except AssertionError as error:
            wrong.append(str(error))
    assert not wrong, "\n\n".join(wrong)


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize("name", ["changed", "rolling", "rollback", "network", "fewer"])
def test_kills_of_kills(victim: Victim, name: str, seed: int) -> None:
    """What takes the killed one up is killed too, and what takes that up."""
    case, chance = CASES[name](), random.Random(seed)
    count, wanted = undisturbed(victim, case)
    renew(victim, case)
    where = [victim.killed(chance.randrange(count), chance.choice(MOMENTS), *case.words) for _ in range(4)]
    again = victim.compose(*case.words, check=False, timeout=60)
    assert again.returncode == case.code, f"{where}: {again.stderr}{again.stdout}"
    assert victim.state() == wanted, where
