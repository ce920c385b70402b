"""`boxship build` as a program, against a door whose builder plays a script."""

import io
import json
import os
import re
import signal
import socket
import subprocess
import sys
import tarfile
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from cli_builds import BuildServer, serving
from cli_terminal import PROGRAM, Terminal

from boxship.builder.dockerfile.syntax import Location
from boxship.builder.failures import BuildFailed
from boxship.builder.model import (
    Built,
    CacheEnd,
    Output,
    OutputData,
    StepFinished,
    StepOutput,
    StepProgress,
    StepStarted,
)
from boxship.cli.building.outputs import FileSink, write_notes
from boxship.cli.files import write_output
from boxship.spec.container import Resources, Ulimit
from daemons import until
from fake_builder import IMAGE, finding, planned, steps

SLOW = {
    "aiohttp",
    "asyncio",
    "email",
    "http",
    "msgspec",
    "re",
    "socket",
    "ssl",
    "tarfile",
    "threading",
    "typing",
    "urllib",
}


@pytest.fixture
def server(tmp_path: Path) -> Iterator[BuildServer]:
    (tmp_path / "server").mkdir()
    with serving(tmp_path / "server") as running:
        yield running


@pytest.fixture
def context(tmp_path: Path) -> Path:
    folder = tmp_path / "context"
    folder.mkdir()
    (folder / "Dockerfile").write_text("FROM busybox\nRUN x\n")
    (folder / "file").write_text("content")
    return folder


def boxship(
    server: BuildServer,
    *words: str,
    data: bytes = b"",
    environment: dict[str, str] | None = None,
    cwd: Path | None = None,
) -> "subprocess.CompletedProcess[str]":
    variables = {**os.environ, "BOXSHIP_HOST": server.url, "HOME": "/nonexistent", **(environment or {})}
    done = subprocess.run(
        [PROGRAM, *words], input=data, capture_output=True, env=variables, cwd=cwd, timeout=30, check=False
    )
    return subprocess.CompletedProcess(done.args, done.returncode, done.stdout.decode(), done.stderr.decode())


def built(server: BuildServer, *words: str, **options: Any) -> Any:
    """The request of a build that goes well."""
    done = boxship(server, *words, **options)
    assert done.returncode == 0, done.stderr
    return server.builder.requests[-1]


def play_two_steps(server: BuildServer) -> None:
    first, second = steps("FROM busybox", "RUN x")
    server.builder.script = [
        StepStarted(step="m", name="[internal] load metadata for busybox"),
        StepFinished("m", seconds=0.14),
        planned("FROM busybox", "RUN x"),
        first,
        StepFinished("s1", cached=True),
        second,
        StepProgress("s2", "a", 1_000_000, 2_000_000),
        StepOutput("s2", 1, b"hello\nwor"),
        StepOutput("s2", 1, b"ld\x1b[31m\n"),
        StepFinished("s2", seconds=1.25, reason="the command is new"),
        Built(image=IMAGE, names=("web:latest",), steps=2, cached=1),
    ]


def test_the_folder_is_read_where_it_is(server: BuildServer, context: Path) -> None:
    (context / ".dockerignore").write_text("# comment\n*.o\n\n!keep.o\n")
    request = built(server, "build", "-t", "web", str(context))
    assert request.context.path == context and request.context.patterns == ("# comment", "*.o", "!keep.o")
    assert request.dockerfile_text == b"FROM busybox\nRUN x\n" and request.dockerfile == "Dockerfile"
    assert request.tags == ("web",)
    assert server.left() == []


def test_a_dockerfiles_own_ignore_file_comes_first(server: BuildServer, context: Path) -> None:
    (context / ".dockerignore").write_text("a\n")
    (context / "web.Dockerfile").write_text("FROM x\n")
    (context / "web.Dockerfile.dockerignore").write_text("b\n")
    request = built(server, "build", "-f", str(context / "web.Dockerfile"), str(context))
    assert request.context.patterns == ("b",) and request.dockerfile_text == b"FROM x\n"
    (context / "web.Dockerfile.dockerignore").write_text("\n")
    assert built(server, "build", "-f", "web.Dockerfile", str(context)).context.patterns == ("#",)


def test_a_dockerfile_outside_of_the_context(server: BuildServer, context: Path, tmp_path: Path) -> None:
    (tmp_path / "Other").write_text("FROM other\n")
    request = built(server, "build", "-f", "Other", "context", cwd=tmp_path)
    assert request.dockerfile_text == b"FROM other\n" and request.dockerfile == "Other"
    assert built(server, "build", "-f", "-", str(context), data=b"FROM input\n").dockerfile_text == b"FROM input\n"


def test_standard_input_is_a_dockerfile_or_an_archive(server: BuildServer) -> None:
    request = built(server, "build", "-", data=b"FROM scratch\n")
    assert request.context is None and request.dockerfile_text == b"FROM scratch\n"
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w:gz") as archive:
        entry = tarfile.TarInfo("sub/Df")
        entry.size = 300_000
        archive.addfile(entry, io.BytesIO(os.urandom(300_000)))
    request = built(server, "build", "-f", "sub/Df", "-", data=buffer.getvalue())
    assert request.dockerfile == "sub/Df" and request.dockerfile_text is None
    assert [*server.builder.files] == ["sub/Df"] and server.left() == []


def test_addresses_are_left_to_the_daemon(server: BuildServer) -> None:
    for address in ("https://example.com/a.git#main:sub", "git@example.com:a/b.git", "github.com/a/b", "http://x/Df"):
        request = built(server, "build", "-f", "sub/Df", address)
        assert request.remote == address and request.context is None and request.dockerfile == "sub/Df"


def test_every_flag_arrives(server: BuildServer, context: Path, tmp_path: Path) -> None:
    (tmp_path / "secret").write_bytes(b"\0hush")
    (tmp_path / "other").mkdir()
    request = built(
        server,
        *("build", "-t", "a", "-t", "b:1", "--build-arg", "A=1=2", "--build-arg", "FROM_ENV", "--build-arg", "NOWHERE"),
        *(
            "--label",
            "l=v",
            "--label",
            "m",
            "--annotation",
            "n=w",
            "--annotation",
            "manifest:a.b:c=d=e",
            "--target",
            "web",
            "--no-cache",
            "--pull",
        ),
        *("--no-cache-filter", "x,y", "--platform", "linux/arm64", "--network", "none", "--add-host", "h=1.2.3.4"),
        *(
            "--add-host",
            "i:host-gateway",
            "--shm-size",
            "64m",
            "--ulimit",
            "nofile=1:2",
            "-m",
            "1g",
            "--memory-swap",
            "-1",
        ),
        *("--cpu-shares", "5", "--cpu-period", "7", "--cpu-quota", "8", "--cpuset-cpus", "0", "--cpuset-mems", "0"),
        *("--cgroup-parent", "/p", "--secret", f"id=s,src={tmp_path}/secret", "--secret", "id=e,env=FROM_ENV"),
        *("--secret", "id=FROM_ENV", "--allow", "security.insecure,network.host", "--host-ca", "--push"),
        *("--cache-from", "user/app:c", "--cache-from", "type=local,src=c", "--cache-to", "type=inline"),
        *("--cache-to", "type=registry,ref=r,mode=max", "--build-context", f"Other={tmp_path}/other"),
        *("--build-context", "base=docker-image://busybox", str(context)),
        environment={"FROM_ENV": "here", "SOURCE_DATE_EPOCH": "42"},
        cwd=tmp_path,
    )
    assert request.tags == ("a", "b:1")
    assert request.arguments == {"A": "1=2", "FROM_ENV": "here", "NOWHERE": None}
    assert (
        request.labels == {"l": "v", "m": ""}
        and request.annotations == {"n": "w", "a.b:c": "d=e"}
        and request.target == "web"
    )
    assert request.no_cache and request.pull and request.no_cache_stages == ("x", "y")
    assert request.platform.architecture == "arm64" and request.network == "none"
    assert request.extra_hosts == ("h:1.2.3.4", "i:host-gateway") and request.shm_size == 64 << 20
    assert request.ulimits == (Ulimit("nofile", 1, 2),) and request.cgroup_parent == "/p"
    assert request.resources == Resources(
        memory=1 << 30, memory_swap=-1, cpu_shares=5, cpu_period=7, cpu_quota=8, cpuset_cpus="0", cpuset_mems="0"
    )
    assert request.secrets == {"s": b"\0hush", "e": b"here", "FROM_ENV": b"here"}
    assert request.insecure and request.host_network and request.host_ca and request.epoch == 42
    assert request.outputs == (Output(kind="image", attributes={"push": "true"}),)
    assert request.cache_from == (
        CacheEnd(kind="registry", attributes={"ref": "user/app:c"}),
        CacheEnd(kind="local", attributes={"src": f"{tmp_path}/c"}),
    )
    assert request.cache_to == (
        CacheEnd(kind="inline"),
        CacheEnd(kind="registry", attributes={"ref": "r", "mode": "max"}),
    )
    assert request.contexts["other"].path == tmp_path / "other"
    assert request.contexts["base"] == "docker-image://busybox"


@pytest.mark.parametrize(
    ("words", "code", "text"),
    [
        (["nowhere"], 1, "cannot build nowhere: path not found"),
        (["context/file"], 1, "cannot build context/file: path not a directory"),
        (["-f", "none", "context"], 1, "failed to read dockerfile: open none: no such file"),
        (["-f", "-", "-"], 1, "cannot read both"),
        (["-"], 1, "standard input: it is empty"),
        (["--squash", "context"], 1, "unsupported: --squash"),
        (["--rm=false", "context"], 1, "unsupported: --rm=false"),
        (["--isolation", "hyperv", "context"], 1, "unsupported: --isolation hyperv"),
        (["--security-opt", "x", "context"], 1, "unsupported: --security-opt"),
        (["--provenance", "true", "context"], 1, "unsupported: --provenance"),
        (["--call", "outline", "context"], 1, "unsupported: --call outline"),
        (["--platform", "linux/amd64,linux/arm64", "context"], 1, "unsupported: --platform with several"),
        (["--allow", "everything", "context"], 1, "unsupported: --allow everything"),
        (["--progress", "fancy", "context"], 125, "invalid argument 'fancy' for --progress"),
        (["--progress", "tty", "context"], 125, "cannot show progress as tty"),
        (["--secret", "src=x", "context"], 1, "id is missing"),
        (["--secret", "id=x,src=none", "context"], 1, "cannot use secret x: none: no such file"),
        (["--secret", "id=x,env=NONE", "context"], 1, "cannot use secret x: the environment has no NONE"),
        (["--secret", "id=x,colour=red", "context"], 1, "unexpected key 'colour'"),
        (["--ssh", "default", "context"], 1, "SSH_AUTH_SOCK is not set"),
        (["--ssh", "x=context/file", "context"], 1, "unsupported: --ssh x=context/file with a key file"),
        (["-o", "type=zip", "context"], 1, "unsupported: --output of type zip"),
        (["-o", "type=local", "context"], 1, "dest must name a folder"),
        (["-o", "context/file", "context"], 1, "cannot write context/file: it is not a directory"),
        (["-o", "type=tar,dest=none/x", "context"], 1, "cannot write none/x: none: no such directory"),
        (["--annotation", "n", "context"], 1, "invalid argument 'n' for --annotation"),
        (["--annotation", "index:n=w", "context"], 1, "unsupported: --annotation index"),
        (["--annotation", "manifest[linux/amd64]:n=w", "context"], 1, "unsupported: --annotation manifest[linux"),
        (["--annotation", "index,manifest:n=w", "context"], 1, "unsupported: --annotation index,manifest"),
        (["--sbom", "true", "context"], 1, "unsupported: --sbom"),
        (["--attest", "type=sbom", "context"], 1, "unsupported: --attest"),
        (["--builder", "x", "context"], 125, "unknown flag: --builder"),
        (["--cache-from", "type=gha", "context"], 1, "unsupported: --cache-from of type gha"),
        (["--cache-to", "type=local", "context"], 1, "dest is missing"),
        (["--add-host", "x", "context"], 1, "bad format for add-host"),
        (["--build-arg", "=x", "context"], 1, "invalid argument '=x' for --build-arg"),
        (["--build-context", "x=none", "context"], 1, "cannot use build context x: none"),
        (["--memory", "-5", "context"], 125, "invalid argument"),
    ],
)
def test_mistakes_are_told_before_anything_is_sent(
    server: BuildServer, context: Path, tmp_path: Path, words: list[str], code: int, text: str
) -> None:
    done = boxship(server, "build", *words, cwd=tmp_path, environment={"SSH_AUTH_SOCK": ""})
    assert done.returncode == code and text in done.stderr and done.stderr.startswith("boxship: "), done.stderr
    assert server.builder.requests == []


def test_plain_progress(server: BuildServer, context: Path) -> None:
    play_two_steps(server)
    done = boxship(server, "build", "--explain", str(context))
    lines = re.sub(r" 0\.\d{3} ", " 0.000 ", done.stderr).split("\n")
    assert done.stdout == ""
    assert lines[:9] == [
        "#1 [internal] load metadata for busybox",
        "#1 DONE 0.1s",
        "",
        "#2 [1/2] FROM busybox",
        "#2 CACHED",
        "",
        "#3 [2/2] RUN x",
        "#3 0.000 hello",
        "#3 0.000 world[31m",
    ]
    assert lines[9:13] == ["#3 1MB / 2MB", "#3 DONE 1.2s", "#3 not cached: the command is new", ""]
    assert lines[13].startswith("Built web:latest (abababababab): 2 steps, 1 cached, 0.")


def test_steps_that_speak_in_turns_are_named_again(server: BuildServer, context: Path) -> None:
    one, two = steps("RUN one", "RUN two")
    server.builder.script = [
        planned("RUN one", "RUN two"),
        one,
        two,
        StepOutput("s1", 1, b"a\n"),
        StepOutput("s2", 2, b"b\n"),
        StepOutput("s1", 1, b"c"),
        StepFinished("s1", seconds=1),
        StepFinished("s2", seconds=1),
        Built(image=IMAGE),
    ]
    shown = re.sub(r" 0\.\d{3} ", " 0.000 ", boxship(server, "build", str(context)).stderr)
    wanted = "#1 [1/2] RUN one\n#1 0.000 a\n#1 ...\n\n#2 [2/2] RUN two\n#2 0.000 b\n#2 ...\n\n#1 [1/2] RUN one\n"
    assert shown.startswith(wanted), shown
    assert "#1 1.000 c\n#1 DONE 1.0s\n\n#2 [2/2] RUN two\n#2 DONE 1.0s\n" in shown


def test_steps_that_only_change_the_config_are_not_shown(server: BuildServer, context: Path) -> None:
    silent = StepStarted(step="e", name="ENV a=b", instruction="ENV a=b")
    server.builder.script = [silent, StepFinished("e"), Built(image=IMAGE)]
    assert "ENV" not in boxship(server, "build", str(context)).stderr


def test_quiet_and_notes(server: BuildServer, context: Path, tmp_path: Path) -> None:
    play_two_steps(server)
    files = (tmp_path / "iid", tmp_path / "notes")
    done = boxship(server, "build", "-q", "--iidfile", str(files[0]), "--metadata-file", str(files[1]), str(context))
    assert (done.stdout, done.stderr) == (f"{IMAGE}\n", "")
    assert files[0].read_text() == IMAGE
    assert json.loads(files[1].read_text()) == {"containerimage.config.digest": IMAGE, "image.name": "web:latest"}


def test_raw_events(server: BuildServer, context: Path) -> None:
    play_two_steps(server)
    done = boxship(server, "build", "--progress", "rawjson", str(context))
    events = [json.loads(line) for line in done.stderr.splitlines()]
    assert [event["type"] for event in events[:3]] == ["StepStarted", "StepFinished", "Planned"]
    assert events[-1]["type"] == "Built"


@pytest.mark.parametrize("flags", [(), ("-q",)])
def test_a_failure_shows_the_step_and_the_line(server: BuildServer, context: Path, flags: tuple[str, ...]) -> None:
    (step,) = steps("RUN x")
    server.builder.script = [
        planned("RUN x"),
        step,
        StepOutput("s1", 2, b"one\ntwo\n"),
        StepFinished("s1", error="exit code: 7"),
        BuildFailed(
            'process "x" did not complete successfully: exit code: 7',
            step="s1",
            code=7,
            command="x",
            location=Location("Dockerfile", 2, 2),
            lines=("FROM busybox", "RUN x"),
        ),
    ]
    done = boxship(server, "build", *flags, str(context))
    assert done.returncode == 1 and done.stdout == ""
    assert done.stderr.endswith(
        "------\n > [1/1] RUN x:\none\ntwo\n------\n"
        "Dockerfile:2\n--------------------\n   1 |     FROM busybox\n   2 | >>> RUN x\n--------------------\n"
        f'boxship: cannot build {context}: process "x" did not complete successfully: exit code: 7\n'
    )


def test_a_check_prints_a_table(server: BuildServer, context: Path) -> None:
    assert boxship(server, "build", "--check", str(context)).stdout == "Check complete, no findings.\n"
    server.builder.findings = (finding("JSONArgsRecommended", 9, "use JSON"), finding("StageNameCasing", 2, "one case"))
    for words in (("--check",), ("--call", "check"), ("--call=check",)):
        done = boxship(server, "build", *words, str(context))
        assert done.returncode == 1
        assert done.stdout.splitlines() == [
            "PLACE          RULE                  FINDING",
            "Dockerfile:2   StageNameCasing       one case",
            "Dockerfile:9   JSONArgsRecommended   use JSON",
        ]


def archive_of(files: dict[str, str]) -> bytes:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as archive:
        for name, content in files.items():
            entry = tarfile.TarInfo(name)
            entry.size, entry.uid, entry.mode = len(content), 4242, 0o640
            archive.addfile(entry, io.BytesIO(content.encode()))
    return buffer.getvalue()


def test_archives_go_where_they_are_wanted(server: BuildServer, context: Path, tmp_path: Path) -> None:
    data = archive_of({"a/b": "c", "d": "e"})
    server.builder.script = [
        OutputData(0, data[:1000]),
        OutputData(1, data),
        OutputData(2, data),
        OutputData(0, data[1000:]),
        OutputData(0, b""),
        OutputData(1, b""),
        OutputData(2, b""),
        Built(),
    ]
    words = ("-o", f"type=tar,dest={tmp_path}/x.tar", "-o", f"{tmp_path}/out", "-o", "-", "-o", "type=cacheonly")
    variables = {**os.environ, "BOXSHIP_HOST": server.url}
    done = subprocess.run([PROGRAM, "build", *words, context], capture_output=True, env=variables, check=False)
    assert done.returncode == 0, done.stderr
    assert [output.kind for output in server.builder.requests[0].outputs] == ["tar", "local", "tar", "none"]
    assert (tmp_path / "x.tar").read_bytes() == data and done.stdout == data
    assert (tmp_path / "out" / "a" / "b").read_text() == "c" and (tmp_path / "out" / "d").stat().st_uid == os.getuid()
    assert [path.name for path in tmp_path.iterdir() if "unfinished" in path.name] == []


def test_an_archive_that_does_not_come_whole_leaves_nothing(server: BuildServer, context: Path, tmp_path: Path) -> None:
    server.builder.script = [OutputData(0, b"x" * 1000), BuildFailed("no")]
    done = boxship(server, "build", "-o", f"type=oci,dest={tmp_path}/x.tar", str(context))
    assert done.returncode == 1 and not (tmp_path / "x.tar").exists()
    assert [path.name for path in tmp_path.iterdir() if "unfinished" in path.name] == []


def test_no_link_in_a_shared_folder_is_written_through(tmp_path: Path) -> None:
    """Others can foresee our process's number, and put a link where we were to write."""
    victim = tmp_path / "victim"
    victim.write_text("kept")
    out = str(tmp_path / "out")
    os.symlink(victim, f"{out}.unfinished-{os.getpid()}")
    sink = FileSink(out)
    sink.write(b"one")
    sink.finish()
    assert Path(out).read_text() == "one"
    write_output([b"two"], out, "write")
    assert Path(out).read_text() == "two"
    write_notes({"image": "sha256:1"}, out, "")
    assert Path(out).read_text() == "sha256:1" and victim.read_text() == "kept"


def test_a_folder_that_cannot_be_written_is_told(server: BuildServer, context: Path, tmp_path: Path) -> None:
    data = archive_of({"../outside": "x"})
    server.builder.script = [OutputData(0, data + bytes(1 << 20)), OutputData(0, b""), Built()]
    done = boxship(server, "build", "-o", str(tmp_path / "out"), str(context))
    assert done.returncode == 1 and "it leads outside" in done.stderr and not (tmp_path / "outside").exists()


def test_agents_are_reached_through_the_client(server: BuildServer, context: Path, tmp_path: Path) -> None:
    path = str(tmp_path / "agent")
    listener = socket.socket(socket.AF_UNIX)
    listener.bind(path)
    listener.listen()

    def answer() -> None:
        connection, _ = listener.accept()
        connection.sendall(connection.recv(100) + b", answered")
        connection.close()

    threading.Thread(target=answer, daemon=True).start()
    heard: list[bytes] = []

    async def talk(agents: Any) -> None:
        assert agents.offers("default") and agents.offers("github") and not agents.offers("other")
        connection = await agents.connect("default")
        await connection.write(b"asked")
        while data := await connection.read(1000):
            heard.append(data)
        await connection.close()

    server.builder.talk = talk
    words = ("--ssh", "default", "--ssh", f"github={path}")
    built(server, "build", *words, str(context), environment={"SSH_AUTH_SOCK": path})
    listener.close()
    assert b"".join(heard) == b"asked, answered"


@pytest.mark.parametrize(
    ("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143), (signal.SIGHUP, 129)], ids=("INT", "TERM", "HUP")
)
def test_an_interrupt_ends_the_build_and_leaves_nothing(
    server: BuildServer, context: Path, tmp_path: Path, number: signal.Signals, code: int
) -> None:
    import asyncio

    (step,) = steps("RUN x")
    server.builder.script = [planned("RUN x"), step, OutputData(0, b"x"), asyncio.Event()]
    environment = {**os.environ, "BOXSHIP_HOST": server.url}
    with subprocess.Popen(
        [PROGRAM, "build", "-o", f"type=tar,dest={tmp_path}/x.tar", str(context)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        env=environment,
    ) as process:
        assert process.stderr is not None and b"RUN x" in process.stderr.readline()
        process.send_signal(number)
        assert process.wait(10) == code
    until(lambda: server.builder.was_cancelled, 10, "the build is cancelled")
    assert not [path.name for path in tmp_path.iterdir() if path.name.startswith("x.tar")]


def test_a_tree_on_a_terminal(server: BuildServer, context: Path) -> None:
    import asyncio

    gate = asyncio.Event()
    first, second = steps("FROM busybox", "RUN make a very long line " + "x" * 100)
    server.builder.script = [
        planned(first.instruction, second.instruction),
        first,
        StepFinished("s1", cached=True),
        second,
        StepOutput("s2", 1, b"compiling\n"),
        gate,
        StepFinished("s2", seconds=3.2, reason="the command is new"),
        Built(image=IMAGE, names=("web:latest",), steps=2, cached=1),
    ]
    terminal = Terminal(server.url, "build", "--explain", "-t", "web", str(context), rows=20, columns=60)
    terminal.until(b"compiling")
    server.call(gate.set)
    shown = terminal.until(b"Built web:latest (abababababab): 2 steps, 1 cached")
    assert terminal.end() == 0
    last = shown.decode().rpartition("\x1b[2K\x1b[1mBuilding web")[2]
    assert "cached" in last and "3.2s" in last and "not cached: the command is new" in last
    assert "compiling" not in last
    for line in shown.decode().split("\r\n"):
        plain = line.rpartition("\x1b[2K")[2].removesuffix("\x1b[0m")
        assert len(plain) <= 60 + len("\x1b[33m"), plain


def test_a_small_terminal_still_shows_what_runs(server: BuildServer, context: Path) -> None:
    import asyncio

    gate = asyncio.Event()
    names = [f"RUN step-{number}" for number in range(30)]
    all_steps = steps(*names)
    server.builder.script = [planned(*names)]
    for step in all_steps[:20]:
        server.builder.script += [step, StepFinished(step.step)]
    server.builder.script += [all_steps[20], gate, StepFinished("s21"), Built(image=IMAGE)]
    terminal = Terminal(server.url, "build", str(context), rows=8, columns=80)
    before = terminal.until("● [21/30]".encode())
    assert before.rpartition(b"\x1b[A")[2].count(b"\n") < 60
    server.call(gate.set)
    terminal.until(b"Built")
    assert terminal.end() == 0


def test_an_unchanged_build_imports_nothing_slow(server: BuildServer, context: Path) -> None:
    script = (
        "import sys; before = set(sys.modules); sys.argv = ['boxship', 'build', sys.argv[1]]\n"
        "from boxship.cli import main; code = main()\n"
        "print(*(set(sys.modules) - before), sep='\\n'); sys.exit(code)"
    )
    environment = {**os.environ, "BOXSHIP_HOST": server.url}
    done = subprocess.run(
        [sys.executable, "-c", script, str(context)], capture_output=True, text=True, env=environment, check=False
    )
    assert done.returncode == 0, done.stderr
    assert {module.partition(".")[0] for module in done.stdout.split()} & (SLOW - {"re"}) == set()
