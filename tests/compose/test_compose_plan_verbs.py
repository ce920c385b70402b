"""`down`, `start`, `stop`, `restart`, `kill`, `rm`, `pause`, `unpause`, `run`, `pull`, `build` and `push`."""

from __future__ import annotations

import pytest
from compose_memory_host import MemoryHost
from compose_plan_kit import (
    acts,
    bring_up,
    do,
    host_for,
    named_volume,
    needs,
    project,
    service,
    take_down,
)
from msgspec import structs

from boxship.compose.model import Network, Project, Volume
from boxship.compose.parts import Build, Mount
from boxship.compose.planning import images, lifecycle
from boxship.compose.planning.actions import BuildImage, CreateContainer, KillContainer, Pass, Plan, PushImage
from boxship.compose.planning.observed import LABEL_GROUP, LABEL_ONE_OFF, Observed
from boxship.compose.planning.options import (
    BuildOptions,
    KillOptions,
    PauseOptions,
    PullOptions,
    PushOptions,
    RemoveOptions,
    RestartOptions,
    RunOptions,
    StartOptions,
    StopOptions,
    UpOptions,
)
from boxship.compose.planning.selecting import ordered, recovered
from boxship.compose.planning.up import create, run, scale
from boxship.compose.running.view import subject
from boxship.errors import Invalid, NotFound

CHAIN = project(
    service("db", volumes=(named_volume("data"),)),
    service("app", depends_on=needs("db", restart=True)),
    service("web", depends_on=needs("app"), volumes=(Mount(type="volume", target="/anonymous"),)),
)


def started(wanted: Project = CHAIN) -> MemoryHost:
    host = host_for(wanted)
    assert bring_up(host, wanted, ignore_orphans=True).code == 0
    host.log.clear()
    return host


def test_down_takes_dependents_first_and_leaves_data() -> None:
    host = started()
    assert take_down(host, CHAIN, parallel=1).code == 0
    assert acts(host) == [
        "StopContainer demo-web-1",
        "RemoveContainer demo-web-1",
        "StopContainer demo-app-1",
        "RemoveContainer demo-app-1",
        "StopContainer demo-db-1",
        "RemoveContainer demo-db-1",
        "RemoveNetwork demo_default",
    ]
    assert "demo_data" in host.volumes and len(host.anonymous) == 1
    nothing = take_down(host, structs.replace(CHAIN, networks={}))
    assert nothing.view.warnings == ['No resource found to remove for project "demo".']
    host = started()
    take_down(host, CHAIN, volumes=True)
    assert not host.volumes and not host.networks


def test_down_of_services_orphans_images_and_what_others_use() -> None:
    host = started()
    take_down(host, CHAIN, services=("web",))
    assert {box.name for box in host.boxes.values()} == {"demo-app-1", "demo-db-1"} and host.networks
    without_web = structs.replace(CHAIN, services={name: CHAIN.services[name] for name in ("db", "app")})
    host = started()
    result = take_down(host, without_web, volumes=True)
    assert [box.name for box in host.boxes.values()] == ["demo-web-1"] and "demo_default" in host.networks
    assert result.view.warnings == ["Network demo_default: Resource is still in use"] and result.code == 0
    take_down(host, without_web, remove_orphans=True)
    assert not host.boxes and not host.networks

    built = project(service("own", image="", build=Build(context="/s")), service("named", image="n:1"))
    for kind, left in (("", {"demo-own", "n:1"}), ("local", {"n:1"}), ("all", set())):
        host = started(built)
        take_down(host, built, images=kind)
        assert set(host.images) == left
    with pytest.raises(Invalid, match="--rmi"):
        take_down(host, built, images="some")
    external = project(
        service("web", networks={"out": None}, volumes=(named_volume("theirs"),)),
        networks={"out": Network(name="out", external=True)},
        volumes={"theirs": Volume(name="theirs", external=True)},
    )
    host = host_for(external)
    host.networks["out"], host.volumes["theirs"] = ("n" * 64, {}), {}
    bring_up(host, external)
    take_down(host, external, volumes=True)
    assert "out" in host.networks and "theirs" in host.volumes and not host.boxes


def test_a_project_is_known_without_its_file() -> None:
    host = started()
    seen = host.observe("demo")
    found = recovered("demo", seen)
    assert ordered(found.services) == ("db", "app", "web")
    assert found.services["app"].depends_on["db"].restart and found.services["web"].image == "web:1"
    take_down(host, found, parallel=1, volumes=True)
    assert not host.boxes and not host.networks and "demo_data" not in host.volumes
    with pytest.raises(Invalid, match="dependency cycle detected: a -> b -> a"):
        ordered(project(service("a", depends_on=needs("b")), service("b", depends_on=needs("a"))).services)


def test_stop_start_and_restart_respect_dependencies() -> None:
    host = started()
    do(host, CHAIN, lambda seen: lifecycle.stop(CHAIN, seen, StopOptions(timeout=3.0)), parallel=1)
    assert acts(host) == ["StopContainer demo-web-1", "StopContainer demo-app-1", "StopContainer demo-db-1"]
    assert all(getattr(action, "seconds", None) == 3.0 for action in host.log)
    host.log.clear()
    do(host, CHAIN, lambda seen: lifecycle.start(CHAIN, seen, StartOptions(services=("app",))), parallel=1)
    assert acts(host) == ["StartContainer demo-db-1", "StartContainer demo-app-1"]
    host.log.clear()
    result = do(host, CHAIN, lambda seen: lifecycle.start(CHAIN, seen, StartOptions(wait=True)))
    assert "StartContainer demo-web-1" in acts(host) and "AwaitContainer demo-web-1" in acts(host) and result.code == 0
    host.log.clear()
    do(host, CHAIN, lambda seen: lifecycle.restart(CHAIN, seen, RestartOptions(services=("db",))), parallel=1)
    assert acts(host) == ["RestartContainer demo-db-1", "RestartContainer demo-app-1"]
    host.log.clear()
    do(host, CHAIN, lambda seen: lifecycle.restart(CHAIN, seen, RestartOptions(services=("db",), no_deps=True)))
    assert acts(host) == ["RestartContainer demo-db-1"]
    empty = host_for(CHAIN)
    with pytest.raises(NotFound, match='service "db" has no container to start'):
        do(empty, CHAIN, lambda seen: lifecycle.start(CHAIN, seen, StartOptions()))
    result = do(empty, CHAIN, lambda seen: lifecycle.restart(CHAIN, seen, RestartOptions()))
    assert result.code == 0 and result.view.warnings == ["no container to restart"]
    do(host, CHAIN, lambda seen: lifecycle.remove(CHAIN, seen, RemoveOptions(services=("app",), stop=True)))
    do(host, CHAIN, lambda seen: lifecycle.stop(CHAIN, seen, StopOptions()))
    host.log.clear()
    do(host, CHAIN, lambda seen: lifecycle.start(CHAIN, seen, StartOptions()), parallel=1)
    assert acts(host) == ["StartContainer demo-db-1", "StartContainer demo-web-1"]


def test_kill_rm_pause_and_unpause() -> None:
    host = started()
    do(host, CHAIN, lambda seen: lifecycle.pause(CHAIN, seen, PauseOptions(services=("db",))))
    assert host.named("demo-db-1").state == "paused"
    up_again = bring_up(host, CHAIN)
    assert up_again.code == 0 and host.named("demo-db-1").state == "running"
    do(host, CHAIN, lambda seen: lifecycle.pause(CHAIN, seen, PauseOptions()))
    do(host, CHAIN, lambda seen: lifecycle.unpause(CHAIN, seen, PauseOptions()))
    assert {box.state for box in host.boxes.values()} == {"running"}
    do(host, CHAIN, lambda seen: lifecycle.kill(CHAIN, seen, KillOptions(services=("web",), signal="SIGINT")))
    killed = [action for action in host.log if isinstance(action, KillContainer)]
    assert [(action.name, action.signal) for action in killed] == [("demo-web-1", "SIGINT")]
    do(host, CHAIN, lambda seen: lifecycle.remove(CHAIN, seen, RemoveOptions(volumes=True)))
    assert {box.name for box in host.boxes.values()} == {"demo-app-1", "demo-db-1"} and not host.anonymous
    result = do(host, CHAIN, lambda seen: lifecycle.remove(CHAIN, seen, RemoveOptions()))
    assert result.view.warnings == ["No stopped containers"]
    do(host, CHAIN, lambda seen: lifecycle.remove(CHAIN, seen, RemoveOptions(stop=True)))
    assert not host.boxes
    result = do(host, CHAIN, lambda seen: lifecycle.kill(CHAIN, seen, KillOptions()))
    assert result.view.warnings == ["no container to kill"]


def test_one_off_containers_stand_beside_the_service() -> None:
    host = host_for(CHAIN)
    host.images["web:1"] = "id of web:1"
    host.images |= {"db:1": "id of db:1", "app:1": "id of app:1"}

    def once(**fields: object) -> Plan:
        seen = host.observe("demo", images=tuple(host.images), networks=("demo_default",), volumes=("demo_data",))
        return run(CHAIN, seen, RunOptions(service="web", **fields))  # type: ignore[arg-type]

    assert do(host, CHAIN, lambda seen: once(slug="abc")).code == 0
    one = host.named("demo-web-run-abc")
    assert one.state == "created" and one.labels[LABEL_ONE_OFF] == "True" and LABEL_GROUP not in one.labels
    assert {box.name for box in host.boxes.values() if box.state == "running"} == {"demo-db-1", "demo-app-1"}
    names = [
        step.action.name for step in once(name="mine", no_deps=True).steps if isinstance(step.action, CreateContainer)
    ]
    assert names == ["mine"]
    one.state = "exited"
    assert bring_up(host, CHAIN).view.warnings[0].startswith("Found orphan containers ([demo-web-run-abc])")
    assert host.named("demo-web-1").state == "running"
    take_down(host, CHAIN, remove_orphans=True)
    assert not host.boxes


def test_create_and_scale() -> None:
    host = host_for(CHAIN)
    host.images |= {f"{name}:1": f"id of {name}:1" for name in CHAIN.services}
    do(host, CHAIN, lambda seen: create(CHAIN, seen, UpOptions()))
    assert {box.state for box in host.boxes.values()} == {"created"}
    do(host, CHAIN, lambda seen: scale(CHAIN, seen, UpOptions(scale={"db": 2}, no_deps=True)))
    assert {box.name for box in host.boxes.values() if box.state == "running"} == {"demo-db-1", "demo-db-2"}
    with pytest.raises(Invalid, match="SERVICE=REPLICAS"):
        scale(CHAIN, Observed(), UpOptions())


def test_pull_build_and_push() -> None:
    base = Build(context="/base")
    wanted = project(
        service("child", image="r/child:1", build=Build(context="/c", additional_contexts={"base": "service:base"})),
        service("base", image="", build=base),
        service("plain", image="plain:1", depends_on=needs("base")),
        service("fixed", image="fixed:1", pull_policy="never"),
        service("again", image="plain:1", pull_policy="missing"),
    )

    def shown(plan: Plan) -> list[str]:
        return [
            f"{step.action.service} {step.action.text}"
            if isinstance(step.action, Pass)
            else f"{type(step.action).__name__} {getattr(step.action, 'image', '')}"
            for step in plan.steps
        ]

    seen = Observed(images={"plain:1": "id"})
    assert shown(images.pull(wanted, seen, PullOptions())) == [
        "PullImage r/child:1",
        "base Skipped - No image to be pulled",
        "PullImage plain:1",
        "fixed Skipped - Image has pull policy never",
        "again Skipped - Image is already present locally",
    ]
    assert shown(images.pull(wanted, seen, PullOptions(services=("child",), ignore_buildable=True))) == [
        "child Skipped - Image can be built"
    ]
    assert "base Skipped - No image to be pulled" in shown(
        images.pull(wanted, seen, PullOptions(services=("plain",), include_deps=True))
    )
    skipped = images.pull(wanted, seen, PullOptions(services=("base",)))
    assert [subject(step.action) for step in skipped.steps] == ["Service base"]
    plan = images.build(wanted, seen, BuildOptions(push=True))
    assert [type(step.action) for step in plan.steps] == [BuildImage, BuildImage, PushImage]
    assert [step.action.service for step in plan.steps] == ["base", "child", "child"]
    assert [step.after for step in plan.steps] == [(), (0,), (1,)]
    assert images.build(wanted, seen, BuildOptions(services=("plain",))).warnings == ("No services to build",)
    assert len(images.build(wanted, seen, BuildOptions(services=("plain",), with_dependencies=True)).steps) == 1
    assert shown(images.push(wanted, seen, PushOptions())) == ["PushImage r/child:1"]
    assert len(shown(images.push(wanted, seen, PushOptions(services=("base", "child"))))) == 2
    circle = project(
        service("a", build=Build(context="/a", additional_contexts={"b": "service:b"})),
        service("b", build=Build(context="/b", additional_contexts={"a": "service:a"})),
    )
    with pytest.raises(Invalid, match="dependency cycle detected: a -> b -> a"):
        images.build(circle, seen, BuildOptions())
