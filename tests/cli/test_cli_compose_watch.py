"""`boxship compose` with builds, watched files, a terminal, and two clients at once, against a real daemon."""

import re
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest
from cli_compose import Compose
from cli_terminal import Terminal

from daemons import Daemon, until

FILE = """\
name: seen
services:
  app:
    build:
      context: .
      args: {WORD: one}
      additional_contexts: {other: "service:base"}
      secrets: [key]
    init: true
    command: ["sh", "-c", "cat /proc/sys/kernel/random/uuid > /tmp/started; exec sleep 600"]
    develop:
      watch:
        - {path: ./src, action: sync, target: /app, ignore: ["*.log"]}
        - {path: ./conf, action: sync+restart, target: /conf}
        - {path: ./run, action: sync+exec, target: /run/in, exec: {command: ["sh", "-c", "cat /run/in/x >> /tmp/ran"]}}
        - {path: ./Dockerfile, action: rebuild}
  base:
    build: {dockerfile_inline: "FROM busybox\\nRUN echo base > /base\\n"}
    init: true
    command: [sleep, "600"]
secrets: {key: {file: ./key}}
"""
DOCKERFILE = """\
FROM busybox
ARG WORD
COPY --from=other /base /from-base
COPY src /app
RUN --mount=type=secret,id=key echo "$WORD $(cat /run/secrets/key)" > /made
"""


@pytest.fixture
def seen(daemon: Daemon, tmp_path: Path) -> Iterator[Compose]:
    for folder in ("src", "conf", "run"):
        (tmp_path / folder).mkdir()
    (tmp_path / "src" / "a").write_text("one")
    (tmp_path / "key").write_text("secret")
    (tmp_path / "Dockerfile").write_text(DOCKERFILE)
    watched = Compose(daemon, tmp_path, FILE)
    yield watched
    watched("down", "--rmi", "local", "-v", "-t", "1")
    assert "seen" not in daemon.docker("images").stdout


def inside(compose: Compose, command: str) -> str:
    return compose("exec", "-T", "app", "sh", "-c", command, code=None)


def test_files_that_are_watched(seen: Compose, tmp_path: Path) -> None:
    log = tmp_path / "log"
    running = seen.start("watch", log=log)
    until(lambda: "Watch enabled" in log.read_text(), 60, "it watches")
    assert inside(seen, "cat /made /from-base /app/a") == "one secret\nbase\none"
    (tmp_path / "src" / "a").write_text("two")
    (tmp_path / "src" / "deep").mkdir()
    (tmp_path / "src" / "deep" / "b").write_text("b")
    (tmp_path / "src" / "x.log").write_text("no")
    until(lambda: inside(seen, "cat /app/a /app/deep/b; ls /app") == "twoba\ndeep\n", 20, "files are there")
    (tmp_path / "src" / "deep" / "b").unlink()
    (tmp_path / "run" / "x").write_text("ran")
    until(lambda: inside(seen, "ls /app/deep; cat /tmp/ran") == "ran", 20, "one is gone, one was used")
    before = inside(seen, "cat /tmp/started")
    (tmp_path / "conf" / "c").write_text("c")
    until(lambda: inside(seen, "cat /tmp/started /conf/c") not in ("", f"{before}c"), 20, "it was restarted")
    seen("restart", "-t", "0", "app")  # by somebody else: what comes later still arrives
    (tmp_path / "src" / "a").write_text("three")
    until(lambda: inside(seen, "cat /app/a") == "three", 20, "files come after a restart")
    (tmp_path / "Dockerfile").write_text(DOCKERFILE + "RUN echo again > /again\n")
    until(lambda: inside(seen, "cat /again /conf/c") == "again\nc", 30, "built anew, and filled")
    running.send_signal(signal.SIGINT)
    assert running.wait(20) == 130
    assert seen("ps", "--services") == "app\nbase\n"
    seen("build", "--no-cache", "--build-arg", "WORD=two", "app")
    assert " app  #" in seen.said and " Image seen-app  Built" in seen.said
    assert "app (up)" in seen("graph")
    seen("graph", "-o", str(tmp_path / "g.svg"))
    assert (tmp_path / "g.svg").read_text().startswith("<")
    (tmp_path / "Dockerfile").write_text("FROM busybox\nRUN echo words; exit 7\n")
    seen("build", "app", code=1)
    assert "words" in seen.said and re.search("code:? 7", seen.said)


def test_on_a_terminal_and_two_at_once(daemon: Daemon, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    text = """\
name: two
services:
  a:
    image: busybox
    init: true
    command: [sleep, "600"]
    healthcheck: {test: [CMD, test, -e, /tmp/go], interval: 200ms, retries: 500}
  b:
    image: busybox
    init: true
    command: [sh, -c, "echo here; exec sleep 600"]
    depends_on: {a: {condition: service_healthy}}
"""
    second = Compose(daemon, tmp_path, text)
    monkeypatch.chdir(tmp_path)
    first = Terminal(daemon.url, "compose", "up", rows=20, columns=70)
    first.until(b"waiting for two-a-1 (healthy)")
    first.resize(10, 40)
    second.environment["COMPOSE_LOCK"] = "refuse"
    second("up", "-d", code=1)
    assert "cannot change project two: two is locked by boxship compose up" in second.said
    del second.environment["COMPOSE_LOCK"]
    waiting = second.start("up", "-d", log=tmp_path / "log")
    until(lambda: b"waiting: boxship compose up" in (tmp_path / "log").read_bytes(), 20, "the other waits")
    second("exec", "-T", "a", "touch", "/tmp/go")
    first.until(b"b-1  | \x1b[0mhere")
    assert waiting.wait(20) == 0
    assert second("why", "b").startswith("b is up")
    first.signal(signal.SIGINT)
    first.until(b"Gracefully Stopping")
    assert first.end() == 130
    assert second("ps", "-a", "--status", "exited", "--services") == "a\nb\n"
    second("down")
