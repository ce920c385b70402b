"""Templates: each expected text is what Go's text/template with Docker's functions prints."""

import contextlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from boxship.cli.template import Row, Template
from boxship.errors import Invalid

DATA = {
    "Name": "/web",
    "State": {"Running": True, "Pid": 42, "ExitCode": 0, "Ratio": 0.5},
    "Mounts": [{"Name": "a"}, {"Name": "b"}],
    "Ports": {"80/tcp": [{"HostPort": "8080"}], "443/tcp": None},
    "Empty": "",
    "None": None,
    "Words": ["x", "y", "z"],
}


@pytest.mark.parametrize(
    ("source", "text"),
    [
        ("plain", "plain"),
        ("{{.Name}} {{ .State.Running }}", "/web true"),
        ("{{.State.Pid}}{{.State.Ratio}}", "420.5"),
        ("{{.None}}", "<no value>"),
        ("{{.Words}}", "[x y z]"),
        ("{{.State}}", "map[ExitCode:0 Pid:42 Ratio:0.5 Running:true]"),
        ("{{json .Words}} {{json .State.Running}} {{json .None}}", '["x","y","z"] true null'),
        ('{{json "<é>"}}', '"<é>"'),
        ("{{range .Words}}{{.}},{{end}}", "x,y,z,"),
        ("{{range $i, $w := .Words}}{{$i}}={{$w}} {{end}}", "0=x 1=y 2=z "),
        ("{{range $k, $v := .Ports}}{{$k}}{{if $v}}:{{(index $v 0).HostPort}}{{end}} {{end}}", "443/tcp 80/tcp:8080 "),
        ("{{range .None}}x{{else}}none{{end}}", "none"),
        ('{{range .Words}}{{if eq . "y"}}{{continue}}{{end}}{{.}}{{end}}', "xz"),
        ('{{range .Words}}{{if eq . "y"}}{{break}}{{end}}{{.}}{{end}}', "x"),
        ("{{if .Empty}}a{{else if .State.Running}}b{{else}}c{{end}}", "b"),
        ("{{with .State}}{{.Pid}}{{end}}", "42"),
        ("{{with .Empty}}x{{else}}empty{{end}}", "empty"),
        ("{{with $x := .Name}}{{$x}}{{end}}", "/web"),
        ("{{$x := 1}}{{range .Words}}{{$x = .}}{{end}}{{$x}}", "z"),
        ("{{$.Name}}{{range .Words}}{{$.State.Pid}}{{end}}", "/web424242"),
        ("a {{- .Name -}} b", "a/webb"),
        ("a {{/* a comment */}} b", "a  b"),
        ("a {{- /* a comment */ -}} b", "ab"),
        ('{{index .Ports "80/tcp" 0}}', "map[HostPort:8080]"),
        ("{{(index .Mounts 1).Name}}", "b"),
        ("{{index .Words 1}}", "y"),
        ("{{slice .Words 1 2}}{{slice .Name 1}}", "[y]web"),
        ("{{len .Words}}{{len .Name}}", "34"),
        ('{{.Name | upper | printf "%s!"}}', "/WEB!"),
        ('{{upper .Name}} {{lower "ABC"}} {{title "some words"}}', "/WEB abc Some Words"),
        ('{{join .Words "-"}} {{split "a,b" ","}}', "x-y-z [a b]"),
        ("{{pad .Name 2 1}}|{{truncate .Name 2}}", "  /web |/w"),
        (
            '{{eq .State.Pid 42}}{{eq .Name "a" "/web"}}{{ne 1 2}}{{lt 1 2}}{{gt 1 2}}{{le 2 2}}{{ge 1 2}}',
            "truetruetruetruefalsetruefalse",
        ),
        ("{{and .Name .Empty}}|{{or .Empty .Name}}|{{not .Empty}}", "|/web|true"),
        ("{{if and .State.Running (gt .State.Pid 1)}}yes{{end}}", "yes"),
        ("{{if or .None (index .Words 0)}}yes{{end}}", "yes"),
        ('{{print 1 2 "a" "b" 3}}', "1 2ab3"),
        ("{{println .Name}}x", "/web\nx"),
        (
            '{{printf "%-6s|%6s|%03d|%d%%|%q|%v|%t|%x|%.2f" "ab" "cd" 7 5 "q" .Words true 255 0.5}}',
            'ab    |    cd|007|5%|"q"|[x y z]|true|ff|0.50',
        ),
        ('{{printf "%d" "x"}}{{printf "%s"}}{{printf "" 1}}', "%!d(string=x)%!s(MISSING)%!(EXTRA int=1)"),
        ("{{`raw \\n`}}{{\"tab\\t\\u00e9\"}}{{'a'}}", "raw \\ntab\té97"),
        ("{{true}}{{false}}{{1}}{{-2}}{{1.5}}{{0x10}}", "truefalse1-21.516"),
        ("{{.Name}}}}", "/web}}"),
    ],
)
def test_prints(source: str, text: str) -> None:
    assert Template(source).apply(DATA) == text


@pytest.mark.parametrize(
    "source",
    [
        "{{",
        "{{}}",
        "{{.Name",
        "{{end}}",
        "{{if .Name}}",
        "{{else}}",
        "{{range .Words}}{{else}}{{else}}{{end}}",
        "{{nope}}",
        "{{.Name | nope}}",
        '{{"open}}',
        "{{(.Name}}",
        "{{.Name)}}",
        "{{.Name |}}",
        "{{| .Name}}",
        "{{break}}",
        "{{/* open }}",
        '{{define "x"}}{{end}}',
        '{{template "x"}}',
        '{{block "x" .}}{{end}}',
        "{{?}}",
        '{{"\\q"}}',
        "{{1x}}",
        "{{if}}{{end}}",
        "{{" + "(" * 500 + "1" + ")" * 500 + "}}",
        "{{if 1}}" * 500 + "{{end}}" * 500,
    ],
)
def test_refuses_what_is_no_template(source: str) -> None:
    with pytest.raises(Invalid):
        Template(source)


@pytest.mark.parametrize(
    ("source", "reason"),
    [
        ("{{.Nope}}", 'map has no entry for key "Nope"'),
        ("{{.None.Field}}", "nil pointer evaluating .Field"),
        ("{{.Name.Field}}", "can't evaluate field Field in /web"),
        ("{{index .Words 9}}", "index out of range: 9"),
        ('{{index .Name "x"}}', "can't index /web with x"),
        ("{{$x}}", "undefined variable $x"),
        ("{{len 3}}", "len of 3"),
        ('{{eq 1 "a"}}', "incompatible types for comparison"),
        ("{{upper 3}}", "3 is not a string"),
        ("{{upper}}", "wrong number or kind of arguments for upper"),
        ("{{range true}}{{end}}", "range can't iterate over true"),
        ("{{1 2}}", "cannot give arguments to a value that is not a function"),
        ('{{printf "%99999d" 1}}', "a width in printf is too large"),
    ],
)
def test_mistakes_are_told(source: str, reason: str) -> None:
    with pytest.raises(Invalid) as caught:
        Template(source).apply(DATA)
    assert str(caught.value) == f"cannot apply the template: {reason}"


def test_fields_that_docker_leaves_out_are_empty() -> None:
    assert Template("{{if .State.Health}}x{{end}}{{.State.Health}}").apply(DATA) == "<no value>"


def test_rows_have_fields_and_methods() -> None:
    asked: list[str] = []

    def field(item: object) -> object:
        asked.append("B")
        return item

    row = Row({"A": lambda item: "a", "B": field}, "b", {"Label": lambda item, name: f"{item}.{name}"})
    assert Template('{{.A}} {{.Label "x"}} {{"y" | .Label}}').apply(row) == "a b.x b.y"
    assert asked == []
    assert Template("{{json .}}").apply(row) == '{"A":"a","B":"b"}'
    with pytest.raises(Invalid, match='no field "C"; there are: A, B'):
        Template("{{.C}}").apply(row)


@given(st.text(alphabet="{}.-$|()\"'`/* \nabifendrgwth:=,0123%s", max_size=60))
def test_any_text_is_a_template_or_invalid(source: str) -> None:
    with contextlib.suppress(Invalid):
        Template(source).apply(DATA)


@given(st.text().filter(lambda text: "{{" not in text))
def test_text_without_actions_is_itself(source: str) -> None:
    assert Template(source).apply(DATA) == source


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=10,
)


@given(json_values)
def test_any_value_prints_and_round_trips_as_json(value: object) -> None:
    import json

    assert isinstance(Template("{{.}}{{range $k, $v := .X}}{{$v}}{{end}}").apply({"X": [value]}), str)
    assert json.loads(Template("{{json .}}").apply(value)) == value
