"""`boxship compose` against a real daemon: one project, used as people use it."""

import json
import signal
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
from cli_compose import Compose

from daemons import Daemon, free_port, until

FILE = """\
name: faces
services:
  db:
    image: busybox
    command:
      - sh
      - -c
      - "trap 'echo bye; exit 0' TERM; echo ready > /tmp/ok; echo db says hi; while :; do sleep 0.1; done"
    healthcheck: {{test: ["CMD", "cat", "/tmp/ok"], interval: 200ms, start_interval: 100ms, start_period: 5s}}
    pre_stop: [{{command: ["sh", "-c", "echo stopping > /data/stopped"]}}]
    volumes: [data:/data]
  web:
    image: busybox
    init: true
    command: ["sh", "-c", "echo web says hi; exec httpd -f -p 80 -h /www"]
    post_start: [{{command: ["sh", "-c", "echo hooked > /www/hook"], user: root}}]
    depends_on: {{db: {{condition: service_healthy}}}}
    ports: ["127.0.0.1:{port}:80"]
    secrets: [{{source: word, mode: 0400}}]
    configs: [{{source: page, target: /www/page}}]
    volumes: [data:/data]
  idle:
    image: busybox
    profiles: [idle]
    command: ["sleep", "600"]
secrets: {{word: {{environment: FACES_WORD}}}}
configs: {{page: {{content: "a page"}}}}
volumes: {{data: {{}}}}
"""


@pytest.fixture(scope="module")
def port() -> int:
    return free_port()


@pytest.fixture(scope="module")
def up(daemon: Daemon, tmp_path_factory: pytest.TempPathFactory, port: int) -> Iterator[Compose]:
    compose = Compose(daemon, tmp_path_factory.mktemp("faces"), FILE.format(port=port))
    assert "DRY-RUN MODE - Container faces-web-1  Created" in (compose("up", "-d", "--dry-run") or compose.said)
    assert daemon.docker("ps", "-aq", "--filter", "label=com.docker.compose.project=faces").stdout == ""
    compose("up", "-d")
    lines = compose.said.splitlines()
    assert lines.index(" Container faces-db-1  Healthy") < lines.index(" Container faces-web-1  Starting")
    yield compose
    compose("down", "-v", "-t", "1")
    assert daemon.docker("ps", "-aq", "--filter", "label=com.docker.compose.project=faces").stdout == ""
    assert "faces" not in daemon.docker("volume", "ls", "-q").stdout + daemon.docker("network", "ls").stdout


def test_what_is_shown(up: Compose, port: int) -> None:
    rows = [json.loads(line) for line in up("ps", "--format", "json").splitlines()]
    assert [(row["Name"], row["State"], row["Health"]) for row in rows] == [
        ("faces-db-1", "running", "healthy"),
        ("faces-web-1", "running", ""),
    ]
    assert rows[1]["Publishers"] == [{"URL": "127.0.0.1", "TargetPort": 80, "PublishedPort": port, "Protocol": "tcp"}]
    table = up("ps").splitlines()
    assert table[0].split() == ["NAME", "IMAGE", "COMMAND", "SERVICE", "CREATED", "STATUS", "PORTS"] and len(table) == 3
    assert up("ps", "--services", "--status", "running") == "db\nweb\n" and len(up("ps", "-q", "web")) == 65
    assert up("port", "web", "80") == f"127.0.0.1:{port}\n"
    assert up("logs", "--no-color") == "db-1   | db says hi\nweb-1  | web says hi\n"
    assert up("logs", "--no-log-prefix", "--tail", "1", "web") == "web says hi\n"
    assert "httpd -f" in up("top", "web") and "SERVICE" in up("top", "web")
    assert json.loads(up("images", "--format", "json"))[0]["Repository"] == "busybox"
    assert {"Name": "faces", "Status": "running(2)", "ConfigFiles": str(up.file)} in json.loads(
        up("ls", "--format", "json")
    )
    assert up("volumes", "-q") == "faces_data\n"
    assert "faces-db-1" in up("stats", "--no-stream", "db")
    assert up("config", "--services") == "db\nweb\n" and up("config", "--volumes") == "data\n"
    assert json.loads(up("config", "--format", "json"))["name"] == "faces"
    assert "no such service: wbe" in (up("ps", "wbe", code=1) or up.said)


def test_inside_and_beside(up: Compose, tmp_path: Path, port: int) -> None:
    assert up("exec", "web", "cat", "/run/secrets/word") == "secret"
    assert up("exec", "-T", "web", "sh", "-c", "cat /www/hook; stat -c %a /run/secrets/word") == "hooked\n400\n"
    up("exec", "web", "sh", "-c", "exit 3", code=3)
    assert (
        up("exec", "-e", "A=b", "-w", "/tmp", "db", "sh", "-c", "echo $A; pwd; cat", data="typed") == "b\n/tmp\ntyped"
    )
    done = subprocess.run(["curl", "-s", f"http://127.0.0.1:{port}/page"], capture_output=True, text=True, check=True)
    assert done.stdout == "a page"
    (tmp_path / "there").write_text("copied")
    up("cp", str(tmp_path / "there"), "web:/tmp/there")
    up("cp", "web:/tmp/there", str(tmp_path / "back"))
    assert (tmp_path / "back").read_text() == "copied"
    assert (
        up("run", "--rm", "-T", "-e", "A=b", "web", "sh", "-c", "echo $A; nslookup db >/dev/null && exit 4", code=4)
        == "b\n"
    )
    assert up("run", "--rm", "--no-deps", "-v", "data:/x:ro", "idle", "ls", "/x") == ""
    assert "faces-web-run-" not in up("ps", "-a")
    up("events", "--since", "1m", "--until", "0s", "--json")


def test_what_differs_is_made_again_and_nothing_else(up: Compose) -> None:
    before = up("ps", "-q").split()
    up("up", "-d")
    assert " Container faces-web-1  Running" in up.said.splitlines()
    assert up("ps", "-q").split() == before
    text = up.file.read_text()
    up.file.write_text(text.replace("web says hi", "web says more"))
    up("up", "-d", "-t", "1")
    after = up("ps", "-q").split()
    assert after[0] == before[0] and after[1] != before[1] and up("exec", "db", "ls", "/data") == ""
    up("stop", "-t", "5", "db")
    assert up("exec", "web", "cat", "/data/stopped") == "stopping\n"
    assert "db-1  | bye" in up("logs", "--no-color", "db")
    assert up("ps", "-a", "--status", "exited", "--services") == "db\n"
    up("start", "db")
    up("pause", "web")
    assert up("ps", "--status", "paused", "--services") == "web\n"
    up("unpause", "web")
    up("restart", "-t", "1", "web")
    up("kill", "-s", "KILL", "web")
    assert up("wait", "web", code=137).endswith("exited with status code 137\n")
    up("rm", "-f", "web")
    up("up", "-d", "--scale", "db=2")
    assert up("ps", "--services").split() == ["db", "web"] and len(up("ps", "-q", "db").split()) == 2
    up("scale", "db=1")


def test_without_a_file_there_is_what_is_there(up: Compose, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir("/")
    assert up("-p", "faces", "ps", "--services", file=False) == "db\nweb\n"
    up("ps", code=1, file=False)
    assert up.said == "boxship: no configuration file provided: not found\n"


def test_in_the_foreground(daemon: Daemon, tmp_path: Path) -> None:
    loop = "trap 'echo bye; exit 0' TERM; echo here; while :; do sleep 0.1; done"
    compose = Compose(
        daemon,
        tmp_path,
        json.dumps(
            {
                "name": "front",
                "services": {
                    "stays": {"image": "busybox", "command": ["sh", "-c", loop.replace("$", "$$")]},
                    "job": {
                        "image": "busybox",
                        "command": ["sh", "-c", "sleep 0.5; echo done; exit 5"],
                        "profiles": ["job"],
                    },
                },
            }
        ),
    )
    running = compose.start("up", "--no-color")
    assert running.stdout is not None
    lines = []
    while "stays-1  | here\n" not in lines:
        lines.append(running.stdout.readline())
        assert lines[-1], (lines, running.communicate())
    follower = compose.start("logs", "-f", "--no-log-prefix")
    assert follower.stdout is not None and follower.stdout.readline() == "here\n"
    running.send_signal(signal.SIGINT)
    rest, said = running.communicate(timeout=20)
    assert running.returncode == 130 and "stays-1  | bye" in rest, said
    assert "stays-1 exited with code 0" in rest
    assert follower.communicate(timeout=20)[0] == "bye\n" and follower.returncode == 0
    assert compose("ps", "-a", "--status", "exited", "--services") == "stays\n"
    out = compose("--profile", "job", "up", "--exit-code-from", "job", "--attach", "job", code=5)
    assert "job-1  | done" in out and "job-1 exited with code 5" in out and "| here" not in out
    killed = compose.start("up")
    until(lambda: compose("ps", "--status", "running", "--services") == "stays\n", 20, "it runs")
    killed.kill()
    killed.communicate()
    assert compose("ps", "--services") == "stays\n"  # a client that vanishes leaves the project as it was asked for
    compose("--profile", "job", "down", "-t", "1")


def test_refusals(daemon: Daemon, tmp_path: Path) -> None:
    compose = Compose(daemon, tmp_path, "name: no\nservices: {a: {image: busybox}}\n")
    for words, reason in (
        (("--compatibility", "ps"), "unsupported: --compatibility"),
        (("up", "--menu"), "unsupported: --menu"),
        (("up", "-d", "--abort-on-container-exit"), "--detach and --abort-on-container-exit are incompatible"),
        (("up", "--force-recreate", "--no-recreate"), "incompatible"),
        (("build", "--builder", "x"), "unsupported: --builder"),
        (("config", "--models"), "unsupported: --models"),
        (("up", "-d", "--scale", "a=x"), "it must be SERVICE=NUMBER"),
        (("run", "-P", "-p", "80:80", "a"), "--service-ports and --publish are incompatible"),
        (("wait", "a"), 'no containers for project "no"'),
    ):
        compose(*words, code=1)
        assert reason in compose.said
    compose("up", "--nonsense", code=125)
    assert "unknown flag: --nonsense" in compose.said
    compose.file.write_text("name: no\nservices:\n  a:\n    imgae: x\n")
    compose("up", "-d", code=1)
    assert f"{compose.file}:4:5" in compose.said and "image" in compose.said
