"""`boxship build` against a real daemon: the cache, secrets, outputs, contexts that have to be sent, interrupts."""

import json
import os
import re
import shutil
import signal
import subprocess
import tarfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from cli_terminal import PROGRAM, Terminal

from daemons import Daemon, processes_naming, running_daemon, until


@pytest.fixture
def context(tmp_path: Path) -> Path:
    folder = tmp_path / "context"
    folder.mkdir()
    return folder


@pytest.fixture(autouse=True)
def nothing_stays(daemon: Daemon) -> Iterator[None]:
    yield
    until(lambda: not left(daemon), 10, "contexts are removed")


def left(daemon: Daemon) -> list[str]:
    folder = daemon.data / "builder" / "contexts"
    return [name for name in os.listdir(folder) if name != ".trash"] if folder.exists() else []


def build(daemon: Daemon, dockerfile: str, *words: str, **options: Any) -> "subprocess.CompletedProcess[str]":
    """A build whose Dockerfile comes on standard input."""
    return daemon.boxship("build", *words, data=dockerfile.encode(), **options)


def test_an_unchanged_build_does_nothing_and_says_so(daemon: Daemon, context: Path) -> None:
    (context / "Dockerfile").write_text(f"FROM busybox\nRUN echo {time.time_ns()}\nCOPY file /\nRUN cat /file\n")
    (context / "file").write_text("one\n")
    first = daemon.boxship("build", "-t", "cli-build:live", str(context))
    assert " one\n" in first.stderr and ", 0 cached" not in first.stderr
    again = daemon.boxship("build", "--explain", "-t", "cli-build:live", str(context))
    assert "not cached" not in again.stderr and again.stderr.count("CACHED") >= 4
    (context / "file").write_text("two\n")
    changed = daemon.boxship("build", "--explain", "-t", "cli-build:live", str(context))
    assert " two\n" in changed.stderr and "file" in changed.stderr.split("not cached: ", 1)[1].split("\n")[0]
    daemon.boxship("rmi", "cli-build:live")


def test_the_image_and_what_is_noted(daemon: Daemon, tmp_path: Path) -> None:
    iid, notes = tmp_path / "iid", tmp_path / "notes"
    done = build(daemon, "FROM busybox\nRUN true\n", "-q", "--iidfile", str(iid), "--metadata-file", str(notes), "-")
    image = done.stdout.strip()
    assert image.startswith("sha256:") and done.stderr == "" and iid.read_text() == image
    assert json.loads(notes.read_text())["containerimage.config.digest"] == image
    assert daemon.boxship("image", "inspect", "--format", "{{.Id}}", image).stdout.strip() == image


def test_secrets_leave_no_trace(daemon: Daemon, tmp_path: Path) -> None:
    (tmp_path / "token").write_text("hush-hush")
    dockerfile = (
        "FROM busybox\nRUN --mount=type=secret,id=token,required=true grep -qx 'hu[s]h-hush' /run/secrets/token\n"
        "RUN --mount=type=secret,id=other,env=OTHER test $OTHER = value\nRUN test ! -e /run/secrets/token\n"
    )
    words = ("--secret", f"id=token,src={tmp_path}/token", "--secret", "id=other,env=OTHER", "-q", "-")
    environment = {**os.environ, "BOXSHIP_HOST": daemon.url, "OTHER": "value"}
    done = subprocess.run(
        [PROGRAM, "build", *words], input=dockerfile.encode(), capture_output=True, env=environment, check=False
    )
    assert done.returncode == 0, done.stderr
    image = done.stdout.decode().strip()
    assert "hush-hush" not in daemon.boxship("history", "--no-trunc", image).stdout


def test_files_and_archives_come_back(daemon: Daemon, tmp_path: Path) -> None:
    dockerfile = (
        "FROM busybox AS made\nRUN mkdir -p /out/sub && echo x > /out/sub/file\nFROM scratch\nCOPY --from=made /out /\n"
    )
    build(daemon, dockerfile, "-o", str(tmp_path / "folder"), "-o", f"type=tar,dest={tmp_path}/x.tar", "-")
    assert (tmp_path / "folder" / "sub" / "file").read_text() == "x\n"
    with tarfile.open(tmp_path / "x.tar") as archive:
        assert "sub/file" in [name.lstrip("./") for name in archive.getnames()]
    done = daemon.boxship("build", "-o", "-", "-", data=dockerfile.encode())
    assert "ustar" in done.stdout
    build(daemon, dockerfile, "-o", f"type=oci,dest={tmp_path}/oci.tar", "-t", "x:1", "-")
    with tarfile.open(tmp_path / "oci.tar") as archive:
        assert "index.json" in archive.getnames()


def test_a_context_that_the_daemon_does_not_see_is_sent(daemon: Daemon, context: Path) -> None:
    dockerfile = "FROM busybox\\nCOPY . /all\\nRUN cd /all && cat sub/link && ls sub\\n"
    script = (
        f"mount -t tmpfs none {context} && cd {context} && mkdir -p sub/skipped && echo seen > sub/file && "
        "echo no > sub/skipped/x && ln -s file sub/link && printf 'sub/skipped\\n' > .dockerignore && "
        f"printf '{dockerfile}' > Dockerfile && exec {PROGRAM} build --no-cache ."
    )
    environment = {**os.environ, "BOXSHIP_HOST": daemon.url}
    done = subprocess.run(
        ["unshare", "--mount", "sh", "-c", script],
        capture_output=True,
        text=True,
        env=environment,
        timeout=60,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert " seen\n" in done.stderr and "skipped" not in done.stderr
    assert "#1 [internal] send build context\n" in done.stderr


def test_a_failure_names_file_line_and_shows_the_step(daemon: Daemon, context: Path) -> None:
    (context / "Df").write_text("FROM busybox\n\nRUN echo before && \\\n  false\n")
    done = daemon.boxship("build", "-f", str(context / "Df"), str(context), check=False)
    assert done.returncode == 1
    tail = done.stderr[done.stderr.index("------\n") :]
    assert (
        "before" in tail
        and "Df:3" in tail
        and "   3 | >>> RUN echo before && \\" in tail
        and "   4 | >>>   false" in tail
    )
    assert tail.rstrip().endswith("did not complete successfully: exit code: 1")


def test_findings_end_a_check_with_one(daemon: Daemon) -> None:
    done = build(daemon, "FROM busybox as base\nCMD echo hi\n", "--check", "-", check=False)
    assert done.returncode == 1
    assert "FromAsCasing" in done.stdout and "JSONArgsRecommended" in done.stdout and "Dockerfile:2" in done.stdout
    assert build(daemon, 'FROM busybox\nCMD ["true"]\n', "--check", "-").stdout == "Check complete, no findings.\n"


def running(mark: str) -> bool:
    return bool(processes_naming(f"sleep\0{mark}"))


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGKILL])
def test_a_client_that_ends_takes_its_step_along(daemon: Daemon, number: signal.Signals) -> None:
    mark = f"98765{int(number)}{os.getpid()}"
    environment = {**os.environ, "BOXSHIP_HOST": daemon.url}
    with subprocess.Popen(
        [PROGRAM, "build", "-"], stdin=subprocess.PIPE, stderr=subprocess.DEVNULL, env=environment
    ) as process:
        assert process.stdin is not None
        process.stdin.write(f"FROM busybox\nRUN sleep {mark}\n".encode())
        process.stdin.close()
        until(lambda: running(mark), 20, "the step runs")
        process.send_signal(number)
        assert process.wait(10) == (130 if number is signal.SIGINT else -number)
    until(lambda: not running(mark), 10, "the step ends")


def test_an_interrupt_on_a_terminal_leaves_it_as_it_was(daemon: Daemon, context: Path) -> None:
    mark = f"987650{os.getpid()}"
    (context / "Dockerfile").write_text(f"FROM busybox\nRUN echo begun; sleep {mark}\n")
    terminal = Terminal(daemon.url, "build", str(context))
    terminal.until(b"begun")
    terminal.signal(signal.SIGINT)
    assert terminal.end() == 130
    until(lambda: not running(mark), 10, "the step ends")


def test_a_daemon_that_is_killed_is_told_of(tmp_path: Path) -> None:
    mark = f"987649{os.getpid()}"
    with running_daemon(tmp_path) as own:
        environment = {**os.environ, "BOXSHIP_HOST": own.url}
        words = [PROGRAM, "build", "-o", f"type=tar,dest={tmp_path}/x.tar", "-"]
        with subprocess.Popen(words, stdin=subprocess.PIPE, stderr=subprocess.PIPE, env=environment) as process:
            assert process.stdin is not None
            process.stdin.write(f"FROM busybox\nRUN sleep {mark}\n".encode())
            process.stdin.close()
            process.stdin = None
            until(lambda: running(mark), 20, "the step runs")
            own.kill()
            _, said = process.communicate(timeout=20)
        assert process.returncode == 1 and b"cannot build: the daemon closed the connection" in said
        assert not list(tmp_path.glob("x.tar*"))
        own.start()
        until(lambda: not running(mark), 20, "the step ends with the next start at the latest")
        assert build(own, "FROM busybox\nRUN true\n", "-q", "-").stdout.startswith("sha256:")


def test_the_cache_is_shown_and_pruned(daemon: Daemon) -> None:
    mark = f"mark{time.time_ns()}"
    build(daemon, f"FROM busybox\nRUN --mount=type=cache,id=live-cache,target=/c echo {mark} > /c/x\n", "-q", "-")
    shown = daemon.boxship("builder", "du", "--verbose").stdout
    assert mark in shown and "Reclaimable:" in shown
    volumes = daemon.boxship("builder", "cache", "ls").stdout
    (identifier,) = [line.split()[0] for line in volumes.splitlines() if "live-cache" in line]
    assert daemon.boxship("builder", "cache", "rm", identifier).stdout == f"{identifier}\n"
    assert "live-cache" not in daemon.boxship("builder", "cache", "ls").stdout
    assert daemon.boxship("builder", "cache", "rm", identifier, check=False).returncode == 1
    assert "Total reclaimed space" in daemon.boxship("builder", "prune", "-f", "-a").stdout
    assert mark not in daemon.boxship("builder", "du", "--verbose").stdout


def copied_program(program: str, folder: Path) -> None:
    """The program with the libraries that it needs, at their places below the folder."""
    listed = subprocess.run(["ldd", program], capture_output=True, text=True, check=True).stdout
    for path in [program, *re.findall(r"(/\S+) \(0x", listed)]:
        target = folder / path.lstrip("/")
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(path, target)


@pytest.mark.skipif(not shutil.which("ssh-agent"), reason="openssh-client is not installed")
def test_the_users_agent_serves_steps(daemon: Daemon, context: Path, tmp_path: Path) -> None:
    copied_program(str(shutil.which("ssh-add")), context / "root")
    (context / "Dockerfile").write_text(
        "FROM busybox\nCOPY root /\nENV PATH=/bin:/usr/bin\n"
        "RUN --mount=type=ssh ssh-add -l\nRUN --mount=type=ssh,id=other ssh-add -l || echo none\n"
    )
    subprocess.run(
        ["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-C", "of the user", "-f", tmp_path / "key"], check=True
    )
    socket_path = tmp_path / "agent"
    with subprocess.Popen(["ssh-agent", "-D", "-a", socket_path], stdout=subprocess.DEVNULL) as agent:
        try:
            until(socket_path.exists, 10, "the agent listens")
            environment = {**os.environ, "BOXSHIP_HOST": daemon.url, "SSH_AUTH_SOCK": str(socket_path)}
            subprocess.run(["ssh-add", "-q", tmp_path / "key"], env=environment, check=True)
            words = [PROGRAM, "build", "--ssh", "default", str(context)]
            done = subprocess.run(words, env=environment, capture_output=True, text=True, timeout=60, check=False)
        finally:
            agent.terminate()
    assert done.returncode == 0, done.stderr
    assert "of the user (ED25519)" in done.stderr and " none\n" in done.stderr
