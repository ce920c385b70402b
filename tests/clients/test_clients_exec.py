"""`docker exec` through the stock client: streams, terminals, users, exit codes, detached runs."""

import os

import pytest
from clients_box import SECONDS, Box

from daemons import until


def execute(box: Box, *arguments: str, data: bytes | None = None) -> tuple[int, str, str]:
    done = box.daemon.docker("exec", *arguments, check=False, data=data)
    return done.returncode, done.stdout, done.stderr


def test_streams_and_exit_codes(box: Box) -> None:
    name = box.up()
    assert execute(box, name, "sh", "-c", "echo out; echo err >&2; exit 7") == (7, "out\n", "err\n")
    assert execute(box, name, "true") == (0, "", "")
    assert execute(box, name, "sh", "-c", "kill -9 $$")[0] == 137
    code, message, _ = execute(box, name, "no-such-program")  # as Docker: on the stream of its output
    assert code == 127
    assert "OCI runtime exec failed" in message
    assert "no-such-program" in message
    code, message, _ = execute(box, name, "/etc/passwd")
    assert code == 126
    assert "ermission denied" in message


def test_stdin_and_half_close(box: Box) -> None:
    name = box.up()
    data = os.urandom(300_000)
    code, out, _ = execute(box, "-i", name, "sh", "-c", "wc -c; echo after", data=data)
    assert (code, out) == (0, "300000\nafter\n")
    assert execute(box, name, "cat", data=b"not passed on") == (0, "", "")


def test_a_terminal_of_its_own(box: Box) -> None:
    name = box.up()
    with box.terminal("exec", "-it", name, "sh", rows=31, columns=99) as terminal:
        terminal.expect("# ")
        terminal.type("stty size; tty; echo $TERM\n")
        terminal.expect(r"31 99\r\n/dev/pts/\d+\r\nxterm\r\n")
        terminal.resize(22, 44)
        terminal.tell_resized()
        terminal.type("while [ \"$(stty size)\" != '22 44' ]; do :; done; echo resi''zed; exit 5\n")
        terminal.expect("resized\r\n")
        assert terminal.code() == 5
    assert box.state(name) == "running"


def test_environment_folder_and_user(box: Box) -> None:
    name = box.up("-e", "OF_CONTAINER=1", "-w", "/tmp", "--group-add", "staff")
    (box.folder / "env").write_text("FROM_FILE=3\n")
    flags = ["-e", "MINE=2", "--env-file", str(box.folder / "env")]
    lines = execute(box, *flags, name, "env")[1].split()
    assert {"OF_CONTAINER=1", "MINE=2", "FROM_FILE=3", "HOME=/root", "PATH=/bin"} <= set(lines)
    assert execute(box, name, "pwd")[1] == "/tmp\n"
    assert execute(box, "-w", "/www", name, "pwd")[1] == "/www\n"
    assert execute(box, "-u", "web", name, "sh", "-c", "id -un; id -gn; echo $HOME")[1].split() == [
        "web",
        "web",
        "/tmp",
    ]
    assert execute(box, "-u", "4321:50", name, "sh", "-c", "id -u; id -g")[1].split() == ["4321", "50"]
    assert execute(box, "-u", "no-such-user", name, "true")[0] != 0


def test_rights_are_the_containers(box: Box) -> None:
    name = box.up(
        "--cap-drop", "ALL", "--cap-add", "CHOWN", "--security-opt", "no-new-privileges", "--pids-limit", "30"
    )
    script = "grep -E '^(CapBnd|CapEff|NoNewPrivs|Seccomp):' /proc/self/status | awk '{print $2}'"
    assert execute(box, name, "sh", "-c", script)[1].split() == ["0" * 15 + "1"] * 2 + ["1", "2"]
    own = execute(box, name, "cat", "/proc/self/cgroup")[1]
    assert own == execute(box, name, "cat", "/proc/1/cgroup")[1]
    limited = box.up("--ulimit", "nofile=90:95")
    assert execute(box, limited, "sh", "-c", "ulimit -n; ulimit -Hn")[1].split() == ["90", "95"]
    plain = box.up()
    assert int(execute(box, "--privileged", plain, "sh", "-c", script)[1].split()[1], 16) > 0xA80425FB


def test_detached(box: Box) -> None:
    name = box.up()
    assert execute(box, "-d", name, "sh", "-c", "echo done >/tmp/x; exec sleep 1000") == (0, "", "")
    until(lambda: box.inside(name, "cat /tmp/x 2>/dev/null || true") == "done", SECONDS, "it ran")
    assert len(box.inspect(name)["ExecIDs"]) == 1
    code, _, message = execute(box, "-d", name, "no-such-program")
    assert code != 0
    assert "no-such-program" in message


def test_detach_keys_leave_it_running(box: Box) -> None:
    name = box.up()
    with box.terminal(
        "exec", "-it", "--detach-keys", "ctrl-x", name, "sh", "-c", "echo up; exec sleep 777"
    ) as terminal:
        terminal.expect("up")
        terminal.type("\x18")
        terminal.expect("read escape sequence")
    assert "sleep 777" in box.docker("top", name)


@pytest.mark.parametrize("state", ["created", "paused", "exited"])
def test_what_does_not_run_is_refused(box: Box, state: str) -> None:
    name = box.made(do="exec true") if state != "paused" else box.up()
    if state == "paused":
        box.docker("pause", name)
    if state == "exited":
        box.docker("start", "-a", name)
    message = box.fails("exec", name, "true")
    assert "is paused" in message if state == "paused" else "is not running" in message
    assert "No such container" in box.fails("exec", "nobody", "true")


def test_execs_end_with_their_container(box: Box) -> None:
    name = box.up()
    with box.client("exec", name, "sleep", "1000") as process:
        until(lambda: "sleep 1000" in box.docker("top", name).replace("sleep 1000", "", 1), SECONDS, "it runs")
        box.docker("kill", name)
        assert process.wait(SECONDS) == 137


def test_many_at_a_time(box: Box) -> None:
    name = box.up()
    with (
        box.client("exec", name, "sh", "-c", "seq 1 100000") as first,
        box.client("exec", name, "seq", "1", "100000") as second,
    ):
        outputs = [process.communicate(timeout=SECONDS)[0] for process in (first, second)]
    assert outputs[0] == outputs[1] == "".join(f"{number}\n" for number in range(1, 100001)).encode()
