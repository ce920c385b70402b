"""Loading: profiles, environment, names and dependencies, as values of the model."""

import pytest
from compose_cases_kit import loaded
from msgspec import structs

from boxship.compose.canonical import long_form
from boxship.compose.checking import check
from boxship.compose.document import FileError, Mapping
from boxship.compose.load import Options
from boxship.compose.model import Project, Service
from boxship.compose.normal import used
from boxship.compose.parts import Dependency, Ulimit
from boxship.compose.printing import in_order
from boxship.compose.reading import parse
from boxship.compose.trees import plain
from boxship.errors import Invalid

PROFILES = """
services:
  web: {image: x}
  debug: {image: x, profiles: [debug], depends_on: [probe]}
  probe: {image: x, profiles: [debug]}
  test: {image: x, profiles: [test], depends_on: {debug: {condition: service_started, required: false}}}
"""


def test_profiles_enable_services() -> None:
    assert list(loaded(PROFILES).services) == ["web"]
    assert list(loaded(PROFILES).disabled) == ["debug", "probe", "test"]
    assert list(loaded(PROFILES, {"COMPOSE_PROFILES": "debug"}).services) == ["web", "debug", "probe"]
    assert list(loaded(PROFILES, {"COMPOSE_PROFILES": "*"}).services) == ["web", "debug", "probe", "test"]


def test_a_named_service_brings_its_profiles() -> None:
    assert list(loaded(PROFILES, options=Options(services=("probe",))).services) == ["web", "debug", "probe"]
    assert list(loaded(PROFILES, options=Options(services=("test",))).services) == ["web", "test"]
    with pytest.raises(Invalid, match=r'no such service: tst \(did you mean "test"\?\)'):
        loaded(PROFILES, options=Options(services=("tst",)))


def test_files_of_a_disabled_service_need_not_be_there() -> None:
    text = "services:\n  web: {image: x}\n  b: {image: x, profiles: [p], env_file: [nowhere.env]}\n"
    assert loaded(text).disabled["b"].env_file[0].path == "/p/nowhere.env"
    with pytest.raises(
        FileError, match=r"compose.yaml:3:\d+: services.b.env_file\[0\]: there is no file /p/nowhere.env"
    ):
        loaded(text, options=Options(services=("b",)))


def test_variables_of_files_and_of_the_surroundings() -> None:
    text = """
services:
  a:
    image: x
    env_file: [one.env, {path: none.env, required: false}]
    environment: {OWN: own, OUTER: , NOBODY: , BOTH: own}
    post_start: [{command: x, environment: [OUTER]}]
    build: {args: [OUTER, NOBODY, A=1]}
"""
    more = {"/p/one.env": "FILE=1\nBOTH=file\nSEES=$OUTER-$OWN-$FILE\n"}
    service = loaded(text, {"OUTER": "out"}, more=more).services["a"]
    assert service.environment == {
        "FILE": "1",
        "BOTH": "own",
        "SEES": "out-own-1",
        "OWN": "own",
        "OUTER": "out",
        "NOBODY": None,
    }
    assert service.env_file == ()
    assert service.post_start[0].environment == {"OUTER": "out"}
    assert service.build is not None
    assert service.build.args == {"OUTER": "out", "A": "1"}
    kept = loaded(text, {"OUTER": "out"}, Options(resolve_environment=False), more).services["a"]
    assert [file.path for file in kept.env_file] == ["/p/one.env", "/p/none.env"]


def test_what_other_fields_imply_is_a_dependency() -> None:
    text = """
services:
  a: {image: x, links: ["b:bee"], volumes_from: ["c:ro", "container:z"], network_mode: "service:d"}
  b: {image: x}
  c: {image: x}
  d: {image: x}
"""
    assert loaded(text).services["a"].depends_on == {
        "b": Dependency(restart=True),
        "c": Dependency(),
        "d": Dependency(restart=True),
    }


def test_names_and_defaults() -> None:
    text = """
services:
  a: {image: x, build: {}, networks: [n, e], volumes: [data:/d], ulimits: {nofile: 5, nproc: {soft: 1, hard: 2}}}
  b: {image: x}
networks: {n: , e: {external: true}, unused: {}}
volumes: {data: , old: {external: {name: other}}}
"""
    project = loaded(text)
    assert (project.name, project.directory, project.files) == ("p", "/p", ("/p/compose.yaml",))
    assert {key: network.name for key, network in project.networks.items()} == {
        "n": "p_n",
        "e": "e",
        "unused": "p_unused",
        "default": "p_default",
    }
    assert {key: volume.name for key, volume in project.volumes.items()} == {"data": "p_data", "old": "other"}
    assert project.volumes["old"].external
    assert set(used(project).networks) == {"n", "e", "default"}
    assert set(used(project).volumes) == {"data"}
    service = project.services["a"]
    assert service.build is not None
    assert (service.build.context, service.build.dockerfile) == ("/p", "Dockerfile")
    assert service.ulimits == {"nofile": Ulimit(single=5), "nproc": Ulimit(soft=1, hard=2)}
    assert project.services["b"].networks == {"default": None}


def test_variables_that_are_no_text_are_refused() -> None:
    for line in ("command: ['${V}']", "environment: [V]"):
        with pytest.raises(Invalid, match="not UTF-8"):
            loaded(f"services:\n  a:\n    image: x\n    {line}\n", environment={"V": "\udcff"})


def test_fields_of_other_platforms_are_warned_of() -> None:
    text = "services:\n  a:\n    image: x\n    cpu_count: 2\n    deploy: {placement: {constraints: [a]}}\n"
    assert loaded(text).warnings == (
        "/p/compose.yaml:4:5: services.a.cpu_count has no effect here, it is meant for Windows containers",
        "/p/compose.yaml:5:14: services.a.deploy.placement has no effect here, it is meant for"
        " a cluster of several machines",
    )


def test_the_long_form_is_its_own_long_form() -> None:
    text = """
services:
  a:
    build: .
    command: a 'b c'
    ports: ["80-81:90-91", {target: 5}]
    volumes: [./a:/b:ro]
    environment: [A=1, B]
    extra_hosts: {a: [1.2.3.4, "[::1]"]}
    env_file: x
    depends_on: [b]
    secrets: [s]
    privileged: "yes"
    healthcheck: {test: x, interval: 90s}
"""
    (document,) = parse(text.encode(), "f")
    assert isinstance(document, Mapping)
    once = long_form(document)
    assert plain(long_form(once)) == plain(once)
    assert plain(once)["services"]["a"]["ports"][1] == {
        "mode": "ingress",
        "target": 91,
        "published": "81",
        "protocol": "tcp",
    }
    assert plain(once)["services"]["a"]["extra_hosts"] == ["a=1.2.3.4", "a=::1"]


def test_without_interpolation_short_forms_wait_for_their_variables() -> None:
    text = 'services:\n  a: {build: "${B}", ports: ["${P}:80"], init: "${I}", dns: "${D}", command: a $b}\n'
    (document,) = parse(text.encode(), "f")
    assert plain(long_form(document, interpolated=False))["services"]["a"] == {
        "build": {"context": "${B}"},
        "ports": ["${P}:80"],
        "init": "${I}",
        "dns": ["${D}"],
        "command": "a $b",
    }


def test_long_chains_of_dependencies_are_followed() -> None:
    count = 1100  # deeper than Python's own stack
    services = {f"s{n}": Service(name=f"s{n}", depends_on={f"s{(n + 1) % count}": Dependency()}) for n in range(count)}
    circle = Project(name="p", services=services)
    assert len(in_order(circle)) == count
    chain = structs.replace(circle, services={**services, f"s{count - 1}": Service(name=f"s{count - 1}")})
    assert in_order(chain)[:2] == (f"s{count - 1}", f"s{count - 2}")
    lines = [f"  s{number}: {{image: x, links: [s{(number + 1) % count}]}}\n" for number in range(count)]
    with pytest.raises(FileError, match=rf"services.s{count - 1}: services depend on each other: s0 -> s1 -> "):
        check(parse(f"services:\n{''.join(lines)}".encode(), "f")[0])
