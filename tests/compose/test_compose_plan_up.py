"""What `up` does: as little as possible, in the right order, and nothing before everything is checked."""

from __future__ import annotations

import pytest
from compose_memory_host import Behaviour
from compose_plan_kit import (
    acts,
    bring_up,
    changed,
    host_for,
    named_volume,
    needs,
    project,
    published,
    service,
    updating,
)
from msgspec import structs

from boxship.compose.hashing import later_hash
from boxship.compose.model import Material, Network, Project, Volume
from boxship.compose.parts import Build, Grant
from boxship.compose.planning.actions import AwaitContainer, CreateContainer, RollService, StartContainer
from boxship.compose.planning.images import policy_age
from boxship.compose.planning.observed import LABEL_DEPENDS, LABEL_GROUP, LABEL_PROJECT, LABEL_VIRTUAL, Observed
from boxship.compose.planning.options import UpOptions
from boxship.compose.planning.selecting import ordered
from boxship.compose.planning.up import up
from boxship.errors import BoxshipError, Conflict, Invalid, NotFound, Unsupported

TWO = project(
    service("db", volumes=(named_volume("data"),)),
    service("web", depends_on=needs("db", condition="service_healthy"), ports=(published(8080),)),
)


MADE = [
    "PullImage",
    "PullImage",
    "CreateNetwork demo_default",
    "CreateVolume demo_data",
    "CreateContainer demo-db-1",
    "CreateContainer demo-web-1",
]


def test_a_fresh_project_is_made_in_order_and_left_alone_afterwards() -> None:
    host = host_for(TWO)
    host.behaviours["id of db:1"] = Behaviour("healthy")
    result = bring_up(host, TWO, parallel=1)
    assert result.code == 0
    done = acts(host)
    last = ["StartContainer demo-db-1", "AwaitContainer demo-db-1", "StartContainer demo-web-1"]
    assert sorted(done) == sorted(MADE + last) and [act for act in done if act in last] == last
    assert done.index("CreateContainer demo-db-1") < done.index("CreateContainer demo-web-1")
    assert (
        host.named("demo-web-1").labels
        | {
            LABEL_PROJECT: "demo",
            LABEL_GROUP: "demo/web",
            LABEL_DEPENDS: "db:service_healthy:false",
        }
        == host.named("demo-web-1").labels
    )
    before, count = host.shape(), len(host.log)
    again = bring_up(host, TWO)
    assert again.code == 0 and host.shape() == before and len(host.log) == count
    assert {"Container demo-db-1 Running", "Container demo-web-1 Running"} <= set(again.view.texts)


def test_only_what_changed_is_made_again() -> None:
    host = host_for(TWO)
    bring_up(host, TWO)
    ids = {box.name: box.id for box in host.boxes.values()}
    count = len(host.log)
    result = bring_up(host, changed(TWO, "web", environment={"A": "1"}), parallel=1)
    old = ids["demo-web-1"][:12]
    assert acts(host, count) == [
        "AwaitContainer demo-db-1",
        f"CreateContainer {old}_demo-web-1",
        "StopContainer demo-web-1",
        "RemoveContainer demo-web-1",
        "RenameContainer demo-web-1",
        "StartContainer demo-web-1",
    ]
    assert host.named("demo-db-1").id == ids["demo-db-1"] and host.named("demo-web-1").state == "running"
    reasons = {event.reason for event in result.view.events if event.subject == "Container demo-web-1"}
    assert "configuration changed" in reasons
    host.images["db:1"] = "a newer id"
    result = bring_up(host, changed(TWO, "web", environment={"A": "1"}))
    assert "image changed" in {event.reason for event in result.view.events}
    assert host.named("demo-db-1").image == "a newer id"
    # How the image is built is no change, nor is it one that dependencies are left out this time.
    same = changed(TWO, "web", environment={"A": "1"}, build=Build(context="/src"))
    count = len(host.log)
    bring_up(host, same)
    bring_up(host, same, services=("web",), no_deps=True)
    assert "CreateContainer" not in " ".join(acts(host, count))


def test_recreation_by_option() -> None:
    host = host_for(TWO)
    host.image_volumes["web:1"] = ("/cache",)
    bring_up(host, TWO)

    def ids() -> dict[str, str]:
        return {box.name: box.id for box in host.boxes.values()}

    first = ids()
    anonymous = host.named("demo-web-1").volumes["/cache"]
    bring_up(host, TWO, services=("web",), force_recreate=True)
    second = ids()
    assert second["demo-db-1"] == first["demo-db-1"] and second["demo-web-1"] != first["demo-web-1"]
    assert host.named("demo-web-1").volumes["/cache"] == anonymous
    bring_up(host, TWO, services=("web",), always_recreate_deps=True)
    third = ids()
    assert third["demo-db-1"] != second["demo-db-1"] and third["demo-web-1"] == second["demo-web-1"]
    bring_up(host, changed(TWO, "db", labels={"a": "b"}), no_recreate=True)
    assert ids() == third
    bring_up(host, TWO, services=("web",), renew_anon_volumes=True)
    assert host.named("demo-web-1").volumes["/cache"] != anonymous and anonymous not in host.volumes
    for wrong in (
        {"force_recreate": True, "no_recreate": True},
        {"build": True, "no_build": True},
        {"no_recreate": True, "renew_anon_volumes": True},
        {"wait": True, "no_start": True},
        {"scale": {"web": -1}},
        {"scale": {"wbe": 1}},
        {"services": ("wbe",)},
    ):
        with pytest.raises(Invalid):
            bring_up(host, TWO, **wrong)


def test_what_a_later_stock_program_made_is_left_alone() -> None:
    wanted = project(service("db"), service("web", depends_on=needs("db")))
    host = host_for(wanted)
    bring_up(host, wanted)
    box = host.named("demo-web-1")
    assert later_hash(wanted.services["web"]) != box.labels["com.docker.compose.config-hash"]
    box.labels["com.docker.compose.config-hash"] = later_hash(wanted.services["web"])
    bring_up(host, wanted)
    assert host.named("demo-web-1") is box
    bring_up(host, project(service("db"), service("web", hostname="new", depends_on=needs("db"))))
    assert host.named("demo-web-1") is not box


def test_scale_goes_up_with_new_numbers_and_down_from_the_top_but_old_ones_first() -> None:
    wanted = project(service("web"))
    host = host_for(wanted)
    bring_up(host, wanted, scale={"web": 3})
    assert {box.name for box in host.boxes.values()} == {"demo-web-1", "demo-web-2", "demo-web-3"}
    bring_up(host, wanted, scale={"web": 2})
    assert {box.name for box in host.boxes.values()} == {"demo-web-1", "demo-web-2"}
    host.named("demo-web-1").labels["com.docker.compose.config-hash"] = "old"
    bring_up(host, wanted, scale={"web": 1})
    assert [box.name for box in host.boxes.values()] == ["demo-web-2"]
    bring_up(host, wanted, scale={"web": 2})
    assert {box.name for box in host.boxes.values()} == {"demo-web-1", "demo-web-2"}
    bring_up(host, wanted, scale={"web": 0})
    assert not host.boxes
    with pytest.raises(Invalid, match='using the custom container name "one"'):
        bring_up(host, project(service("web", container_name="one")), scale={"web": 2})


def test_conditions_hold_dependents_back() -> None:
    wanted = project(
        service("db"),
        service("migrate", depends_on=needs("db", condition="service_healthy")),
        service("web", depends_on=needs("migrate", condition="service_completed_successfully")),
        service("extra", depends_on=needs("migrate", condition="service_completed_successfully", required=False)),
    )
    host = host_for(wanted)
    host.behaviours |= {"id of db:1": Behaviour("healthy"), "id of migrate:1": Behaviour(exits=1, late=True)}
    result = bring_up(host, wanted)
    assert result.code == 1 and result.reasons == ["container demo-migrate-1 exited (1)"]
    assert host.named("demo-web-1").state == "created" and host.named("demo-extra-1").state == "running"
    assert "container demo-migrate-1 exited (1)" in result.outcome.warnings
    host.behaviours["id of migrate:1"] = Behaviour(exits=0, late=True)
    assert bring_up(host, wanted).code == 0 and host.named("demo-web-1").state == "running"
    host.behaviours["id of db:1"] = Behaviour("unhealthy")
    result = bring_up(host, changed(wanted, "db", labels={"a": "b"}))
    assert result.reasons == ["container demo-db-1 is unhealthy: no answer"]


def test_waiting_for_the_health_of_what_has_no_check_is_an_error() -> None:
    host = host_for(TWO)
    host.strict = True
    result = bring_up(host, TWO)
    assert result.reasons == ["container demo-db-1 has no healthcheck configured"]
    assert host.named("demo-web-1").state == "created"


def test_dependents_restart_or_are_made_again_with_what_they_stand_on() -> None:
    wanted = project(
        service("db"),
        service("web", depends_on=needs("db", restart=True)),
        service("plain", depends_on=needs("db")),
        service("side", network_mode="service:db", networks={}, depends_on=needs("db")),
        service("copy", volumes_from=("db:ro",), depends_on=needs("db")),
    )
    host = host_for(wanted)
    bring_up(host, wanted)
    ids = {box.name: box.id for box in host.boxes.values()}
    result = bring_up(host, changed(wanted, "db", labels={"a": "b"}))
    starts = {name: host.boxes[number].starts for name, number in ids.items() if number in host.boxes}
    assert starts == {"demo-web-1": 2, "demo-plain-1": 1}
    assert "db is replaced" in {event.reason for event in result.view.events}
    ids = {box.name: box.id for box in host.boxes.values()}
    bring_up(host, changed(wanted, "db", labels={"a": "b"}), services=("db",), force_recreate=True)
    after = {box.name: box.id for box in host.boxes.values()}
    assert {name for name in ids if ids[name] != after[name]} == {"demo-db-1", "demo-side-1", "demo-copy-1"}


def test_services_are_chosen_with_what_they_need() -> None:
    wanted = Project(
        name="demo",
        services={
            name: service(name, depends_on=needs(*of)) for name, of in {"db": (), "web": ("db",), "other": ()}.items()
        },
        disabled={
            "tool": service("tool", profiles=("tools",), depends_on=needs("db")),
            "both": service("both", profiles=("x",), depends_on=needs("tool")),
        },
        networks={"default": Network(name="demo_default")},
    )

    def names(*services: str, **options: bool) -> set[str]:
        host = host_for(wanted)
        assert bring_up(host, wanted, services=services, **options).code == 0
        return {box.name.split("-")[1] for box in host.boxes.values()}

    assert names() == {"db", "web", "other"}
    assert names("web") == {"db", "web"}
    assert names("web", no_deps=True) == {"web"}
    assert names("tool") == {"tool", "db"}
    assert names("both", "tool") == {"both", "tool", "db"}
    with pytest.raises(Invalid, match=r"'both' depends on 'tool', which is not enabled \(profiles: tools\)"):
        names("both")
    with pytest.raises(Invalid, match=r"no such service: wbe \(did you mean web\?\)"):
        names("wbe")


def test_orphans_are_named_or_removed() -> None:
    host = host_for(TWO)
    bring_up(host, TWO)
    one = structs.replace(TWO, services={"db": TWO.services["db"]})
    result = bring_up(host, one)
    assert result.view.warnings == [
        "Found orphan containers ([demo-web-1]) for this project. If you removed or renamed this service in your "
        "compose file, you can run this command with the --remove-orphans flag to clean it up."
    ]
    assert bring_up(host, one, ignore_orphans=True).view.warnings == []
    disabled = structs.replace(one, disabled={"web": TWO.services["web"]})
    assert bring_up(host, disabled).view.warnings == []
    bring_up(host, one, remove_orphans=True)
    assert [box.name for box in host.boxes.values()] == ["demo-db-1"]


def test_what_belongs_to_others_is_checked_first() -> None:
    wanted = project(
        service("web", networks={"shared": None}, volumes=(named_volume("theirs"),)),
        networks={"shared": Network(name="shared", external=True)},
        volumes={"theirs": Volume(name="theirs", external=True)},
    )
    host = host_for(wanted)
    host.images["web:1"] = "id of web:1"
    for error in ("network shared declared as external, but could not be found", 'external volume "theirs" not found'):
        with pytest.raises(NotFound, match=error):
            bring_up(host, wanted)
        assert not host.log
        host.networks["shared"] = ("n" * 64, {})
    host.volumes["theirs"] = {}
    assert bring_up(host, wanted).code == 0 and len(host.networks) == 1
    secret = project(service("web", secrets=(Grant(source="key"),)))
    with pytest.raises(Unsupported, match="unsupported: external secret key"):
        bring_up(host, structs.replace(secret, secrets={"key": Material(name="key", external=True)}))


def test_networks_and_volumes_of_others_and_changed_ones() -> None:
    host = host_for(TWO)
    host.networks["demo_default"] = ("n" * 64, {})
    host.volumes["demo_data"] = {LABEL_PROJECT: "other"}
    result = bring_up(host, TWO)
    assert any("exists but was not created by compose" in text for text in result.view.warnings)
    assert any('was created for project "other" (expected "demo")' in text for text in result.view.warnings)
    host.networks["demo_default"][1].update({LABEL_PROJECT: "demo", "com.docker.compose.network": "inner"})
    with pytest.raises(Conflict, match="has incorrect label"):
        bring_up(host, TWO)

    host = host_for(TWO)
    bring_up(host, TWO)
    ids = {box.name: box.id for box in host.boxes.values()}
    network = host.networks["demo_default"][0]
    inner = structs.replace(TWO, networks={"default": Network(name="demo_default", internal=True)})
    only_db = bring_up(host, inner, services=("db",))
    assert only_db.code == 0 and host.networks["demo_default"][0] != network
    assert host.named("demo-db-1").id != ids["demo-db-1"] and host.named("demo-web-1").id == ids["demo-web-1"]
    assert {box.state for box in host.boxes.values()} == {"running"}
    assert {box.networks["demo_default"] for box in host.boxes.values()} == {host.networks["demo_default"][0]}
    # A network that was removed and made again by hand: the containers are not in it.
    host.networks["demo_default"] = ("m" * 64, host.networks["demo_default"][1])
    assert bring_up(host, inner).code == 0
    assert {box.networks["demo_default"] for box in host.boxes.values()} == {"m" * 64}
    stranger = structs.replace(inner, networks={"default": Network(name="demo_default", driver="bridge")})
    host.boxes["x" * 64] = structs_box(host)
    with pytest.raises(Conflict, match="containers outside of the project use it: xxxxxxxxxxxx"):
        bring_up(host, stranger)


def structs_box(host: object) -> object:
    from compose_memory_host import Box

    return Box("x" * 64, "stranger", "i", "i", {}, 0, "running", networks={"demo_default": "m" * 64})


def test_a_configuration_that_changes_replaces_who_has_it() -> None:
    def with_word(word: str) -> Project:
        wanted = project(service("a", configs=(Grant(source="page"),), secrets=(Grant(source="key"),)), service("b"))
        page, key = Material(name="page", digest=word), Material(name="key", digest=word[:1])
        return structs.replace(wanted, configs={"page": page}, secrets={"key": key})

    host = host_for(with_word("x"))
    ids = []
    for word in ("one", "one", "own", "two", ""):
        assert bring_up(host, with_word(word)).code == 0
        ids.append((host.named("demo-a-1").id, host.named("demo-b-1").id))
    assert ids[0] == ids[1] and len({a for a, _ in ids}) == 3 and ids[3] == ids[4] and len({b for _, b in ids}) == 1


def test_ports_go_from_one_service_to_another() -> None:
    before = project(service("a", ports=(published(81),)), service("b", ports=(published(82),)), service("c", scale=2))
    swapped = changed(changed(before, "a", ports=(published(82),)), "b", ports=(published(81),))
    for parallel in (0, 1):
        host = host_for(before)
        bring_up(host, before)
        assert bring_up(host, swapped, parallel=parallel).reasons == []
    # A proxy comes in front of what was published, also while the old replicas are replaced one by one.
    front = project(
        service("a", ports=(published(90),), depends_on=needs("b")),
        service("b", scale=2, depends_on=needs("d")),
        service("d", ports=(published(82),)),
    )
    host = host_for(before, front)
    bring_up(host, before)
    assert bring_up(host, front, remove_orphans=True).reasons == []
    assert {box.name for box in host.boxes.values()} == {"demo-a-1", "demo-b-1", "demo-b-2", "demo-d-1"}
    renamed = project(service("other", ports=(published(82),)))
    host.remote["other:1"] = "id"
    host.images["other:1"] = "id"
    assert "port is already allocated" in bring_up(host, renamed).reasons[0]
    assert bring_up(host, renamed, remove_orphans=True).code == 0


def test_images_are_pulled_and_built_by_policy() -> None:
    built = Build(context="/src")
    wanted = project(
        service("a", image="", build=built),
        service("b", image="b:1", build=built, pull_policy="missing"),
        service("c", image="c:1", pull_policy="always"),
        service("d", image="d:1", pull_policy="daily"),
        service("e", image="c:1"),
    )
    host = host_for(wanted)
    result = bring_up(host, wanted, parallel=1)
    assert result.code == 0
    images = [getattr(action, "image", "") for action in host.log if "Image" in type(action).__name__]
    assert images == ["b:1", "c:1", "d:1", "demo-a", "b:1"]  # b could not be pulled, so it is built
    assert any("cannot pull b:1" in text for text in result.outcome.warnings)
    count = len(host.log)
    bring_up(host, wanted, now=10**18, parallel=1)
    again = [getattr(action, "image", "") for action in host.log[count:] if "Image" in type(action).__name__]
    assert again == ["c:1", "d:1"]  # when d was pulled is not known
    count = len(host.log)
    bring_up(host, wanted, build=True, pull="never", parallel=1)
    assert [type(action).__name__ for action in host.log[count:]][:2] == ["BuildImage", "BuildImage"]
    with pytest.raises(NotFound, match="demo-a is not built"):
        bring_up(host_for(wanted), wanted, no_build=True, pull="never")
    missing = project(service("gone"))
    host = host_for(missing)
    host.remote.clear()
    assert bring_up(host, missing).reasons == ["cannot pull gone:1: not found"] and not host.networks
    assert policy_age("every_1w2d3h") == (9 * 24 + 3) * 3600 * 10**9
    for wrong in ("hourly", "every_", "every_x"):
        with pytest.raises(BoxshipError):
            policy_age(wrong)


def test_no_start_wait_and_labels_by_option() -> None:
    host = host_for(TWO)
    bring_up(host, TWO, no_start=True)
    assert {box.state for box in host.boxes.values()} == {"created"}
    host.behaviours["id of web:1"] = Behaviour("unhealthy")
    result = bring_up(host, TWO, wait=True, wait_timeout=5.0)
    assert result.reasons == ["container demo-web-1 is unhealthy: no answer"]
    waits = [action for action in host.log if isinstance(action, AwaitContainer) and action.seconds]
    assert {action.name for action in waits} == {"demo-db-1", "demo-web-1"}
    virtual = structs.replace(updating(), endpoint_mode="vip")
    plan = up(project(service("web", deploy=virtual)), Observed(), UpOptions())
    create = next(step.action for step in plan.steps if isinstance(step.action, CreateContainer))
    assert create.labels[LABEL_VIRTUAL] == "web"
    alone = service("web", deploy=virtual, network_mode="host", networks={})
    plan = up(project(alone), Observed(), UpOptions())
    assert all(
        LABEL_VIRTUAL not in step.action.labels for step in plan.steps if isinstance(step.action, CreateContainer)
    )
    chain = {f"s{n}": service(f"s{n}", depends_on=needs(f"s{n + 1}") if n < 3000 else {}) for n in range(3001)}
    assert ordered(chain)[0] == "s3000" and len(ordered(chain)) == 3001


def test_replicas_are_rolled_and_single_ones_are_not() -> None:
    def rolled(wanted: Project, **options: object) -> RollService | None:
        host = host_for(wanted)
        bring_up(host, wanted)
        seen = host.observe("demo", images=tuple(host.images), networks=("demo_default",))
        plan = up(changed(wanted, "web", labels={"new": "1"}), seen, UpOptions(**options))  # type: ignore[arg-type]
        return next((step.action for step in plan.steps if isinstance(step.action, RollService)), None)

    assert rolled(project(service("web"))) is None
    assert rolled(project(service("web", scale=2)), no_start=True) is None
    action = rolled(project(service("web", scale=2, ports=(published(80),))))
    assert action is not None and action.start_first and len(action.slots) == 2 and action.update.monitor == 1.0
    single = project(service("web", deploy=updating(), volumes=(named_volume("data"),)))
    action = rolled(single)
    assert action is not None and not action.start_first  # one that writes data is alone with it
    for fields in (
        {"container_name": "x"},
        {"network_mode": "host", "networks": {}},
        {"mac_address": "02:00:00:00:00:01"},
    ):
        action = rolled(project(service("web", deploy=updating(order="start-first"), **fields)))
        assert action is not None and not action.start_first
    action = rolled(project(service("web", deploy=updating(order="start-first"), volumes=(named_volume("data"),))))
    assert action is not None and action.start_first
    with pytest.raises(Invalid, match="failure_action must be one of"):
        rolled(project(service("web", deploy=updating(failure_action="panic"))))


def test_a_plan_points_only_back_and_starts_come_after_what_they_need() -> None:
    plan = up(TWO, Observed(), UpOptions())
    assert all(before < step.id for step in plan.steps for before in step.after)
    assert [step.id for step in plan.steps] == list(range(len(plan.steps)))
    start = [step for step in plan.steps if isinstance(step.action, StartContainer)][-1]
    assert len(start.after) == 2
