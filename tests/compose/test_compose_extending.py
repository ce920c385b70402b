"""`extends`: in one file and across files, chains, circles, paths of the other file, and what is refused."""

from __future__ import annotations

from typing import Any

import pytest
from compose_files_kit import MemoryFiles, gathered, services

from boxship.compose.document import FileError
from boxship.compose.gathering import LoadRequest
from boxship.compose.loading import gather


def one(text: str, **more: str) -> dict[str, Any]:
    """The services of a compose.yaml and of further files; in their names __ is / and _yml is .yml."""
    named = {name.replace("__", "/").replace("_yml", ".yml"): each for name, each in more.items()}
    return services({"compose.yaml": f"services:\n{text}", **named})


def test_a_service_of_the_same_file() -> None:
    found = one(
        "  a: {image: x, ports: ['80'], environment: {A: 1}, command: [a], profiles: [p], depends_on: [d], user: u}\n"
        "  b: {extends: a, ports: ['81'], environment: [B=2], command: [b], user: !reset null}\n"
        "  c: {extends: {service: b}, ports: !override ['9'], environment: {A: !reset null}}\n"
        "  d: {image: y}\n"
    )
    assert "extends" not in found["b"] and found["a"]["user"] == "u"
    assert [each["target"] for each in found["b"]["ports"]] == [80, 81]
    assert found["b"]["environment"] == {"A": "1", "B": "2"}
    assert (found["b"]["command"], found["b"]["profiles"], "user" in found["b"]) == (["b"], ["p"], False)
    assert list(found["b"]["depends_on"]) == ["d"]
    assert [each["target"] for each in found["c"]["ports"]] == [9]
    assert found["c"]["environment"] == {"B": "2"}


def test_another_file_speaks_of_its_own_folder() -> None:
    found = one(
        "  b: {extends: {file: sub/base.yml, service: a}, volumes: ['./own:/own']}\n",
        sub__base_yml="services:\n  a: {extends: {file: ../other/o.yml, service: z}, volumes: ['./d:/d', 'n1:/n'],"
        " env_file: e.env}\nvolumes: {n1: {}}\n",
        other__o_yml="services:\n  z: {build: {context: ., args: [A]}, volumes: ['../z:/z', '~/h:/h', '/abs:/abs'],"
        " develop: {watch: [{path: src, action: rebuild}]}}\n",
    )["b"]
    assert found["build"]["context"] == "/p/other"
    assert found["env_file"][0]["path"] == "/p/sub/e.env"
    assert found["develop"]["watch"][0]["path"] == "/p/other/src"
    sources = {each["target"]: each["source"] for each in found["volumes"]}
    assert sources == {"/z": "/p/z", "/h": "~/h", "/abs": "/abs", "/d": "/p/sub/d", "/n": "n1", "/own": "/p/own"}


def test_paths_stay_relative_to_the_project_without_path_resolution() -> None:
    files: dict[str, str | bytes] = {
        "compose.yaml": "services:\n  a: {extends: {file: sub/i.yml, service: b}}\n",
        "sub/i.yml": "services:\n  b: {build: ctx, volumes: ['./d:/d', '../e:/e']}\n",
    }
    found = services(files, resolve_paths=False)["a"]
    assert found["build"]["context"] == "sub/ctx"
    assert [each["source"] for each in found["volumes"]] == ["sub/d", "e"]


def test_the_other_files_variables_are_those_of_the_project() -> None:
    files: dict[str, str | bytes] = {
        "compose.yaml": "services:\n  b: {extends: {file: '${F:-sub/o}.yml', service: a}}\n",
        "sub/o.yml": "services:\n  a: {image: 'x:${V}'}\n---\nservices: {a: {user: second}}\n",
        ".env": "V=1",
        "sub/.env": "V=2",
    }
    assert services(files)["b"] == {"image": "x:1", "user": "second"}


def test_extending_comes_before_merging() -> None:
    files: dict[str, str | bytes] = {
        "a.yml": "services:\n  a: {image: x, ports: ['1']}\n  b: {image: y, ports: ['2']}\n",
        "b.yml": "services:\n  a: {ports: ['3']}\n  b: {extends: a}\n",
    }
    found = services(files, "a.yml", "b.yml")["b"]
    assert ([each["target"] for each in found["ports"]], found["image"]) == ([2, 3], "y")


F = "/p/compose.yaml"
WRONG = {
    "  a: {extends: b}\n  b: {extends: c}\n  c: {extends: a}\n": f"{F}:4:16: services extend one another in a circle: "
    f"a ({F}) extends b ({F}) extends c ({F}) extends a ({F})",
    "  a: {extends: a}\n": f"circle: a ({F}) extends a ({F})",
    "  base: {image: x}\n  a: {extends: bas}\n": f'{F}:3:16: cannot extend service "a": no service "bas" (did you mean '
    '"base"?)',
    "  a: {extends: {file: no.yml, service: x}}\n": f"{F}:2:23: cannot read /p/no.yml: no such file",
    "  a: {extends: {file: o.yml, service: x}}\n": f'{F}:2:16: cannot extend service "a": no service "x" in /p/o.yml',
    "  a: {extends: {file: empty.yml, service: x}}\n": f"{F}:2:23: cannot extend a service of /p/empty.yml: it has no",
    "  a: {extends: {file: o.yml}}\n": f"{F}:2:16: ",
    "  a: {extends: {file: back.yml, service: z}}\n": f"circle: a ({F}) extends z (/p/back.yml) extends a ({F})",
    "  a: {extends: {file: bad.yml, service: z}}\n": "/p/bad.yml:2:7: services.z: unknown field",
}


@pytest.mark.parametrize(("text", "message"), WRONG.items(), ids=range(len(WRONG)))
def test_what_cannot_be_extended(text: str, message: str) -> None:
    files: dict[str, str | bytes] = {
        "compose.yaml": f"services:\n{text}",
        "o.yml": "services: {y: {image: x}}",
        "empty.yml": "x-a: 1",
        "back.yml": "services: {z: {extends: {file: compose.yaml, service: a}}}",
        "bad.yml": "services:\n  z: {imagee: x}\n",
    }
    with pytest.raises(FileError) as caught:
        gathered(files)
    assert message in str(caught.value)


def test_a_long_chain_is_refused_before_the_stack_is() -> None:
    services = "".join(f"  s{n}: {{extends: s{n + 1}}}\n" for n in range(300)) + "  s300: {image: x}\n"
    with pytest.raises(FileError, match="more than 100 services extend one another"):
        gathered({"compose.yaml": f"services:\n{services}"})


def test_a_file_is_read_once_for_all_who_extend_it() -> None:
    text = "services:\n" + "".join(f"  s{n}: {{extends: {{file: o.yml, service: a}}}}\n" for n in range(20))
    disk = MemoryFiles({"/p/compose.yaml": text, "/p/o.yml": "services: {a: {image: x}}"})
    found = gather(LoadRequest(start="/p"), disk)
    assert disk.reads.count("/p/o.yml") == 1
    assert len(list(found.tree.get("services").keys())) == 20  # type: ignore[union-attr]
