"""The program against a real daemon: what users do, with and without a terminal."""

import json
import os
import signal
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
from cli_terminal import PROGRAM, Terminal

from daemons import Daemon, until


@pytest.fixture(autouse=True)
def cleared(request: pytest.FixtureRequest) -> Iterator[None]:
    daemon: Daemon = request.getfixturevalue("daemon")
    yield
    daemon.remove_all()


def program(daemon: Daemon, *words: str) -> "subprocess.Popen[bytes]":
    pipe = subprocess.PIPE
    return subprocess.Popen([PROGRAM, "-H", daemon.url, *words], stdin=pipe, stdout=pipe, stderr=pipe)


def test_run_passes_output_and_exit_code_on(daemon: Daemon) -> None:
    before = daemon.boxship("ps", "-aq").stdout
    done = daemon.boxship("run", "--rm", "busybox", "sh", "-c", "echo out; echo err >&2; exit 7", check=False)
    assert (done.returncode, done.stdout, done.stderr) == (7, "out\n", "err\n")
    assert daemon.boxship("ps", "-aq").stdout == before


@pytest.mark.parametrize(
    ("words", "code", "text"),
    [
        (("busybox", "no-such-program"), 127, "executable file not found"),
        (("busybox", "/etc"), 126, "permission denied"),
        (("no-such-image",), 125, "boxship: "),
        (("-w", "relative", "busybox"), 125, "boxship: "),
        (("--name", "a b", "busybox"), 125, "boxship: "),
    ],
)
def test_run_says_why_not(daemon: Daemon, words: tuple[str, ...], code: int, text: str) -> None:
    done = daemon.boxship("run", "--rm", *words, check=False)
    assert done.returncode == code and text in done.stderr and "Traceback" not in done.stderr
    assert daemon.boxship("ps", "-aq").stdout == ""


def test_run_carries_input_both_ways_whole(daemon: Daemon) -> None:
    data = os.urandom(3 << 20)
    process = program(daemon, "run", "--rm", "-i", "busybox", "cat")
    out, err = process.communicate(data, 60)
    assert out == data and err == b"" and process.returncode == 0


def test_run_in_the_background(daemon: Daemon, tmp_path: Path) -> None:
    file = tmp_path / "cid"
    identifier = daemon.boxship(
        "run", "-d", "--name", "bg", "--cidfile", str(file), "busybox", "sleep", "60"
    ).stdout.strip()
    assert len(identifier) == 64 and file.read_text() == identifier
    assert daemon.boxship("ps", "-q", "--no-trunc").stdout == f"{identifier}\n"
    assert daemon.boxship("inspect", "-f", "{{.State.Status}} {{.HostConfig.NetworkMode}}", "bg").stdout.startswith(
        "running "
    )
    assert daemon.boxship("stop", "-t", "0", "bg").stdout == "bg\n"
    assert daemon.boxship("wait", "bg").stdout == "137\n"


def test_signals_go_to_the_container(daemon: Daemon) -> None:
    script = "trap 'echo got; exit 9' TERM; echo ready; while :; do sleep 0.1; done"
    process = program(daemon, "run", "--rm", "busybox", "sh", "-c", script)
    assert process.stdout is not None and process.stdout.readline() == b"ready\n"
    process.send_signal(signal.SIGTERM)
    assert process.communicate(timeout=20)[0] == b"got\n" and process.returncode == 9


def test_run_on_a_terminal(daemon: Daemon) -> None:
    terminal = Terminal(daemon.url, "run", "--rm", "-it", "busybox", "sh")
    terminal.until(b"# ")
    terminal.type(b"stty size\r")
    terminal.until(b"33 101\r\n")
    terminal.resize(44, 120)
    terminal.type(b"while ! stty size | grep '44 120'; do sleep 0.05; done\r")
    terminal.until(b"\n44 120\r\n")
    terminal.type(b"exit 5\r")
    assert terminal.end() == 5


def test_detach_attach_and_start_on_a_terminal(daemon: Daemon) -> None:
    terminal = Terminal(daemon.url, "run", "-it", "--name", "box", "busybox", "sh")
    terminal.until(b"# ")
    terminal.type(b"\x10\x11")
    assert terminal.end() == 0
    terminal = Terminal(daemon.url, "attach", "--detach-keys", "ctrl-x,x", "box")
    terminal.type(b"echo $((6*7))\r")
    terminal.until(b"42\r\n")
    terminal.type(b"\x18x")
    assert terminal.end() == 1 and b"read escape sequence" in terminal.output
    terminal = Terminal(daemon.url, "exec", "-it", "box", "sh", "-c", "tty; exit 3")
    terminal.until(b"/dev/pts/")
    assert terminal.end() == 3
    daemon.boxship("kill", "box")
    terminal = Terminal(daemon.url, "start", "-ai", "box")
    terminal.until(b"# ")
    terminal.type(b"exit 4\r")
    assert terminal.end() == 4


def test_a_terminal_needs_a_terminal(daemon: Daemon) -> None:
    done = daemon.boxship("run", "--rm", "-it", "busybox", check=False)
    assert done.returncode == 1 and done.stderr == "boxship: the input device is not a TTY\n"
    assert daemon.boxship("ps", "-aq").stdout == ""


def test_exec(daemon: Daemon) -> None:
    daemon.boxship("run", "-d", "--name", "box", "busybox", "sleep", "60")
    done = daemon.boxship(
        "exec", "-e", "A=1", "-w", "/tmp", "-u", "web", "box", "sh", "-c", "echo $A $PWD; id -un; exit 6", check=False
    )
    assert (done.returncode, done.stdout) == (6, "1 /tmp\nweb\n")
    assert daemon.boxship("exec", "-i", "box", "cat", data=b"typed").stdout == "typed"
    assert daemon.boxship("exec", "-d", "box", "touch", "/done").stdout == ""
    until(lambda: daemon.boxship("exec", "box", "test", "-e", "/done", check=False).returncode == 0, 10, "/done")
    assert daemon.boxship("exec", "box", "no-such-program", check=False).returncode == 127
    assert "No such container: nope" in daemon.boxship("exec", "nope", "true", check=False).stderr


def test_logs(daemon: Daemon) -> None:
    daemon.boxship("run", "--name", "box", "busybox", "sh", "-c", "echo one; echo two >&2; sleep 0.1; echo three")
    done = daemon.boxship("logs", "box")
    assert (done.stdout, done.stderr) == ("one\nthree\n", "two\n")
    assert daemon.boxship("logs", "-n", "1", "box").stdout == "three\n"
    stamp = daemon.boxship("logs", "-t", "-n", "1", "box").stdout.split()[0]
    assert daemon.boxship("logs", "--since", stamp, "box").stdout == "three\n"
    assert daemon.boxship("logs", "--until", "1h", "box").stdout == ""
    daemon.boxship("run", "-d", "--name", "live", "busybox", "sh", "-c", "echo a; sleep 0.5; echo b")
    assert daemon.boxship("logs", "-f", "live").stdout == "a\nb\n"


def test_copies_there_and_back(daemon: Daemon, tmp_path: Path) -> None:
    (tmp_path / "d" / "sub").mkdir(parents=True)
    (tmp_path / "d" / "sub" / "f").write_text("content")
    (tmp_path / "d" / "link").symlink_to("sub/f")
    daemon.boxship("create", "--name", "box", "busybox")
    daemon.boxship("cp", str(tmp_path / "d"), "box:/tmp")
    daemon.boxship("cp", f"{tmp_path}/d/.", "box:/other")
    daemon.boxship("cp", "box:/tmp/d", str(tmp_path / "back"))
    daemon.boxship("cp", "box:other/sub/f", str(tmp_path / "g"))
    assert (tmp_path / "back" / "sub" / "f").read_text() == (tmp_path / "g").read_text() == "content"
    assert os.readlink(tmp_path / "back" / "link") == "sub/f"
    stream = subprocess.run(
        [PROGRAM, "-H", daemon.url, "cp", "box:/tmp/d", "-"], capture_output=True, check=True
    ).stdout
    daemon.boxship("cp", "-", "box:/root", data=stream)
    daemon.boxship("cp", "-L", "box:/root/d/link", str(tmp_path / "followed"))
    assert (tmp_path / "followed").read_text() == "content"
    for words in (
        ("box:/nope", "."),
        ("nope:/tmp", "."),
        (str(tmp_path / "nope"), "box:/"),
        (str(tmp_path / "g"), "box:/no/x"),
    ):
        done = daemon.boxship("cp", *words, check=False)
        assert done.returncode == 1 and done.stderr.startswith("boxship: "), words
    assert daemon.boxship("diff", "box").stdout.count("A /other\n") == 1


def test_images_go_out_and_in(daemon: Daemon, tmp_path: Path) -> None:
    daemon.boxship("run", "--name", "box", "busybox", "touch", "/made")
    identifier = daemon.boxship("commit", "-m", "why", "-c", "ENV A=b", "box", "host:5000/made:1").stdout.strip()
    assert identifier.startswith("sha256:")
    assert "host:5000/made" in daemon.boxship("images").stdout
    assert daemon.boxship("history", "-q", "--no-trunc", "host:5000/made:1").stdout.startswith(identifier)
    daemon.boxship("save", "-o", str(tmp_path / "tar"), "host:5000/made:1")
    daemon.boxship("tag", "host:5000/made:1", "other")
    removed = daemon.boxship("rmi", "host:5000/made:1", "other").stdout
    assert "Untagged: other:latest\n" in removed and f"Deleted: {identifier}\n" in removed
    assert "host:5000/made:1" in daemon.boxship("load", "-i", str(tmp_path / "tar")).stdout
    assert daemon.boxship("run", "--rm", "host:5000/made:1", "sh", "-c", "ls /made; echo $A").stdout == "/made\nb\n"
    daemon.boxship("export", "-o", str(tmp_path / "export"), "box")
    assert daemon.boxship("import", str(tmp_path / "export"), "flat:1").stdout.startswith("sha256:")
    daemon.boxship("rmi", "host:5000/made:1", "flat:1")
    assert "No such image" in daemon.boxship("rmi", "flat:1", check=False).stderr


def test_networks_and_volumes(daemon: Daemon) -> None:
    daemon.boxship("network", "create", "--subnet", "10.99.0.0/24", "--gateway", "10.99.0.1", "--label", "a=b", "net")
    daemon.boxship(
        "run", "-d", "--name", "one", "--network", "net", "--network-alias", "first", "busybox", "sleep", "60"
    )
    assert daemon.boxship("run", "--rm", "--network", "net", "busybox", "ping", "-c1", "-W5", "first").returncode == 0
    daemon.boxship("run", "-d", "--name", "two", "busybox", "sleep", "60")
    daemon.boxship("network", "connect", "--ip", "10.99.0.77", "--alias", "second", "net", "two")
    assert "10.99.0.77" in daemon.boxship("exec", "one", "nslookup", "second").stdout
    daemon.boxship("network", "disconnect", "net", "two")
    assert "has active endpoints" in daemon.boxship("network", "rm", "net", check=False).stderr
    assert daemon.boxship("volume", "create", "--label", "x=y", "vol").stdout == "vol\n"
    daemon.boxship("run", "--rm", "-v", "vol:/data", "busybox", "sh", "-c", "echo kept > /data/f")
    assert daemon.boxship("run", "--rm", "--mount", "src=vol,dst=/d,ro", "busybox", "cat", "/d/f").stdout == "kept\n"
    assert daemon.boxship("volume", "ls", "-q", "-f", "label=x=y").stdout == "vol\n"
    daemon.boxship("rm", "-f", "one", "two")
    assert "net\n" in daemon.boxship("network", "prune", "-f").stdout
    assert "vol\n" in daemon.boxship("volume", "prune", "-f", "-a").stdout


def test_life_of_a_container(daemon: Daemon) -> None:
    daemon.boxship("create", "--name", "box", "--restart", "on-failure:2", "-m", "64m", "busybox", "sleep", "60")
    assert "It has never been started." in daemon.boxship("why", "box").stdout
    assert daemon.boxship("start", "box").stdout == "box\n"
    assert daemon.boxship("pause", "box").stdout == "box\n" and "(Paused)" in daemon.boxship("ps").stdout
    daemon.boxship("unpause", "box")
    daemon.boxship("rename", "box", "cage")
    assert daemon.boxship("update", "-m", "32m", "--memory-swap", "-1", "cage").stdout == "cage\n"
    assert "sleep 60" in daemon.boxship("top", "cage").stdout
    row = json.loads(daemon.boxship("stats", "--no-stream", "--format", "json", "cage").stdout)
    assert row["Name"] == "cage" and row["MemUsage"].endswith("/ 32MiB")
    daemon.boxship("restart", "-t", "0", "cage")
    why = daemon.boxship("why", "cage").stdout
    assert "It has been running for" in why and "at most 2 times" in why and "at most 32MiB of memory" in why
    assert "still running" not in daemon.boxship("rm", "-f", "cage").stdout
    events = daemon.boxship(
        "events", "--since", "1m", "--until", "0s", "-f", "container=cage", "--format", "{{.Action}}"
    ).stdout
    assert {"start", "destroy"} <= set(events.split())


def test_stats_are_live_on_a_terminal_and_lines_elsewhere(daemon: Daemon) -> None:
    daemon.boxship("run", "-d", "--name", "box", "busybox", "sleep", "60")
    terminal = Terminal(daemon.url, "stats")
    for _ in range(2):
        terminal.until(b"\x1b[HCONTAINER ID")
        terminal.until(b"box")
    terminal.signal(signal.SIGINT)
    assert terminal.end() == 130
    process = program(daemon, "stats", "box")
    assert process.stdout is not None
    lines = [process.stdout.readline() for _ in range(3)]
    process.send_signal(signal.SIGINT)
    process.communicate(timeout=10)
    assert lines[0].startswith(b"CONTAINER ID") and all(b"box" in line and b"\x1b" not in line for line in lines[1:])
