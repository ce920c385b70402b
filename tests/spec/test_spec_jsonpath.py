"""kubectl's JSONPath: what it finds, prints and refuses. The answers are those of kubectl 1.32 on the same object."""

import contextlib
import json
import subprocess
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from boxship.errors import Invalid
from boxship.spec.jsonpath import Template, relaxed, shown
from daemons import kubectl_program

POD: dict[str, Any] = {
    "apiVersion": "v1",
    "kind": "Pod",
    "metadata": {
        "name": "p1",
        "namespace": "d",
        "labels": {"kubernetes.io/os": "linux", "app": "x<y>&z"},
        "annotations": {"n": "12"},
    },
    "spec": {
        "hostNetwork": True,
        "priority": 5,
        "containers": [
            {
                "name": "a",
                "image": "i:1",
                "ports": [{"containerPort": 80, "name": "h"}, {"containerPort": 443}],
            },
            {"name": "b", "image": "i:2", "env": [{"name": "E", "value": "v"}]},
            {"name": "c", "image": "i:3"},
        ],
    },
    "status": {
        "phase": "Running",
        "conditions": [{"type": "Ready", "status": "True"}, {"type": "Other", "status": "False"}],
    },
}
MAP = "map[annotations:map[n:12] labels:map[app:x<y>&z kubernetes.io/os:linux] name:p1 namespace:d]"
FOUND = [
    ("{.metadata.name}", "p1"),
    ("{.spec.containers[*].name}", "a b c"),
    ("{.spec.containers[0].name}", "a"),
    ("{.spec.containers[-1].name}", "c"),
    ("{.spec.containers[0:2].name}", "a b"),
    ("{.spec.containers[::2].name}", "a c"),
    ("{.spec.containers[-2:].name}", "b c"),
    ("{.spec.containers[1:].name}", "b c"),
    ("{.spec.containers[:-1].name}", "a b"),
    ("{.spec.containers[0:0].name}", ""),
    ("{.spec.containers[0,2].name}", "a c"),
    ("{.spec.containers[*]['name','image']}", "a b c i:1 i:2 i:3"),
    ("{.metadata.labels.kubernetes\\.io/os}", "linux"),
    ("{.metadata.labels['kubernetes\\.io/os']}", "linux"),
    ("{.metadata.labels['kubernetes.io/os']}", ""),
    ("{.metadata.labels.app}", "x<y>&z"),
    ("{.metadata.labels}", '{"app":"x\\u003cy\\u003e\\u0026z","kubernetes.io/os":"linux"}'),
    ("{.spec.containers[*].ports[*].containerPort}", "80 443"),
    ('{range .spec.containers[*]}{.name}{"\\t"}{.image}{"\\n"}{end}', "a\ti:1\nb\ti:2\nc\ti:3\n"),
    ("{range .spec.containers[*]}{.name}:{range .ports[*]}{.containerPort},{end};{end}{.kind}", "a:80,443,;b:;c:;Pod"),
    ("{range .nothing[*]}{.name}{end}x", "x"),
    ("{range .spec.containers[*]}{.name}", "abc"),
    ('{.spec.containers[?(@.name=="b")].image}', "i:2"),
    ('{.spec.containers[?(@.name!="b")].image}', "i:1 i:3"),
    ("{.spec.containers[?(@.ports)].name}", "a"),
    ('{.spec.containers[?(@.env[0].name=="E")].name}', "b"),
    ("{.spec.containers[*].ports[?(@.containerPort>100)].containerPort}", "443"),
    ("{.spec.containers[*].ports[?(@.containerPort>=80)].containerPort}", "80 443"),
    ('{.spec.containers[?(@.name<"c")].name}', "a b"),
    ('{.status.conditions[?(@.type=="Ready")].status}', "True"),
    ("{.status.conditions[?(@.type=='Ready')].status}", "True"),
    ("{..name}", "p1 a h b E c"),
    ("{.spec.hostNetwork}", "true"),
    ("{.spec.priority}", "5"),
    ("{.missing}", ""),
    ("a{.missing}b", "ab"),
    ("{.missing.x.y}", ""),
    ("{.missing[0]}", ""),
    ("{$.metadata.name}", "p1"),
    ("{.metadata.name}{' '}{.kind}", "p1 Pod"),
    ('{"a\'b"}', "a'b"),
    ("{'a\"b'}", 'a"b'),
    ("{'a\\'b'}", "a'b"),
    ('{"a\\x41\\u00e9\\101"}', "aAéA"),
    ("{.a|b}", ""),
    ("plain", "plain"),
    ("{.kind} text {.metadata.name}", "Pod text p1"),
    ("{true}", "true"),
    ("{1}", "1"),
    ("{1.5}", "1.5"),
    ("{-1}", "-1"),
    (
        "{.spec.containers[*].*}",
        'a i:1 [{"containerPort":80,"name":"h"},{"containerPort":443}] b i:2 [{"name":"E","value":"v"}] c i:3',
    ),
    ("{.metadata.name.*}", "112 49"),
    ("{...name}", "p1 a h b E c"),
    ('{.spec.containers[?(@.name=="a")].ports[?(@.name=="h")].containerPort}', "80"),
    ("{ .metadata.name }", "p1"),
    ("{.metadata .name}", "p1"),
    ("{.metadata['name','namespace']}", "p1 d"),
    ("{.metadata['name', 'namespace']}", "p1 d"),
    ("{.spec.containers[?(@.ports[0].containerPort==80)].name}", "a"),
    ("{.spec.containers[?(true==true)].name}", "a b c"),
    ("{.metadata.annotations.n}", "12"),
    ("{range .spec.containers[?(@.ports)]}{.name}{end}", "a"),
    ("{.items[0].x}", ""),
    ("{range}{.kind}{end}", "Pod"),
    ('{.spec.containers[*].name}{"\\n"}', "a b c\n"),
]
REFUSED = [
    ("{.metadata[?(@.a)]}", MAP + " is not array or slice and cannot be filtered"),
    ("{.spec.containers[5].name}", "array index out of bounds: index 5, length 3"),
    ("{.spec.containers[1:5].name}", "array index out of bounds: index 4, length 3"),
    ("{.spec.containers[2:1].name}", "starting index 2 is greater than ending index 1"),
    ("{.spec.containers[-5].name}", "array index out of bounds: index -2, length 3"),
    ("{.spec.containers[0:3:0].name}", "step must be > 0"),
    ("{.spec.containers[?(@.name==1)].name}", "incompatible types for comparison"),
    ("{.metadata.name[0]}", "string is not array or slice"),
    ("{.metadata.labels[0]}", "map[string]interface {} is not array or slice"),
    ("{.spec.priority[0]}", "int64 is not array or slice"),
    ('{"a', "unterminated quoted string"),
    ("{.a", "unclosed action"),
    ("{hello}", "unrecognized identifier hello"),
    ("{end}", "not in range, nothing to end"),
    ("{range .spec.containers[*]}{end}{end}", "not in range, nothing to end"),
    ("{.spec.containers[x]}", "invalid array index x"),
    ("{.spec.containers[", "unterminated array"),
    ("{[?(@.x}", "unterminated filter"),
    ("{,}", "unrecognized character in action: U+002C ','"),
    ("{|}", "unrecognized character in action: U+007C '|'"),
    ("{....name}", "invalid multiple recursive descent"),
    ('{.spec.containers[?(@.name<>"a")]}', "unrecognized filter operator <>"),
    ('{.spec.containers[?(@.name=="a" && @.image=="i:1")].name}', "unrecognized character in action: U+0026 '&'"),
    ("{.metadata.name,.kind}", "unrecognized character in action: U+002C ','"),
    ("{.spec.containers[?(@.ports[*].containerPort==80)].name}", "can only compare one element at a time"),
]
IN_NO_ORDER = ("{.spec.containers[*].*}", "{.metadata.name.*}")  # the original goes through maps at random


@pytest.mark.parametrize(("template", "expected"), FOUND)
def test_found(template: str, expected: str) -> None:
    assert Template(template).render(POD) == expected


@pytest.mark.parametrize(("template", "why"), REFUSED)
def test_refused(template: str, why: str) -> None:
    with pytest.raises(Invalid) as refused:
        Template(template).render(POD)
    assert str(refused.value) == why


@pytest.mark.slow
@pytest.mark.parametrize(("template", "expected"), [*FOUND, *REFUSED])
def test_kubectl_answers_the_same(template: str, expected: str, tmp_path: Path) -> None:
    file = tmp_path / "pod.json"
    file.write_text(json.dumps(POD))
    command = [
        kubectl_program(),
        "patch",
        "--local",
        "-f",
        str(file),
        "--type=merge",
        "-p",
        "{}",
        "-o",
        f"jsonpath={template}",
    ]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if template not in IN_NO_ORDER:
        assert done.stdout == expected if done.returncode == 0 else expected in done.stderr


def test_what_is_missing_is_refused_where_it_must_be_there() -> None:
    with pytest.raises(Invalid, match="missing is not found"):
        Template("{.missing}", lenient=False).render(POD)
    assert Template("{.nothing[*].name}").find({}) == [[]]


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (1.0, "1"),
        (1.5, "1.5"),
        (0.1, "0.1"),
        (1e21, "1e+21"),
        (1.5e-7, "1.5e-07"),
        (123456789.25, "123456789.25"),
        (0.0001, "0.0001"),
        (0.00001, "1e-05"),
        (-2.0, "-2"),
        (10**18, "1000000000000000000"),
        (None, "null"),
        (False, "false"),
        ([1, "a", None], '[1,"a",null]'),
        ({"b": 1, "a": {}}, '{"a":{},"b":1}'),
    ],
)
def test_values_are_printed_as_go_does(value: Any, text: str) -> None:
    assert shown(value) == text


@pytest.mark.parametrize(
    ("path", "template"),
    [
        ("", ""),
        ("metadata.name", "{.metadata.name}"),
        (".metadata.name", "{.metadata.name}"),
        ("{.metadata.name}", "{.metadata.name}"),
        ("{metadata.name}", "{.metadata.name}"),
        (".spec.containers[0].name", "{.spec.containers[0].name}"),
    ],
)
def test_paths_without_braces(path: str, template: str) -> None:
    assert relaxed(path) == template


@pytest.mark.parametrize("path", ["{.a}{.b}", "a}", "{.a", "{}"])
def test_paths_that_are_none(path: str) -> None:
    with pytest.raises(Invalid, match="unexpected path string"):
        relaxed(path)


def test_depth_has_a_limit() -> None:
    with pytest.raises(Invalid):
        Template("{" + "[?(@.a" * 300 + ")]" * 300 + "}")


WORDS = st.sampled_from([*"{}[].*@$)'\"\\,:-10< \naé", "range ", "end", "..", "?(", "name", "spec", "==", "true"])


@given(st.lists(WORDS, max_size=25).map("".join))
def test_any_text_is_a_template_or_refused(text: str) -> None:
    with contextlib.suppress(Invalid):
        Template(text).render(POD)
