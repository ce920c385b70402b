"""The parts of `boxship compose` that decide nothing and touch nothing: lines, tables, rules, settings."""

import os
import re
import tarfile
from io import BytesIO
from pathlib import Path
from typing import Any

import pytest

from boxship.cli.call import Call, Failure
from boxship.cli.composing import settings as settings_file
from boxship.cli.composing.awaiting import is_young, judge
from boxship.cli.composing.durations import nanoseconds, seconds
from boxship.cli.composing.flags import DRY_RUN, FLAGS
from boxship.cli.composing.happening import event_line
from boxship.cli.composing.images import follow
from boxship.cli.composing.observing import seen_container
from boxship.cli.composing.once import mount_of, published
from boxship.cli.composing.opening import scales
from boxship.cli.composing.printing import LONGEST_LINE, LineCutter, LogPrinter, short_name
from boxship.cli.composing.screen import Screen, laid_out
from boxship.cli.composing.settings import read_settings
from boxship.cli.composing.views import JsonView, PlainView, TableView
from boxship.cli.composing.watch_rules import Rule, differences, rules_of
from boxship.cli.composing.watching import PORTION_BYTES, Batch, archive, portions
from boxship.cli.flags import Options, UsageError, parse
from boxship.cli.times import parse_time
from boxship.compose.model import Project, Service, Volume
from boxship.compose.parts import Build, Develop, Trigger
from boxship.compose.planning.actions import AwaitContainer, CreateContainer, Plan, StartContainer, Step
from boxship.compose.running.host import News
from boxship.compose.running.view import Event
from boxship.errors import Conflict, Invalid, Unavailable, Unsupported
from boxship.wire.stream import STDERR, STDOUT, frame

STAMP = b"2026-01-02T03:04:05.123456789Z "


class Held(Screen):
    """A screen that keeps what is written, of a size that a test says."""

    def __init__(self, rows: int = 24, columns: int = 80) -> None:
        super().__init__(2, live=True, color=False)
        self.rows, self.columns = rows, columns
        self.text = ""

    def size(self) -> tuple[int, int]:
        return self.rows, self.columns

    def write_bytes(self, data: bytes, descriptor: int) -> None:
        self.text += data.decode()

    def draw(self, lines: Any) -> None:
        """What is drawn is asked for by the tests."""


def event(subject: str, state: str, text: str, **fields: Any) -> Event:
    return Event(**{"step": 0, "subject": subject, "state": state, "text": text, **fields})


def test_lines_of_containers_come_whole_whatever_the_pieces() -> None:
    data = frame(STDOUT, STAMP + b"one\n" + STAMP + b"two\n") + frame(STDERR, STAMP + b"oops\r\n")
    data += frame(STDOUT, STAMP + b"long ") + frame(STDOUT, STAMP + b"line\n") + frame(STDOUT, STAMP + b"open")
    for size in (1, 7, len(data)):
        cutter = LineCutter(tty=False)
        found = [one for start in range(0, len(data), size) for one in cutter.feed(data[start : start + size])]
        found += list(cutter.end())
        assert [(text, stream) for _, text, stream in found] == [
            (b"one", STDOUT),
            (b"two", STDOUT),
            (b"oops", STDERR),
            (b"long line", STDOUT),
            (b"open", STDOUT),
        ]
        assert {stamp for stamp, _, _ in found} == {STAMP.strip()}
    terminal = LineCutter(tty=True)
    assert [text for _, text, _ in terminal.feed(STAMP + b"a\r\n" + STAMP + b"b")] == [b"a"]
    assert [text for _, text, _ in terminal.end()] == [b"b"]
    endless = LineCutter(tty=True)  # a bar that is drawn over itself
    assert sum(len(text) for _ in range(300) for _, text, _ in endless.feed(b"\r50 %" * 1000)) > LONGEST_LINE


def test_an_event_does_not_steer_the_terminal() -> None:
    told = event_line({"Action": "start", "Actor": {"ID": "c1", "Attributes": {"image-label": "a\x1b[2J\nb"}}})
    assert told.endswith("container start c1 (image-label=a[2J b)")


def test_prefixes_stand_under_each_other() -> None:
    screen = Held()
    printer = LogPrinter(screen, color=False, timestamps=True)
    for name in ("db-1", "worker-12"):
        printer.know(name)
    printer.line("db-1", b"T", b"hello")
    printer.line("worker-12", b"T", b"there")
    assert screen.text == "db-1       | T hello\nworker-12  | T there\n"
    labels = {"com.docker.compose.project": "p", "com.docker.compose.service": "db"}
    assert short_name("p-db-1", {**labels, "com.docker.compose.container-number": "1"}) == "db-1"
    assert short_name("own", labels) == "own"


def plan() -> Plan:
    make = CreateContainer(service="web", name="p-web-1", number=1, image="i")
    wait = AwaitContainer(service="db", container="x", name="p-db-1", condition="healthy")
    start = StartContainer(service="web", container="new:p-web-1", name="p-web-1")
    return Plan(
        (Step(id=0, action=make), Step(id=1, action=wait), Step(id=2, action=start, after=(0, 1))), ("careful",)
    )


def test_the_table_says_what_is_waited_for_and_fits_every_terminal() -> None:
    screen = Held()
    view = TableView(screen, "Up p")
    view.begin(plan(), False)
    assert screen.text == "WARNING: careful\n"
    view.event(event("Network p_default", "done", "Created", step=9))
    view.event(event("Container p-web-1", "working", "Creating", service="web"))
    view.event(event("Container p-web-1", "done", "Created", service="web"))
    view.event(event("Container p-db-1", "working", "health: starting", service="db", step=1))
    view.event(event("Image i", "working", "Pulling", service="web", step=5, current=5 << 20, total=10 << 20))
    lines = [laid_out(text, right, 100) for _, text, right in view.lines(24, live=True)]
    assert lines[0].startswith("Up p  1/4")
    assert any(re.search(r"· Container p-web-1 +Created, waiting for p-db-1 \(healthy\)", line) for line in lines)
    assert any("██████░░░░░░ 5.24MB / 10.5MB" in line for line in lines)
    view.event(event("Container p-db-1", "done", "Healthy", service="db", step=1))
    assert not any("waiting" in text for _, text, _ in view.lines(24, live=True))
    view.event(event(f"Container p-{'long' * 12}-1", "working", "Starting", service="long", step=7))
    for screen.columns in (60, 80, 200):
        lines = [laid_out(text, right, screen.columns) for _, text, right in view.lines(24, live=True)]
        assert any(re.search(r"p-long.*g-1  Starting +0.0s", line) for line in lines), lines
    for rows in (1, 3, 5, 40):
        for columns in (1, 9, 20, 61, 200):
            shown = view.lines(rows, live=True)
            assert len(shown) <= max(rows - 1, 1) + 1
            assert all(len(laid_out(text, right, columns)) <= max(columns - 1, 2) for _, text, right in shown)
    view.end(None)  # type: ignore[arg-type]


def test_the_block_never_breaks_what_passes_above_it() -> None:
    read, write = os.pipe()
    screen = Screen(write, live=True, color=False)
    screen.draw([("", "first", ""), ("", "second", "")])
    screen.draw([("", "third", "")])
    screen.settle()
    screen.write("after\n")
    os.close(write)
    with os.fdopen(read, "rb") as file:
        assert file.read() == b"first\nsecond\n\x1b[2A\r\x1b[Jthird\nafter\n"


def test_plain_lines_and_json() -> None:
    screen = Held()
    view = PlainView(screen)
    for one in (
        event("Image i", "waiting", ""),
        event("Image i", "working", "Pulling", current=1, total=2),
        event("Image i", "working", "Pulling", current=2, total=2),
        event("Image i", "failed", "no such\nimage"),
        event("Container c", "working", "Recreate", reason="image changed", dry_run=True),
    ):
        view.event(one)
    assert screen.text.splitlines() == [
        " Image i  Pulling",
        " Image i  Error",
        " DRY-RUN MODE - Container c  Recreate (image changed)",
    ]
    screen.text = ""
    JsonView(screen).event(event("Image i", "working", "Pulling", current=1, total=4, service="web"))
    assert screen.text == (
        '{"id":"Image i","status":"Working","text":"Pulling","service":"web","current":1,"total":4,"percent":25}\n'
    )


def call(*words: str, environment: dict[str, str] | None = None) -> Call:
    group, rest = parse(FLAGS, words, interspersed=False)
    options, arguments = parse((DRY_RUN,), rest)
    return Call("compose up", options, arguments, Options(()), environment or {}, group)


def test_settings_come_from_flags_then_from_variables() -> None:
    assert read_settings(call()).way == "plain" and read_settings(call()).parallel == 0
    given = read_settings(call("--progress", "json", "--parallel", "3", "--dry-run"))
    assert (given.way, given.parallel, given.dry_run) == ("json", 3, True)
    assert read_settings(call("up", "--dry-run")).dry_run
    variables = {"COMPOSE_PROGRESS": "quiet", "COMPOSE_PARALLEL_LIMIT": "2", "COMPOSE_LOCK": "refuse"}
    found = read_settings(call(environment=variables))
    assert (found.way, found.parallel, found.wait) == ("quiet", 2, False)
    assert read_settings(call("--progress", "plain", environment=variables)).way == "plain"
    assert read_settings(call("--ansi", "always")).color and not read_settings(call("--ansi", "never")).color
    assert read_settings(call(environment={"COMPOSE_STATUS_STDOUT": "1"})).descriptor == 1
    for words, variables in (
        (("--progress", "x"), {}),
        (("--ansi", "x"), {}),
        ((), {"COMPOSE_PROGRESS": "x"}),
        ((), {"COMPOSE_PARALLEL_LIMIT": "x"}),
        ((), {"COMPOSE_LOCK": "x"}),
        (("--progress", "tty"), {}),
    ):
        with pytest.raises(UsageError):
            read_settings(call(*words, environment=variables))
    for words, variables in ((("--compatibility",), {}), ((), {"COMPOSE_COMPATIBILITY": "true"})):
        with pytest.raises(Unsupported):
            read_settings(call(*words, environment=variables))


def test_every_variable_is_documented() -> None:
    source = Path(settings_file.__file__).parents[2]
    code = "".join(path.read_text() for folder in ("cli", "compose") for path in (source / folder).rglob("*.py"))
    text = (source.parents[1] / "docs" / "compose.md").read_text().partition("## Environment variables")[2]
    used = set(re.findall(r'"(COMPOSE_[A-Z_]+)"', code)) - {"COMPOSE_COMPATIBILITY"}
    assert set(re.findall(r"COMPOSE_[A-Z_]+", text.partition("\n## ")[0])) == used


def test_when_a_container_is_what_is_waited_for() -> None:
    def record(status: str, health: str = "", code: int = 0, **more: Any) -> dict[str, Any]:
        log = [{"ExitCode": 1, "Output": "no\nanswer"}]
        state = {
            "Status": status,
            "Running": status == "running",
            "ExitCode": code,
            "StartedAt": "2026-01-01T00:00:00Z",
        }
        return {"State": {**state, **({"Health": {"Status": health, "Log": log}} if health else {})}, **more}

    assert judge(record("running"), "healthy", "c") is None and judge(record("running"), "started", "c") is None
    assert judge(record("running", "starting"), "healthy", "c") == "health: starting"
    assert judge(record("running", "healthy"), "healthy", "c") is None
    assert judge(record("running"), "completed", "c") == "running" and judge(record("exited"), "completed", "c") is None
    assert judge(record("created"), "healthy", "c") == "created"
    assert judge(record("running", Boxship={"Group": {"Ready": False}}), "healthy", "c") == "not listening yet"
    started = {"State": {"StartedAt": "2026-01-02T03:04:05Z"}}
    moment = parse_time("2026-01-02T03:04:05Z") / 10**9
    assert [is_young(started, moment + late) for late in (-9, 0.1, 0.6)] == [False, True, False]
    assert not is_young({}) and not is_young({"State": {"StartedAt": "0001-01-01T00:00:00Z"}})
    for wrong, condition, text in (
        (record("running", "unhealthy"), "healthy", "container c is unhealthy: no answer"),
        (record("exited", code=3), "healthy", r"container c exited \(3\)"),
        (record("exited", code=3), "completed", r"container c exited \(3\)"),
    ):
        with pytest.raises(Conflict, match=text):
            judge(wrong, condition, "c")


def test_small_readings() -> None:
    assert nanoseconds("1w2d3h1.5s") == (9 * 86400 + 3 * 3600) * 10**9 + 1_500_000_000 and nanoseconds("") == 0
    assert seconds("1.2s") == 2
    with pytest.raises(Invalid):
        nanoseconds("soon")
    assert scales(["web=3", "db=0"]) == {"web": 3, "db": 0}
    project = Project(name="p", volumes={"data": Volume(name="p_data")})
    assert mount_of(project, "/a:/b:ro").read_only and mount_of(project, "data:/x").type == "volume"
    assert mount_of(project, "./a:/b").source == os.path.abspath("a") and mount_of(project, "/x").target == "/x"
    for wrong in ("nothing:/x", "/a:b", "/a:/b:z"):
        with pytest.raises(Failure):
            mount_of(project, wrong)
    port = published(["127.0.0.1:8080:80/udp"])[0]
    assert (port.target, port.published, port.host_ip, port.protocol) == (80, "8080", "127.0.0.1", "udp")
    item = {"Id": "i", "Names": ["/p-a-1", "/p-b-1/a"], "State": "exited", "Status": "Exited (3) 2 hours ago"}
    assert (seen_container(item).name, seen_container(item).exit_code) == ("p-a-1", 3)
    assert seen_container({"Id": "i", "Status": "Up 1 second (health: starting)"}).health == "starting"


def test_progress_of_a_pull_is_one_sum() -> None:
    told: list[News] = []
    lines = [
        b'{"status":"Pulling fs layer","id":"a"}',
        b'{"status":"Downloading","id":"a","progressDetail":{"current":1,"total":4}}',
        b'{"status":"Downloading","id":"b","progressDetail":{"current":2,"total":6}}',
        b'{"status":"Extracting","id":"b","progressDetail":{"current":6,"total":6}}',
        b'{"status":"Pull complete","id":"a"}',
    ]
    follow(lines, "Pulling", told.append)
    assert [(news.current, news.total) for news in told] == [(1, 4), (3, 10), (6, 10)]
    with pytest.raises(Unavailable, match="gone"):
        follow([b'{"errorDetail":{"message":"gone"}}'], "Pulling", told.append)


def test_what_watch_rules_speak_of(tmp_path: Path) -> None:
    for name in ("src/a.py", "src/b.log", "src/deep/c.py", "src/.git/x", "src/skip/d.py", "src/e.py~", "conf"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(name)
    (tmp_path / ".dockerignore").write_text("src/skip\nother\n")

    def rule(**fields: Any) -> Rule:
        trigger = Trigger(**{"action": "sync", "target": "/app", "path": f"{tmp_path}/src", **fields})
        service = Service(name="web", build=Build(context=str(tmp_path)), develop=Develop(watch=(trigger,)))
        return rules_of(Project(name="p", services={"web": service}), ())[0]

    plain = rule(ignore=("*.log",))
    before = plain.scan()
    assert set(before) == {"a.py", "deep", "deep/c.py"} and plain.target("deep/c.py") == "/app/deep/c.py"
    assert {path for path in rule(include=("**/c.py",)).scan() if path.endswith(".py")} == {"deep/c.py"}
    one = rule(path=f"{tmp_path}/conf", target="/etc/")
    assert set(one.scan()) == {""} and one.target("") == "/etc/conf"
    (tmp_path / "src/a.py").write_text("longer than before")
    (tmp_path / "src/deep/c.py").unlink()
    changed, removed = differences(before, plain.scan())
    assert (changed, removed) == (["a.py"], ["deep/c.py"])
    batch = Batch()
    assert batch.take(changed, removed) and not batch.take([], []) and batch.take(["deep/c.py"], ["a.py"])
    assert list(batch.changed) == ["deep/c.py"] and list(batch.removed) == ["a.py"]
    with tarfile.open(fileobj=BytesIO(archive(plain, ["a.py", "gone"]))) as tar:
        assert tar.getnames() == ["app/a.py"]
    assert archive(plain, ["gone"]) == b""
    big = {"a": (0, PORTION_BYTES, 0, 0), "b": (0, 1, 0, 0)}
    assert list(portions(["b", "a", "gone"], big)) == [["a"], ["b", "gone"]]
    for wrong in ({"target": ""}, {"ignore": ("[",)}):
        with pytest.raises(Invalid, match="cannot watch web"):
            rule(**wrong)
    with pytest.raises(Invalid, match=r"develop\.watch"):
        rules_of(Project(name="p", services={"web": Service(name="web")}), ())
