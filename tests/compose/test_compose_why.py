"""`why` finds the root cause and says it in sentences."""

from __future__ import annotations

from typing import Any

import pytest
from compose_plan_kit import needs, project, published, service
from msgspec import structs

from boxship.compose.hashing import service_hash
from boxship.compose.model import Project
from boxship.compose.parts import Build
from boxship.compose.planning.observed import Observed, SeenContainer
from boxship.compose.planning.why import meaning, why
from boxship.errors import Invalid

SHOP = project(
    service("db"),
    service("migrate", depends_on=needs("db", condition="service_healthy")),
    service("web", depends_on=needs("migrate", condition="service_completed_successfully"), ports=(published(8080),)),
    service("built", image="", build=Build(context="/src")),
)
SHOP = structs.replace(SHOP, disabled={"tool": service("tool", profiles=("debug", "ops"))})
IMAGES = {f"{name}:1": f"id of {name}" for name in ("db", "migrate", "web", "tool")}


def seen(name: str, state: str = "running", number: int = 1, **fields: Any) -> SeenContainer:
    fields.setdefault("hash", service_hash({**SHOP.services, **SHOP.disabled}[name]))
    return SeenContainer(
        id=f"id-{name}-{number}", name=f"demo-{name}-{number}", service=name, number=number, state=state, **fields
    )


def told(
    name: str, *containers: SeenContainer, wanted: Project = SHOP, state: dict[str, Any] | None = None, **more: Any
) -> list[str]:
    inspects = {one.id: {"State": {"ExitCode": one.exit_code}} for one in containers}
    for key, value in (state or {}).items():
        inspects[key] = value
    return why(wanted, Observed(containers=containers, images=IMAGES), inspects, name, **more)


def test_a_probe_that_fails_is_found_through_the_dependencies() -> None:
    health = {"FailingStreak": 3, "Log": [{"ExitCode": 0}, {"ExitCode": 2, "Output": "no such\n database"}]}
    state = {"id-db-1": {"State": {"Health": health}}}
    lines = told("web", seen("db", health="unhealthy"), seen("migrate", "created"), seen("web", "created"), state=state)
    assert lines == [
        "web is not up: 0 of 1 work.",
        "  demo-web-1 was made, and is not started yet.",
        "web waits for migrate: it must complete with exit code 0.",
        "  migrate is not up: 0 of 1 work.",
        "    demo-migrate-1 was made, and is not started yet.",
        "  migrate waits for db: it must be healthy.",
        "    db is not up: 0 of 1 work.",
        "      demo-db-1 runs, but is unhealthy: its check failed 3 times in a row.",
        "      The last probe exited with 2 and said: no such database",
    ]
    health = {"FailingStreak": 1, "Log": [{"ExitCode": 1}]}
    state = {"id-db-1": {"State": {"Health": health}}}
    lines = told("db", seen("db", health="starting"), state=state)
    assert lines[1:] == [
        "  demo-db-1 runs; its health check has failed once so far and may still pass.",
        "  The last probe exited with 1 and said nothing.",
    ]
    assert "has not passed yet" in told("db", seen("db", health="starting"))[1]


def test_ends_and_their_meaning() -> None:
    lines = told("migrate", seen("db", health="healthy"), seen("migrate", "exited", exit_code=127))
    assert lines == [
        "migrate is not up: 0 of 1 work.",
        "  demo-migrate-1 exited with code 127: its command was not found.",
        "  Its restart policy is no: it stays as it is until `start` or `up`.",
    ]
    state = {"id-db-1": {"State": {"ExitCode": 137, "OOMKilled": True, "FinishedAt": "2026-01-02T03:04:05.6Z"}}}
    assert told("db", seen("db", "exited", exit_code=137), state=state)[1] == (
        "  demo-db-1 was killed because it used more memory than its limit (exit code 137) at 2026-01-02 03:04:05."
    )
    stopped = [{"Action": "stop", "Actor": {"ID": "id-db-1"}}]
    lines = told("db", seen("db", "exited", exit_code=143), events=stopped)
    assert lines[1:] == [
        "  demo-db-1 was asked to end by SIGTERM (exit code 143).",
        "  It was stopped on request: `start` or `up` starts it.",
    ]
    state = {"id-db-1": {"RestartCount": 5, "State": {"ExitCode": 1}}}
    assert told("db", seen("db", "restarting"), state=state)[1] == (
        "  demo-db-1 is in a restart loop (5 times so far): it exited with code 1."
    )
    limit = {"RestartPolicy": {"Name": "on-failure", "MaximumRetryCount": 3}}
    state = {"id-db-1": {"HostConfig": limit, "State": {"ExitCode": 1}}}
    assert told("db", seen("db", "exited", exit_code=1), state=state)[2].endswith("gives up after 3 times.")
    assert "is paused" in told("db", seen("db", "paused"))[1]
    assert "the next `up` makes it again" in told("db", seen("db", "dead"))[1]
    assert meaning(139).startswith("crashed by SIGSEGV") and meaning(137) == "was killed by SIGKILL (exit code 137)"
    assert meaning(130).startswith("was ended by SIGINT") and meaning(128 + 64) and meaning(3) == "exited with code 3"


def test_ports_that_are_taken_and_by_whom() -> None:
    error = "driver failed programming external connectivity: Bind for 0.0.0.0:8080 failed: port is already allocated"
    state = {"id-web-1": {"State": {"Error": error}}}
    lines = told("web", seen("web", "created"), state=state, holders={"8080/tcp": "container other-web-1"})
    assert lines[1:3] == [
        f"  demo-web-1 could not be started: {error}",
        "  Port 8080/tcp is taken by container other-web-1.",
    ]
    ports = {"NetworkSettings": {"Ports": {"80/tcp": [{"HostPort": "8080"}], "81/tcp": None}}}
    lines = told("web", seen("web", "created"), seen("db"), state=state | {"id-db-1": ports})
    assert lines[2] == "  Port 8080/tcp is taken by container demo-db-1."
    assert "another container or program" in told("web", seen("web", "exited"), state=state)[3]


def test_services_without_containers() -> None:
    profiles = "profiles debug, ops, of which none is active. `--profile debug` enables it."
    assert told("tool") == [
        f"tool is not enabled: it belongs to the {profiles}",
        "tool has no container: it was never brought up, or was taken down.",
    ]
    assert told("built") == ["built has no container: its image demo-built is not here and has to be built (`build`)."]
    bare = project(service("gone", image="gone:9"))
    assert "has to be pulled (`pull`)" in told("gone", wanted=bare)[0]
    none = project(service("web", scale=0))
    assert told("web", wanted=none) == ["web is scaled to 0: no container is wanted."]
    assert told("web")[-1] == "    db has no container: it was never brought up, or was taken down."
    with pytest.raises(Invalid, match="no such service: wbe"):
        told("wbe")


def test_services_that_are_up_and_what_is_to_be_said_of_them() -> None:
    assert told("db", seen("db", health="healthy")) == ["db is up: 1 of 1 running and healthy."]
    old = told("db", seen("db", hash="old"), state={"id-db-1": {"RestartCount": 1}})
    assert old == [
        "db is up: 1 of 1 running.",
        "  demo-db-1 has an older configuration than the file: `up` would replace it.",
        "  demo-db-1 was restarted once since it was made.",
    ]
    assert "older image than db:1" in told("db", seen("db", image="id of another"))[1]
    assert told("migrate", seen("migrate", "exited")) == ["migrate did its work: it ended with exit code 0."]
    half = seen("db", "created", number=1)
    lines = told("db", seen("db"), structs.replace(half, id="x", name="0123456789ab_demo-db-1"))
    assert lines[1].startswith("0123456789ab_demo-db-1 was left in the middle of a replacement")
    three = project(service("web", scale=3))
    lines = told("web", seen("web"), seen("web", "created", 2), wanted=three)
    assert lines == [
        "web is not up: 1 of 3 work.",
        "  demo-web-2 was made, but nobody started it: `start` or `up` does.",
        "  1 more container is to be made.",
    ]


def test_what_ended_has_the_last_word() -> None:
    words = {"id-db-1": ("initdb: no space left", "", "x" * 400)}
    lines = told("db", seen("db", "exited", exit_code=3), words=words)
    assert lines[2:5] == ["  Its last words:", "    initdb: no space left", f"    {'x' * 300}…"]
