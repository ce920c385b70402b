"""Which files a project has, its folder, name, environment and profiles: by flags, COMPOSE_*, .env and defaults."""

from __future__ import annotations

from typing import Any

import pytest
from compose_files_kit import MemoryFiles, gathered, services

from boxship.compose.discovery import discover
from boxship.compose.document import FileError
from boxship.errors import Invalid, NotFound

A = "services: {a: {image: 'x${V-}'}}\n"
Files = dict[str, str | bytes]


def image(files: Files, *names: str, **request: Any) -> str:
    text: str = services(files, *names, **request)["a"]["image"]
    return text


def test_default_names_and_overrides() -> None:
    disk = MemoryFiles(dict.fromkeys(["/p/docker-compose.yml", "/p/compose.yaml", "/p/compose.override.yaml"], ""))
    found, warnings = discover("/p/sub/deep", disk)
    assert found == ("/p/compose.yaml", "/p/compose.override.yaml")
    assert warnings == (
        "Found multiple config files with supported names: /p/compose.yaml, /p/docker-compose.yml",
        "Using /p/compose.yaml",
    )
    assert discover("/q", disk) == ((), ())


def test_files_are_found_upwards_with_their_env_file() -> None:
    files: Files = {
        "compose.yaml": A,
        ".env": "V=1",
        "sub/.env": "V=2",
        "compose.override.yml": "services: {a: {tty: true}}",
    }
    found = gathered(files, start="/p/sub/deep")
    assert (found.directory, found.name) == ("/p", "p")
    assert found.files == ("/p/compose.yaml", "/p/compose.override.yml")
    assert image(files, start="/p/sub/deep") == "x1"
    assert image(files, start="/p/sub") == "x2"


def test_flags_and_folders() -> None:
    files: Files = {"q/compose.yaml": A, "q/.env": "V=1", ".env": "V=2"}
    assert image(files, directory="q") == "x1"
    assert image(files, "q/compose.yaml") == "x1"
    assert image(files, "q/compose.yaml", directory=".") == "x2"
    assert image(files, "/p/q/compose.yaml", start="/other") == "x1"


def test_standard_input() -> None:
    files: Files = {"b.yml": "services: {a: {user: u}}", ".env": "V=1"}
    found = gathered(files, "-", "b.yml", stdin=A.encode())
    assert (found.files, found.directory) == (("-", "/p/b.yml"), "/p")
    assert image(files, "-", stdin=A.encode()) == "x1"
    with pytest.raises(FileError, match="-:1:1: a key must be a text, not 5"):
        gathered(files, "-", stdin=b"5: 6")
    with pytest.raises(Invalid, match="no standard input"):
        gathered(files, "-")


def test_compose_file() -> None:
    files: Files = {"a.yml": A, "q/b.yml": "services: {a: {user: u}}", "compose.yaml": "services: {z: {image: z}}"}
    assert gathered(files, environment={"COMPOSE_FILE": "a.yml:q/b.yml"}).files == ("/p/a.yml", "/p/q/b.yml")
    environment = {"COMPOSE_FILE": "a.yml;q/b.yml", "COMPOSE_PATH_SEPARATOR": ";"}
    assert gathered(files, environment=environment).files == ("/p/a.yml", "/p/q/b.yml")
    dotted: Files = {**files, ".env": "COMPOSE_FILE=a.yml\nV=1", "q/.env": "V=2"}
    assert image(dotted) == "x1"
    assert gathered(dotted, "q/b.yml", environment={}).files == ("/p/q/b.yml",)


def test_env_files() -> None:
    files: Files = {"compose.yaml": A, ".env": "V=1", "e.env": "V=9\nW=1", "f.env": "V=$W\n1X=2"}
    assert image(files) == "x1"
    assert image(files, environment={"V": "7"}) == "x7"
    assert image(files, env_files=("e.env",)) == "x9"
    assert image(files, env_files=("e.env", "f.env")) == "x1"
    assert image(files, environment={"COMPOSE_ENV_FILES": "e.env,f.env"}) == "x1"
    assert image(files, environment={"COMPOSE_DISABLE_ENV_FILE": "true"}) == "x"
    assert image({**files, ".env": b""}) == "x"
    assert image({"compose.yaml": A, ".env/x": "V=1"}) == "x"
    assert "1X" not in gathered(files, env_files=("f.env",)).environment
    with pytest.raises(NotFound, match=r"cannot read the env file /p/no\.env: no such file"):
        gathered(files, env_files=("no.env",))
    with pytest.raises(FileError, match=r"/p/\.env:1:1: the name of a variable cannot contain a space"):
        gathered({**files, ".env": "A B=1"})
    found = gathered({**files, ".env": "V=$MISSING"})
    assert found.warnings == ('The "MISSING" variable is not set. Defaulting to a blank string.',)


def test_profiles_are_carried() -> None:
    files: Files = {"compose.yaml": A, ".env": "COMPOSE_PROFILES=c"}
    assert gathered(files).profiles == ("c",)
    assert gathered(files, environment={"COMPOSE_PROFILES": "a, b,"}).profiles == ("a", "b")
    assert gathered(files, profiles=("x",), environment={"COMPOSE_PROFILES": "a"}).profiles == ("x",)


NAMED = "name: file\n" + A


@pytest.mark.parametrize(
    ("files", "request_", "name"),
    [
        ({"compose.yaml": NAMED}, {"name": "flag_1"}, "flag_1"),
        ({"compose.yaml": NAMED}, {"environment": {"COMPOSE_PROJECT_NAME": "env"}}, "env"),
        ({"compose.yaml": NAMED, ".env": "COMPOSE_PROJECT_NAME=dot"}, {}, "dot"),
        ({"compose.yaml": NAMED}, {}, "file"),
        ({"compose.yaml": "name: o${H}\n" + A}, {"environment": {"H": "home"}}, "ohome"),
        ({"compose.yaml": "name: Other X\n" + A}, {}, "otherx"),
        ({"compose.yaml": NAMED, "compose.override.yaml": "name: two\n"}, {}, "two"),
        ({"compose.yaml": NAMED, "compose.override.yaml": "x-a: 1\n"}, {}, "file"),
        ({"compose.yaml": "name: a${B}\n" + A}, {"interpolate": False}, "a${B}"),
        ({"/My Proj.x/compose.yaml": A}, {"start": "/My Proj.x"}, "myprojx"),
        ({"/-_9a/compose.yaml": A}, {"start": "/-_9a"}, "9a"),
    ],
)
def test_the_name(files: Files, request_: dict[str, Any], name: str) -> None:
    found = gathered(files, **request_)
    assert found.name == name
    assert found.environment["COMPOSE_PROJECT_NAME"] == name
    assert found.tree.get("name") is None


def test_a_wrong_name() -> None:
    for request in ({"name": "_Flag"}, {"environment": {"COMPOSE_PROJECT_NAME": "Pn"}}):
        with pytest.raises(Invalid, match=r"invalid project name .* must consist only of lowercase"):
            gathered({"compose.yaml": A}, **request)  # type: ignore[arg-type]
    with pytest.raises(FileError, match=r'/p/compose\.yaml:1:7: invalid project name "__"'):
        gathered({"compose.yaml": "name: __\n" + A})
    with pytest.raises(Invalid, match="project name must not be empty"):
        gathered({"/___/compose.yaml": A}, start="/___")


def test_no_file_or_an_empty_one() -> None:
    with pytest.raises(NotFound, match="no configuration file provided: not found"):
        gathered({"x": "y"})
    with pytest.raises(NotFound, match=r"cannot read /p/no.yml"):
        gathered({"x": "y"}, "no.yml")
    with pytest.raises(FileError, match=r"/p/compose.yaml: empty compose file"):
        gathered({"compose.yaml": "# nothing\n"})
    assert services({"compose.yaml": A, "compose.override.yaml": ""})


def test_warnings_and_variables_are_collected() -> None:
    files: Files = {"compose.yaml": "version: '3'\nservices: {a: {image: '$N$N${D:-d}', user: '${R:?r}'}}\n"}
    found = gathered(files, environment={"R": "r"})
    assert found.warnings == (
        "/p/compose.yaml: the attribute `version` is obsolete, it will be ignored, please remove it to avoid potential"
        " confusion",
        'The "N" variable is not set. Defaulting to a blank string.',
    )
    assert [(use.name, use.default, use.required) for use in found.uses] == [
        ("D", "d", False),
        ("N", "", False),
        ("R", "", True),
    ]


def test_without_interpolation_variables_stay() -> None:
    text = (
        "services: {a: {image: 'x$V${W:-d}', volumes: ['./x:/x', '${D}:/d'], labels: {a: $x}, build: {context: $B}}}\n"
    )
    found = services({"compose.yaml": text}, interpolate=False)["a"]
    assert (found["image"], found["labels"], found["build"]["context"]) == ("x$V${W:-d}", {"a": "$x"}, "$B")
    assert found["volumes"][0]["source"] == "/p/x"


def test_home_stands_for_itself() -> None:
    text = "services: {a: {image: x, build: ~/b, volumes: ['~/h:/h']}}\nsecrets: {s: {file: ~/s}}\n"
    found = services({"compose.yaml": text}, environment={"HOME": "/root"})["a"]
    assert (found["build"]["context"], found["volumes"][0]["source"]) == ("/root/b", "/root/h")


def test_remote_contexts_are_no_paths() -> None:
    contexts = {"p": "./p", "q": "docker-image://alpine", "r": "https://x/y", "s": "service:a", "t": "oci-layout://x"}
    text = f"services: {{a: {{build: {{context: 'git@github.com:x/y', additional_contexts: {contexts}}}}}}}\n"
    found = services({"compose.yaml": text})["a"]["build"]
    assert found["context"] == "git@github.com:x/y"
    assert found["additional_contexts"] == {**contexts, "p": "/p/p"}


def test_the_device_of_a_bound_volume_is_a_path() -> None:
    text = "volumes:\n  v: {driver_opts: {type: none, o: bind, device: ./d}}\n  w: {driver_opts: {device: tmpfs}}\n" + A
    found = gathered({"compose.yaml": text}).tree.get("volumes")
    assert found.get("v").get("driver_opts").get("device").value == "/p/d"  # type: ignore[union-attr]
    assert found.get("w").get("driver_opts").get("device").value == "tmpfs"  # type: ignore[union-attr]
