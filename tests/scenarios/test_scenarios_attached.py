"""Attached and following: `up` on a terminal, its ends, `logs -f`, `events`, and clients that vanish."""

import datetime
import json
import signal

from compose_kit import CURRENT, EVERY, SECONDS, Project, end_all
from daemons import until

TALKERS = """
    x-quick: &quick {image: busybox, stop_signal: SIGKILL}
    services:
      one: {<<: *quick, command: sh -c "echo first word; exec sleep 1000"}
      two: {<<: *quick, command: sh -c "echo second word; exec sleep 1000"}
"""


@EVERY
def test_up_on_a_terminal_until_ctrl_c(project: Project) -> None:
    project.file(TALKERS)
    with project.terminal("up", "--no-color") as terminal:
        seen = terminal.expect(r"(?s)(first|second) word.*(first|second) word").group()
        assert "first word" in seen and "second word" in seen
        project.becomes("one", "running")
        project.becomes("two", "running")
        terminal.type("\x03")
        said = terminal.rest(40)
        # After its work, 2.26.1 itself falls over now and then: two of its parts close one channel.
        assert terminal.code() in (0, 130) or "panic: close of closed channel" in said, said
    assert project.states() == {"one1": "exited", "two1": "exited"}
    with project.started("up") as up:
        up.says("first word")
        up.process.send_signal(signal.SIGTERM)
        up.code(40)
    until(lambda: set(project.states().values()) == {"exited"}, SECONDS, "both are stopped")


@EVERY
def test_the_first_that_ends_ends_all(project: Project) -> None:
    project.file("""
        x-quick: &quick {image: busybox, stop_signal: SIGKILL}
        services:
          ends: {<<: *quick, command: sh -c "sleep 0.3; echo the end; exit 5"}
          fine: {<<: *quick, command: sleep 0.3}
          stays: {<<: *quick, command: sleep 1000}
    """)
    done = project.compose("up", "--abort-on-container-exit", "ends", "stays", check=False)
    assert "the end" in done.stdout
    assert project.states() == {"ends1": "exited", "stays1": "exited"}
    done = project.compose("up", "--exit-code-from", "ends", "ends", "stays", check=False)
    assert done.returncode == 5
    assert project.states() == {"ends1": "exited", "stays1": "exited"}
    done = project.compose("up", "--exit-code-from", "fine", "fine", "stays", check=False)
    assert done.returncode == 0, done


@CURRENT
def test_whom_up_listens_to(project: Project) -> None:
    project.file("""
        x-quick: &quick {image: busybox, stop_signal: SIGKILL}
        services:
          one: {<<: *quick, command: echo first word, depends_on: [two]}
          two: {<<: *quick, command: echo second word}
          mute: {<<: *quick, command: echo third word, attach: false}
    """)
    done = project.compose("up", "--no-log-prefix", "--no-color", "one")
    assert "first word" in done.stdout.splitlines() and "second word" not in done.stdout
    project.compose("down")
    done = project.compose("up", "--attach-dependencies", "one")
    assert "first word" in done.stdout and "second word" in done.stdout
    done = project.compose("up", "--no-attach", "one", "--timestamps")
    assert "second word" in done.stdout and "first word" not in done.stdout and "third word" not in done.stdout
    assert str(datetime.datetime.now(datetime.UTC).year) in done.stdout
    done = project.compose("up", "--attach", "two")
    assert "second word" in done.stdout and "first word" not in done.stdout


@EVERY
def test_following_logs(project: Project) -> None:
    project.file("""
        services:
          late:
            image: busybox
            command:
              - sh
              - -c
              - echo began; until [ -e /go ]; do sleep 0.05; done; echo went; until [ -e /end ]; do sleep 0.05; done
          calm: {image: busybox, command: sleep 1000, stop_signal: SIGKILL}
          other: {image: busybox, command: sh -c "echo other; exec sleep 1000", stop_signal: SIGKILL}
    """)
    project.compose("up", "-d")
    with project.started("logs", "-f", "--no-color", "late") as following:
        following.says("began")
        project.inside("late", "touch /go")
        following.says("went")
        project.inside("late", "touch /end")
        following.code()
        assert "other" not in following.output()
    with project.started("logs", "-f", "--no-color", "--tail", "1", "other", "calm") as following:
        following.says("| other")
        if project.program.name != "v1":
            project.compose("restart", "-t", "0", "other")
            following.says("| other", times=2)
        following.process.send_signal(signal.SIGINT)
        following.code()


@CURRENT
def test_parts_of_logs(project: Project) -> None:
    project.file("""
        services:
          many: {image: busybox, command: sh -c "while hostname; do sleep 0.3; done", stop_signal: SIGKILL, scale: 2}
    """)
    project.compose("up", "-d")
    hosts = [entry["Config"]["Hostname"] for entry in project.containers("many")]
    until(lambda: all(host in project.prints("logs", "many") for host in hosts), SECONDS, "both say their names")
    assert project.prints("logs", "--index", "2", "--no-log-prefix", "--tail", "1", "many").split() == [hosts[1]]
    span = ("--since", "1h", "--until", "2099-01-01T00:00:00Z")
    assert {*project.prints("logs", *span, "--no-log-prefix", "many").split()} >= {*hosts}
    assert project.prints("logs", "--since", "2099-01-01T00:00:00Z") == ""
    with project.started("up") as up:
        up.says(hosts[0])
        end_all(up.process)  # whoever looked on goes; the project stays
    assert project.states() == {"many1": "running", "many2": "running"}


@EVERY
def test_events(project: Project) -> None:
    project.file("services: {one: {image: busybox, command: sleep 1000, stop_signal: SIGKILL}}")
    project.compose("up", "-d")
    with project.started("events", "--json") as events:
        project.compose("pause")  # until it listens, which nothing says
        until(lambda: _wakes(project, events.output), SECONDS, "it listens")
        project.compose("stop", "-t", "0")
        project.compose("start")
        events.says('"start"')
    lines = [json.loads(line) for line in events.output().splitlines() if line.startswith("{")]
    actions = [line["action"] for line in lines if line["service"] == "one"]
    assert [action for action in actions if action in ("die", "start")][-2:] == ["die", "start"]
    assert all(line["id"] == project.id("one") and line["type"] == "container" for line in lines)
    assert lines[-1]["attributes"]["name"] == project.name_of("one") and "image" in lines[-1]["attributes"]


def _wakes(project: Project, output: "object") -> bool:
    container = project.client.containers.get(project.id("one"))
    container.unpause()
    container.pause()
    assert callable(output)
    if '"pause"' in output():
        container.unpause()
        return True
    return False
