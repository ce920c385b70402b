"""The merge rules of the Compose Specification, field by field, and that merging is associative."""

from __future__ import annotations

from typing import Any

import pytest
from compose_files_kit import gathered, services
from hypothesis import given, settings
from hypothesis import strategies as some

from boxship.compose.document import Entry, FileError, Mapping, Node, Place, Scalar, Sequence
from boxship.compose.merging import merge, unified
from boxship.compose.trees import plain, settled, transformed

TOP = """
networks: {n: {}, m: {}}
volumes: {vol: {}, other: {}}
secrets: {s: {file: s}, t: {file: t}}
configs: {s: {file: s}, t: {file: t}}
services:
  w2: {image: x}
  w:
    image: x
"""


def bind(source: str, target: str) -> dict[str, Any]:
    return {"type": "bind", "source": source, "target": target, "bind": {"create_host_path": True}}


# What the base says, what the override says, and the field after merging (None: the field is gone).
CASES: list[tuple[str, str, Any]] = [
    ("command: a b", "command: [c]", ["c"]),
    ("entrypoint: [a]", "entrypoint: b", ["b"]),
    ("command: [a]", "command:", None),
    ("healthcheck: {test: [CMD, a], retries: 2}", "healthcheck: {test: b}", {"test": ["CMD-SHELL", "b"], "retries": 2}),
    ("user: a", "user: b", "b"),
    ("environment: {A: 1, B: 2}", "environment: [B=3, C]", {"A": "1", "B": "3", "C": None}),
    ("environment: [A=1]", "environment: {A: }", {"A": None}),
    ("labels: [a=1]", "labels: {b: 2, a: 3}", {"a": "3", "b": "2"}),
    ("sysctls: {a: 1}", "sysctls: [a=2]", {"a": "2"}),
    ("annotations: [a=b]", "annotations: {a: c}", {"a": "c"}),
    ("storage_opt: {a: b}", "storage_opt: {c: d}", {"a": "b", "c": "d"}),
    ("dns: 1.1.1.1", "dns: [8.8.8.8, 1.1.1.1]", ["1.1.1.1", "8.8.8.8"]),
    ("dns_search: a", "dns_search: b", ["a", "b"]),
    ("tmpfs: /a", "tmpfs: [/b, /a]", ["/a", "/b"]),
    ("cap_add: [A]", "cap_add: [B, A]", ["A", "B"]),
    ("expose: [80]", "expose: ['80', 81]", ["80", "81"]),
    ("profiles: [a]", "profiles: [a, b]", ["a", "b"]),
    ("security_opt: [a]", "security_opt: [a, b]", ["a", "b"]),
    ("extra_hosts: ['a:1.1.1.1']", "extra_hosts: {a: 2.2.2.2, b: 3.3.3.3}", ["a=1.1.1.1", "a=2.2.2.2", "b=3.3.3.3"]),
    ("deploy: {placement: {constraints: [a]}}", "deploy: {placement: {constraints: [a]}}", ["a", "a"]),
    ("volumes: ['./a:/x', 'vol:/y']", "volumes: ['other:/x/']", [("other", "/x/"), ("vol", "/y")]),
    ("volumes: ['./a:/x']", "volumes: [{type: volume, source: vol, target: /x}]", [("vol", "/x")]),
    ("ports: ['80:80']", "ports: ['81:80', '80:80', '80:80/udp']", ["80:80/tcp", "81:80/tcp", "80:80/udp"]),
    ("ports: ['8000-8001:80-81']", "ports: ['8000:80']", ["8000:80/tcp", "8001:81/tcp"]),
    ("ports: ['127.0.0.1:80:80']", "ports: ['80:80']", ["80:80/tcp", "80:80/tcp"]),
    ("secrets: [s]", "secrets: [{source: s, mode: 0400}]", [("s", None)]),
    ("secrets: [s]", "secrets: [{source: t, target: s}]", [("t", "s")]),
    ("configs: [s]", "configs: [t, {source: t, target: /s}]", [("t", "/s"), ("t", None)]),
    ("devices: ['/dev/a:/dev/b']", "devices: ['/dev/c:/dev/b']", [("/dev/c", "/dev/b")]),
    ("env_file: a.env", "env_file: [b.env, {path: a.env, required: false}]", ["/p/a.env", "/p/b.env"]),
    ("build: .", "build: {target: t}", {"context": "/p", "target": "t"}),
    ("build: {context: a, args: [A=1]}", "build: b", {"context": "/p/b", "args": {"A": "1"}}),
    ("build: {context: ., tags: [a], cache_from: [x]}", "build: {tags: [a, b], cache_from: [x]}", None),
    ("ulimits: {a: 1, n: {soft: 1, hard: 2}}", "ulimits: {a: {soft: 3, hard: 4}, n: {soft: 2}}", None),
    (
        "logging: {driver: a, options: {x: 1}}",
        "logging: {driver: b, options: {y: 1}}",
        {"driver": "b", "options": ["y"]},
    ),
    ("logging: {driver: a, options: {x: 1}}", "logging: {options: {y: 1}}", {"driver": "a", "options": ["x", "y"]}),
    (
        "networks: [n]",
        "networks: {m: {aliases: [x]}, n: {priority: 1}}",
        {"n": {"priority": 1}, "m": {"aliases": ["x"]}},
    ),
    ("networks: {n: {aliases: [x]}}", "networks: {n: {aliases: [y, x]}}", {"n": {"aliases": ["x", "y"]}}),
    ("networks: {n: {aliases: [x]}}", "networks: {n: }", {"n": {"aliases": ["x"]}}),
    ("depends_on: {w2: {condition: service_healthy}}", "depends_on: {w2: {restart: true}}", ["service_healthy", True]),
    ("x-a: {b: 1, l: [1], k: 1}", "x-a: {c: 1, l: [2], k: {d: 1}}", {"b": 1, "l": [1, 2], "k": {"d": 1}, "c": 1}),
    ("ports: ['80']", "ports: !reset []", None),
    ("ports: ['80']", "ports: !override ['81']", [":81/tcp"]),
    ("environment: {A: 1, B: 2}", "environment: {A: !reset null}", {"B": "2"}),
    ("environment: {A: 1}", "environment: !override {B: 2}", {"B": "2"}),
    ("networks: [n]", "networks: !override [m]", {"m": None}),
    ("build: .", "build: !reset null", None),
]


def brief(field: str, value: Any) -> Any:
    """A field's value in the short words of the table above."""
    if field == "ports" and value:
        return [f"{each.get('published', '')}:{each['target']}/{each['protocol']}" for each in value]
    if field in ("volumes", "secrets", "configs", "devices"):
        return [(each.get("source"), each.get("target")) for each in value]
    if field == "env_file":
        return [each["path"] for each in value]
    if field == "logging":
        return {**value, "options": list(value["options"])}
    if field == "deploy":
        return value["placement"]["constraints"]
    if field == "depends_on":
        return [value["w2"]["condition"], value["w2"]["restart"]]
    return value


@pytest.mark.parametrize(("base", "over", "expected"), CASES, ids=range(len(CASES)))
def test_a_field(base: str, over: str, expected: Any) -> None:
    files: dict[str, str | bytes] = {"a.yml": f"{TOP}    {base}\n", "b.yml": f"services:\n  w:\n    {over}\n"}
    field = base.split(":")[0]
    found = services(files, "a.yml", "b.yml")["w"].get(field)
    if (base.startswith("build: {context: ., tags")) and isinstance(found, dict):
        assert found == {"context": "/p", "tags": ["a", "b"], "cache_from": ["x", "x"]}
    elif field == "ulimits":
        assert found["a"] == {"soft": 3, "hard": 4}
        assert found["n"] == {"soft": 2, "hard": 2}
    else:
        assert (found if found is None else brief(field, found)) == expected


def test_top_level_sections_and_three_files() -> None:
    files: dict[str, str | bytes] = {
        "a.yml": "services: {w: {image: x, ports: ['80']}}\nx-a: {b: 1}\n"
        "networks: {n: {ipam: {config: [{subnet: 10.0.0.0/24}]}, labels: [a=1], driver_opts: {o: 1}}}\n",
        "b.yml": "services: {w: {ports: !reset []}, v: {image: y}}\nx-a: {c: 1}\nx-d: 1\n"
        "networks: {n: {ipam: {config: [{subnet: 10.0.0.0/24, gateway: 10.0.0.1}, {subnet: 10.1.0.0/24}]},"
        " labels: {b: 2}}}\n",
        "c.yml": "services: {w: {ports: ['90'], image: z}, v: !reset null}\nvolumes: {d: }\n",
    }
    found = plain(gathered(files, "a.yml", "b.yml", "c.yml").tree)
    assert list(found["services"]) == ["w"]
    assert [port["target"] for port in found["services"]["w"]["ports"]] == [90]
    assert (found["x-a"], found["x-d"]) == ({"b": 1, "c": 1}, 1)
    network = found["networks"]["n"]
    assert network["ipam"]["config"] == [{"subnet": "10.0.0.0/24", "gateway": "10.0.0.1"}, {"subnet": "10.1.0.0/24"}]
    assert network["labels"] == {"a": "1", "b": "2"}


def test_every_value_keeps_the_place_of_its_own_file() -> None:
    files: dict[str, str | bytes] = {
        "a.yml": "services:\n  w:\n    image: x\n    user: a\n",
        "b.yml": "services:\n  w:\n    user: b\n",
    }
    service = gathered(files, "a.yml", "b.yml").tree.get("services").get("w")  # type: ignore[union-attr]
    assert str(service.get("image").place) == "/p/a.yml:3:12"
    assert str(service.get("user").place) == "/p/b.yml:3:11"


def test_different_kinds_do_not_merge() -> None:
    place, other = Place("a", 1, 1), Place("b", 2, 2)
    with pytest.raises(FileError, match=r"b:2:2: cannot merge services.w.deploy: a list here, a mapping in a:1:1"):
        merge(Mapping((), place), Sequence((), other), ("services", "w", "deploy"))


def node(value: Any, tag: str = "") -> Node:
    """Plain values as a tree; a pair ("!tag", value) is tagged."""
    place = Place("f", 1, 1)
    if isinstance(value, tuple):
        return node(value[1], value[0])
    if isinstance(value, dict):
        return Mapping(tuple(Entry(key, node(each), place) for key, each in value.items()), place, tag)
    if isinstance(value, list):
        return Sequence(tuple(node(each) for each in value), place, tag)
    return Scalar(value, place, str(value), tag=tag)


def tagged(values: some.SearchStrategy[Any]) -> some.SearchStrategy[Any]:
    """Values, sometimes with `!override` or a `!reset` in their place."""
    return some.one_of(values, values.map(lambda value: ("!override", value)), some.just(("!reset", None)))


WORDS = some.sampled_from(["a", "b", "c"])
PAIRS = some.dictionaries(WORDS, tagged(some.sampled_from(["1", "2", None])), max_size=3)
PORTS = some.lists(some.fixed_dictionaries({"target": some.integers(80, 82), "mode": WORDS}), max_size=3)
SERVICES = some.fixed_dictionaries(
    {},
    optional={
        "image": tagged(WORDS),
        "command": tagged(some.one_of(some.none(), some.lists(WORDS, max_size=2))),
        "environment": tagged(PAIRS),
        "dns": tagged(some.lists(WORDS, max_size=3)),
        "ports": tagged(PORTS),
        "networks": tagged(some.dictionaries(WORDS, some.one_of(some.none(), some.just({"priority": 1})), max_size=2)),
        "ulimits": tagged(
            some.dictionaries(WORDS, some.one_of(some.integers(1, 3), some.just({"soft": 1})), max_size=2)
        ),
        "x-a": tagged(some.dictionaries(WORDS, WORDS, max_size=2)),
    },
)
TREES = some.fixed_dictionaries({"services": some.dictionaries(WORDS, tagged(SERVICES), max_size=2)}).map(node)


@settings(max_examples=120, deadline=None)
@given(TREES, TREES, TREES)
def test_merging_is_associative(first: Node, second: Node, third: Node) -> None:
    left = merge(merge(first, second), third)
    right = merge(first, merge(second, third))
    assert plain(settled(unified(left))) == plain(settled(unified(right)))


@settings(max_examples=40, deadline=None)
@given(TREES)
def test_nothing_merged_with_a_tree_is_the_tree(tree: Node) -> None:
    once = plain(settled(unified(tree)))
    assert plain(settled(unified(merge(node({}), tree)))) == once
    assert plain(settled(unified(merge(tree, node({}))))) == once
    assert plain(unified(settled(unified(tree)))) == once


def test_a_path_may_lead_to_nothing() -> None:
    tree = node({"services": {"w": "text"}, "networks": ["x"]})
    assert plain(transformed(tree, ("services", "*", "ports"), settled)) == plain(tree)
    assert plain(unified(tree)) == plain(tree)
