"""`include`: own folder, own .env, several files, nested, what conflicts, and circles."""

from __future__ import annotations

from typing import Any

import pytest
from compose_files_kit import gathered, services

from boxship.compose import gathering
from boxship.compose.document import FileError
from boxship.compose.trees import plain
from boxship.errors import Unsupported

A = "services: {a: {image: x}}\n"


def test_the_short_form_is_read_in_its_own_folder() -> None:
    files: dict[str, str | bytes] = {
        "compose.yaml": "include: [sub/i.yml]\nservices:\n  a: {image: 'v${V-unset}', depends_on: [b]}\n",
        "sub/i.yml": "name: other\nx-a: 1\nservices:\n  b: {build: ctx, image: 'v${V}${H}${COMPOSE_PROJECT_NAME}$$V',"
        " volumes: ['./d:/d', 'n1:/n'], env_file: e.env}\nvolumes: {n1: {}}\nsecrets: {s: {file: s.txt}}\n",
        "sub/.env": "V=1\nH=no",
    }
    found = gathered(files, environment={"H": "home"})
    tree = plain(found.tree)
    assert list(tree) == ["services", "volumes", "secrets"]
    service = tree["services"]["b"]
    assert service["image"] == "v1homep$V"
    assert service["build"]["context"] == "/p/sub/ctx"
    assert [each["source"] for each in service["volumes"]] == ["/p/sub/d", "n1"]
    assert tree["secrets"]["s"]["file"] == "/p/sub/s.txt"
    assert tree["services"]["a"]["image"] == "vunset"
    assert found.name == "p"


def test_the_long_form() -> None:
    files: dict[str, str | bytes] = {
        "compose.yaml": "include:\n- path: [sub/i.yml, o.yml]\n  project_directory: other\n  env_file: [a.env, b.env]\n"
        + A,
        "sub/i.yml": "services:\n  b: {build: ., image: '${V}${W}', ports: ['80']}\n",
        "o.yml": "services:\n  b: {ports: ['81'], build: {dockerfile: D}}\n",
        "a.env": "V=1\nW=2",
        "b.env": "W=3$V",
        "other/.env": "V=9",
    }
    found = services(files)["b"]
    assert found["build"] == {"context": "/p/other", "dockerfile": "D"}
    assert found["image"] == "131"
    assert [each["target"] for each in found["ports"]] == [80, 81]


def test_nested_with_extends_and_the_same_one_twice() -> None:
    files: dict[str, str | bytes] = {
        "compose.yaml": "include: [i/i.yml, j/j.yml, i/i.yml]\n" + A,
        "i/i.yml": "include: [../k/k.yml]\nservices: {b: {extends: {file: deep/o.yml, service: q}}}\n",
        "i/deep/o.yml": "services: {q: {build: ., volumes: ['./a:/a']}}\n",
        "j/j.yml": "include: [../k/k.yml]\nservices: {c: {image: 'a$$b'}}\n",
        "k/k.yml": "services: {k: {build: .}}\nnetworks: {n: {}}\n",
    }
    found = services(files)
    assert sorted(found) == ["a", "b", "c", "k"]
    assert found["b"]["build"]["context"] == "/p/i/deep"
    assert found["b"]["volumes"][0]["source"] == "/p/i/deep/a"
    assert found["k"]["build"]["context"] == "/p/k"
    assert found["c"]["image"] == "a$b"
    assert services(files, resolve_paths=False)["b"]["build"]["context"] == "i/deep"


def test_a_later_file_may_override_what_is_included() -> None:
    files: dict[str, str | bytes] = {
        "compose.yaml": "include: [i.yml]\n" + A,
        "i.yml": "services: {b: {image: y, ports: ['80'], user: u}}\n",
        "compose.override.yaml": "include: [j.yml]\nservices: {b: {ports: !reset [], user: v}}\n",
        "j.yml": "services: {a: {ports: ['81']}}\n",
    }
    found = services(files)
    assert found["b"] == {"image": "y", "user": "v"}
    assert [each["target"] for each in found["a"]["ports"]] == [81]


def test_an_empty_env_file_stands_for_none() -> None:
    files: dict[str, str | bytes] = {
        "compose.yaml": "include: [{path: sub/i.yml, env_file: /dev/null}]\n" + A,
        "sub/i.yml": "services: {b: {image: 'y${V-d}'}}\n",
        "sub/.env": "V=1",
        "/dev/null": "",
    }
    assert services(files)["b"]["image"] == "yd"


def wrong(include: str, **more: str) -> str:
    files: dict[str, Any] = {"compose.yaml": f"include: {include}\n{A}"}
    files |= {name.replace("__", "/").replace("_yml", ".yml"): text for name, text in more.items()}
    with pytest.raises(FileError) as caught:
        gathered(files)
    return str(caught.value)


def test_what_cannot_be_included() -> None:
    assert wrong("[no.yml]") == "/p/compose.yaml:1:11: cannot read /p/no.yml: no such file"
    assert wrong("[{path: i.yml, env_file: no.env}]", i_yml="x-a: 1") == (
        "/p/compose.yaml:1:35: cannot read /p/no.env: no such file"
    )
    assert wrong("[i.yml]", i_yml="\n").endswith("/p/i.yml: empty compose file")
    assert wrong("[i.yml]", i_yml="services: {b: {imag: x}}").startswith("/p/i.yml:1:16: services.b: unknown field")
    circle = wrong("[s/i.yml]", s__i_yml="include: [../compose.yaml]")
    assert circle == (
        "/p/s/i.yml:1:11: files include one another in a circle: /p/compose.yaml includes /p/s/i.yml includes "
        "/p/compose.yaml"
    )
    conflict = wrong("[i.yml]", i_yml="services: {a: {image: y}}")
    assert conflict.startswith("/p/i.yml:1:12: services.a conflicts with the one in /p/compose.yaml:2:15")
    assert "needs the path of a file" in wrong("[{env_file: x}]") or "path" in wrong("[{env_file: x}]")


def test_too_many_files_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(gathering, "FILES", 50)
    files: dict[str, str | bytes] = {f"f{n}.yml": f"services: {{s{n}: {{image: x}}}}\n" for n in range(60)}
    files["compose.yaml"] = "include:\n" + "".join(f"- f{n}.yml\n" for n in range(60))
    with pytest.raises(FileError, match="more than 50 files"):
        gathered(files)


def test_remote_files_are_refused_by_name() -> None:
    for remote in ("https://x/compose.yaml", "git@github.com:x/y.git", "oci://x/y"):
        with pytest.raises(Unsupported, match="unsupported: the remote file"):
            gathered({"compose.yaml": f"include: ['{remote}']\n{A}"})
        with pytest.raises(Unsupported, match="unsupported: the remote file"):
            gathered({"compose.yaml": f"services: {{a: {{extends: {{file: '{remote}', service: b}}}}}}\n"})
        with pytest.raises(Unsupported, match="unsupported: the remote file"):
            gathered({}, remote)
