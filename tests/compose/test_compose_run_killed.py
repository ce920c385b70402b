"""An `up` or `down` that is killed at any step is finished, or taken back, by the next one.

Every act of a random change is once the last one that has an effect. The next `up` must reach what an undisturbed one
reaches, keep the data of anonymous volumes, and leave nothing behind.
"""

from __future__ import annotations

import copy
from typing import Any

import pytest
from compose_memory_host import Behaviour, MemoryHost
from compose_plan_kit import (
    bring_up,
    changed,
    host_for,
    named_volume,
    needs,
    project,
    published,
    service,
    take_down,
    updating,
)
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from boxship.compose.model import Network, Project
from boxship.compose.planning.observed import LABEL_NUMBER, LABEL_SERVICE
from boxship.errors import BoxshipError

pytestmark = pytest.mark.filterwarnings("ignore::pytest.PytestUnhandledThreadExceptionWarning")
NAMES = ("db", "cache", "web", "job")


def cloned(host: MemoryHost) -> MemoryHost:
    twin = MemoryHost()
    for key, value in vars(host).items():
        if key not in ("_lock", "_locked", "log", "notice"):
            setattr(twin, key, copy.deepcopy(value))
    return twin


@st.composite
def services(draw: st.DrawFn) -> Project:
    """Up to four services; the later may depend on the earlier ones."""
    result = []
    for place, name in enumerate(NAMES[: draw(st.integers(1, 4))]):
        earlier = draw(st.lists(st.sampled_from(NAMES[:place]), unique=True)) if place else []
        fields: dict[str, Any] = {
            "depends_on": needs(
                *earlier,
                condition=draw(st.sampled_from(["service_started", "service_healthy"])),
                restart=draw(st.booleans()),
            ),
            "labels": {"version": draw(st.sampled_from(["1", "2"]))},
            "image": f"{name}:{draw(st.sampled_from(['1', '2']))}",
            "scale": draw(st.integers(0, 3)),
        }
        kind = draw(st.sampled_from(["plain", "rolling", "port", "data"]))
        if kind == "rolling":
            order = draw(st.sampled_from(["", "start-first", "stop-first"]))
            how = draw(st.sampled_from(["", "pause", "continue", "rollback"]))
            parallelism = draw(st.sampled_from([None, 0, 2]))
            fields["deploy"] = updating(order=order, failure_action=how, parallelism=parallelism)
        elif kind == "port":
            fields["ports"] = (published(8000 + place),)
        elif kind == "data":
            fields["volumes"] = (named_volume(f"{name}data"),)
        result.append(service(name, **fields))
    network = Network(name="demo_default", internal=draw(st.sampled_from([False, False, True])))
    return project(*result, networks={"default": network})


@st.composite
def changes(draw: st.DrawFn) -> tuple[MemoryHost, Project, dict[str, Any]]:
    """A host with a project in some state, and what the project is to become."""
    before, after = draw(services()), draw(services())
    host = host_for(before, after)
    for name in NAMES:
        for version in ("1", "2"):
            health = draw(st.sampled_from(["", "healthy"]))
            host.behaviours[f"id of {name}:{version}"] = Behaviour(health)
            host.image_volumes[f"{name}:{version}"] = draw(st.sampled_from([(), ("/anonymous",)]))
    bring_up(host, before, parallel=1)
    for box in list(host.boxes.values()):
        fate = draw(st.sampled_from(["", "", "stopped", "paused", "gone"]))
        if fate == "stopped" and box.state == "running":
            box.state, box.health = "exited", ""
        elif fate == "paused" and box.state == "running":
            box.state = "paused"
        elif fate == "gone":
            del host.boxes[box.id]
    if draw(st.booleans()):
        for name in NAMES:  # the new versions may be no good
            host.behaviours[f"id of {name}:2"] = draw(
                st.sampled_from([Behaviour("healthy"), Behaviour("unhealthy"), Behaviour(exits=3)])
            )
        return host, after, {"remove_orphans": True} if before.networks != after.networks else {}
    options = draw(
        st.sampled_from([{}, {}, {"force_recreate": True}, {"remove_orphans": True}, {"renew_anon_volumes": True}])
    )
    if before.networks != after.networks:  # what no longer is in the file has no way back into a network made again
        options = {"remove_orphans": True}
    return host, after, options


def attempt(host: MemoryHost, wanted: Project, **options: Any) -> None:
    """An `up` as a user would: an error that it says is no error of the test."""
    try:
        bring_up(host, wanted, parallel=1, **options)
    except BoxshipError:
        return


def difference(one: MemoryHost, other: MemoryHost) -> str:
    mine, theirs = (
        {
            f"{box.name} {box.state} {box.health} {box.exit_code} {box.image} {box.labels['version']}"
            for box in host.boxes.values()
        }
        for host in (one, other)
    )
    return f"only after the kill: {sorted(mine - theirs)}; only undisturbed: {sorted(theirs - mine)}"


def check_tidy(host: MemoryHost, wanted: Project) -> None:
    """After failures, which end how they end: every replica is there once, under its name. (A paused update keeps the
    failed one to be looked at.)"""
    seen = set()
    for box in host.boxes.values():
        one = wanted.services.get(box.labels[LABEL_SERVICE])
        config = one.deploy.update_config if one is not None and one.deploy is not None else None
        if config is not None and config.failure_action == "pause":
            continue
        place = (box.labels[LABEL_SERVICE], box.labels[LABEL_NUMBER])
        assert "_" not in box.name, box
        assert place not in seen, box
        seen.add(place)


def inherited(host: MemoryHost) -> dict[str, str]:
    return {box.name: box.volumes["/anonymous"] for box in host.boxes.values() if "/anonymous" in box.volumes}


FEW = settings(max_examples=5, deadline=None, suppress_health_check=list(HealthCheck), phases=[Phase.generate])
MANY = settings(FEW, max_examples=150)


@FEW
@given(changes())
def test_an_up_that_was_killed_anywhere_is_finished_by_the_next(
    case: tuple[MemoryHost, Project, dict[str, Any]],
) -> None:
    killed_up(case)


@pytest.mark.slow
@MANY
@given(changes())
def test_many_ups_that_were_killed_anywhere_are_finished_by_the_next(
    case: tuple[MemoryHost, Project, dict[str, Any]],
) -> None:
    killed_up(case)


def killed_up(
    case: tuple[MemoryHost, Project, dict[str, Any]],
) -> None:
    start, wanted, options = case
    bad = any(turn.exits is not None or turn.health == "unhealthy" for turn in start.behaviours.values())
    unused = start.unused_volumes()
    whole = cloned(start)
    attempt(whole, wanted, **options)
    whole.settle()
    again = cloned(whole)
    again_options = {name: value for name, value in options.items() if name == "remove_orphans"}
    attempt(again, wanted, **again_options)
    again.settle()
    for act in range(len(whole.log)):
        host = cloned(start)
        host.fuse = act
        attempt(host, wanted, **options)
        host.fuse = None
        attempt(host, wanted, **options)
        host.settle()
        attempt(host, wanted, **again_options)  # settled: what an undisturbed one and another look at it give
        host.settle()
        if bad:
            check_tidy(host, wanted)
            continue
        assert host.shape() == again.shape(), f"{difference(host, again)}; killed before act {act}: {whole.log[act]}"
        if "renew_anon_volumes" not in options:
            assert {k: v for k, v in inherited(host).items() if k in inherited(start)} == {
                k: v for k, v in inherited(again).items() if k in inherited(start)
            }, f"killed before act {act}: {whole.log[act]}"
        assert host.unused_volumes() - unused <= again.unused_volumes(), f"killed before act {act}: {whole.log[act]}"


@FEW
@given(changes(), st.booleans())
def test_a_down_that_was_killed_anywhere_is_finished_by_the_next(
    case: tuple[MemoryHost, Project, dict[str, Any]], volumes: bool
) -> None:
    start, wanted, _ = case
    whole = cloned(start)
    take_down(whole, wanted, parallel=1, volumes=volumes, remove_orphans=True)
    assert not whole.boxes
    for act in range(len(whole.log)):
        host = cloned(start)
        host.fuse = act
        take_down(host, wanted, parallel=1, volumes=volumes, remove_orphans=True)
        host.fuse = None
        take_down(host, wanted, parallel=1, volumes=volumes, remove_orphans=True)
        assert host.shape() == whole.shape(), f"killed before act {act}: {whole.log[act]}"


def test_a_killed_down_leaves_what_the_next_up_completes() -> None:
    wanted = project(service("db"), service("web", depends_on=needs("db"), scale=2))
    host = host_for(wanted)
    bring_up(host, wanted)
    whole = host.shape()
    for act in range(8):
        host.fuse = act
        take_down(host, wanted, parallel=1)
        host.fuse = None
        assert bring_up(host, wanted).code == 0
        assert host.shape() == whole


def test_a_roll_that_was_killed_never_had_fewer_than_all_at_work() -> None:
    """Start-first: at no act of a killed update and of the next up are there fewer running replicas than wanted."""
    before = project(service("web", scale=3))
    after = changed(before, "web", labels={"version": "2"})
    host = host_for(before)
    bring_up(host, before)
    lowest: list[int] = []
    length = len(cloned(host).log)
    for act in range(40):
        twin = cloned(host)
        twin.notice = lambda seen: lowest.append(len(seen.running("web")))
        twin.fuse = act
        attempt(twin, after)
        length = max(length, len(twin.log))
        twin.fuse = None
        attempt(twin, after)
        assert len(twin.running("web")) == 3 and len(twin.boxes) == 3
    assert min(lowest) >= 3
