"""`docker run`: the process, its terminal and stdin, its environment, user and exit code."""

import os
import signal
import subprocess
import time
from pathlib import Path

import pytest
from clients_box import SECONDS, Box

from daemons import docker_program, until


def test_foreground_output_and_exit_code(box: Box) -> None:
    assert box.ends(do="echo out; echo err >&2; exit 7") == (7, "out\n", "err\n")


def test_detached_prints_the_id_and_goes_on(box: Box) -> None:
    name = box.name()
    identifier = box.docker("run", "-d", "--name", name, "busybox", "sleep", "1000").strip()
    assert len(identifier) == 64
    assert box.shows(name, "{{.Id}} {{.State.Running}}") == f"{identifier} true"
    assert Path(f"/proc/{box.shows(name, '{{.State.Pid}}')}/cmdline").read_bytes() == b"sleep\x001000\x00"


def test_rm_removes_the_container_and_its_anonymous_volumes(box: Box) -> None:
    name = box.name()
    code, out, _ = box.ends("--name", name, "-v", "/anonymous", do="mount | grep /anonymous | wc -l; exit 4")
    assert (code, out) == (4, "1\n")
    assert f"No such container: {name}" in box.fails("container", "inspect", name)
    name = box.up("--rm", "-v", "/anonymous")
    volume = box.shows(name, "{{(index .Mounts 0).Name}}")
    box.docker("kill", name)
    until(lambda: name not in box.docker("ps", "-a", "--format", "{{.Names}}"), SECONDS, "the container is removed")
    until(lambda: volume not in box.docker("volume", "ls", "-q"), SECONDS, "the volume is removed")


@pytest.mark.parametrize(
    ("command", "code", "text"),
    [
        (["no-such-program"], 127, "no-such-program"),
        (["/etc/passwd"], 126, "/etc/passwd"),
        (["/bin"], 126, "/bin"),
        (["sh", "-c", "sh -c 'kill -9 $$'; exit $?"], 137, ""),
        (["sh", "-c", "exit 255"], 255, ""),
    ],
)
def test_exit_codes(box: Box, command: list[str], code: int, text: str) -> None:
    done = box.daemon.docker("run", "--rm", "busybox", *command, check=False)
    assert done.returncode == code, done.stderr
    assert text in done.stderr


def test_exit_code_125_is_the_daemons_own(box: Box) -> None:
    done = box.daemon.docker("run", "--rm", "--memory", "1k", "busybox", "true", check=False)
    assert done.returncode == 125
    assert "Minimum memory limit allowed is 6MB" in done.stderr


def test_names_are_unique_and_checked(box: Box) -> None:
    name = box.made()
    message = box.fails("create", "--name", name, "busybox")
    assert f'The container name "/{name}" is already in use by container' in message
    assert "You have to remove (or rename) that container" in message
    for bad in ("a", "../x", "a b", "-a", "a/b", "ü" * 3):
        assert "Invalid container name" in box.fails("create", f"--name={bad}", "busybox"), bad


def test_init_reaps_and_forwards_signals(box: Box) -> None:
    name = box.up("--init", do="sh -c 'sleep 999 &' ; exec sleep 1000")
    assert "-- sh -c" in box.inside(name, "tr '\\0' ' ' </proc/1/cmdline")
    assert box.inside(name, "pidof sleep | wc -w") == "2"
    box.inside(name, "for p in $(pidof sleep); do ! grep -q 999 /proc/$p/cmdline || kill $p; done")
    until(lambda: box.inside(name, "pidof sleep | wc -w") == "1", SECONDS, "the orphan ends")
    assert box.inside(name, "cat /proc/[0-9]*/status | grep -c '^State:.*Z' || true") == "0"
    start = time.monotonic()
    box.docker("stop", name)
    assert time.monotonic() - start < 5
    assert box.shows(name, "{{.State.ExitCode}}") == "143"


def test_without_init_the_command_is_process_one(box: Box) -> None:
    assert box.docker("run", "--rm", "busybox", "sh", "-c", "echo $$").strip() == "1"


def test_entrypoint_and_command(box: Box) -> None:
    assert box.docker("run", "--rm", "--entrypoint", "echo", "busybox", "a", "b c") == "a b c\n"
    assert box.docker("run", "--rm", "--entrypoint", "/bin/pwd", "busybox") == "/\n"  # drops the image's CMD
    name = box.name()
    box.docker("create", "--name", name, "--entrypoint", "echo", "busybox", "x")
    assert box.shows(name, "{{json .Config.Entrypoint}} {{json .Config.Cmd}} {{.Path}} {{json .Args}}") == (
        '["echo"] ["x"] echo ["x"]'
    )


def test_environment_from_flags_files_and_the_image(box: Box) -> None:
    (box.folder / "env").write_text("# comment\nFILE=from file=x\n\nFROM_HOST\nBOTH=file\n")
    os.environ["FROM_HOST"] = "host value"
    try:
        flags = ["--env-file", str(box.folder / "env"), "-e", "BOTH=flag", "-e", "EMPTY=", "-e", "FROM_HOST"]
        lines = box.run(*flags, "-e", "UNSET_ON_HOST", "-h", "box", do="env").splitlines()
    finally:
        del os.environ["FROM_HOST"]
    for line in (
        "FILE=from file=x",
        "FROM_HOST=host value",
        "BOTH=flag",
        "EMPTY=",
        "PATH=/bin",
        "HOSTNAME=box",
        "HOME=/root",
    ):
        assert line in lines, line
    assert not any(line.startswith(("UNSET_ON_HOST", "TERM=")) for line in lines)


def test_working_directory_is_made(box: Box) -> None:
    assert box.run("-w", "/a/b/c", do="pwd; stat -c %u:%g:%a /a/b/c") == "/a/b/c\n0:0:755"
    assert "working directory" in box.fails("run", "--rm", "-w", "relative", "busybox", "true")


@pytest.mark.parametrize(
    ("flags", "identity"),
    [
        ((), "0 0 0 /root"),
        (("-u", "web"), "1000 1000 50,1000 /tmp"),
        (("-u", "web:staff"), "1000 50 50 /tmp"),
        (("-u", "1000"), "1000 1000 50,1000 /tmp"),
        (("-u", "4321"), "4321 0 0 /"),
        (("-u", "4321:8765"), "4321 8765 8765 /"),
        (("-u", "root:web"), "0 1000 1000 /root"),
        (("--group-add", "staff", "--group-add", "777"), "0 0 0,50,777 /root"),
        (("-u", "4321:5", "--group-add", "web"), "4321 5 5,1000 /"),
    ],
)
def test_user_and_groups(box: Box, flags: tuple[str, ...], identity: str) -> None:
    out = box.run(*flags, do="echo $(id -u) $(id -g); id -G | tr ' ' '\\n' | sort -nu; echo $HOME").split()
    uid, gid, *groups, home = out
    assert f"{uid} {gid} {','.join(groups)} {home}" == identity


def test_unknown_users_and_groups_are_refused(box: Box) -> None:
    assert "no-such-user" in box.fails("run", "--rm", "-u", "no-such-user", "busybox", "true")
    assert "no-such-group" in box.fails("run", "--rm", "--group-add", "no-such-group", "busybox", "true")


def test_hostname_and_domainname(box: Box) -> None:
    out = box.run(
        "-h", "web", "--domainname", "example.org", do="hostname; cat /proc/sys/kernel/domainname; cat /etc/hostname"
    )
    assert out.split() == ["web", "example.org", "web"]
    name = box.up()
    assert box.inside(name, "hostname") == box.shows(name, "{{.Id}}")[:12]
    assert box.inside(name, "grep -c $(hostname) /etc/hosts") == "1"


def test_stdin_reaches_the_process_and_its_end_too(box: Box) -> None:
    data = os.urandom(700_000)
    code, out, _ = box.ends("-i", do="md5sum; echo after the end", data=data)
    assert code == 0
    import hashlib

    assert out.split()[0] == hashlib.md5(data).hexdigest()
    assert out.endswith("after the end\n")


def test_without_i_stdin_is_empty(box: Box) -> None:
    assert box.run(do="cat; echo nothing", data=b"something\n") == "nothing"


def test_half_close_lets_output_go_on(box: Box) -> None:
    with box.client("run", "--rm", "-i", "busybox", "sh", "-c", "cat; echo closed; sleep 0.2; echo last") as process:
        assert process.stdin is not None
        assert process.stdout is not None
        process.stdin.write(b"first\n")
        process.stdin.flush()
        assert process.stdout.readline() == b"first\n"
        process.stdin.close()
        assert process.stdout.read() == b"closed\nlast\n"
        assert process.wait(SECONDS) == 0


def test_a_terminal_is_one_with_the_clients_size(box: Box) -> None:
    with box.terminal("run", "--rm", "-it", "busybox", "sh", rows=33, columns=111) as terminal:
        terminal.expect("# ")
        terminal.type("tty; stty size; echo TERM=$TERM\n")
        terminal.expect(r"/dev/pts/0\r\n33 111\r\nTERM=xterm\r\n")
        terminal.resize(20, 50)
        terminal.tell_resized()
        terminal.type("while [ \"$(stty size)\" != '20 50' ]; do :; done; echo resi''zed\n")
        terminal.expect("resized\r\n")
        terminal.type("echo re''ady; cat\n")
        terminal.expect("ready\r\n")
        terminal.type("there\n")
        terminal.expect("there\r\nthere\r\n")  # from the terminal, and from cat
        terminal.type("\x03")
        terminal.expect("# ")
        terminal.type("exit 9\n")
        assert terminal.code() == 9


def test_a_terminal_is_left_by_its_detach_keys(box: Box) -> None:
    name = box.name()
    with box.terminal("run", "-it", "--name", name, "--detach-keys", "ctrl-a,d", "busybox", "sh") as terminal:
        terminal.expect("# ")
        terminal.type("\x01d")
        terminal.code()
    assert box.state(name) == "running"
    with box.terminal("attach", name) as terminal:
        terminal.type("echo at''tached\n")
        terminal.expect("attached")
        terminal.type("\x10\x11")
        terminal.expect("read escape sequence")
    assert box.state(name) == "running"


def test_t_alone_makes_crlf(box: Box) -> None:
    assert box.docker("run", "--rm", "-t", "busybox", "sh", "-c", "echo a; [ -t 1 ] && echo tty") == "a\r\ntty\r\n"


def test_attach_chooses_the_streams(box: Box) -> None:
    done = box.daemon.docker("run", "--rm", "-a", "stderr", "busybox", "sh", "-c", "echo out; echo err >&2")
    assert (done.stdout, done.stderr) == ("", "err\n")


def test_signals_of_the_client_are_passed_on(box: Box) -> None:
    with box.client(
        "run", "--rm", "busybox", "sh", "-c", "trap 'echo got it; exit 5' TERM; echo up; while :; do sleep 0.05; done"
    ) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == b"up\n"
        process.send_signal(signal.SIGTERM)
        assert process.stdout.read() == b"got it\n"
        assert process.wait(SECONDS) == 5


def test_cidfile(box: Box) -> None:
    file, name = box.folder / "id", box.name()
    box.docker("run", "--name", name, "--cidfile", str(file), "busybox", "true")
    assert file.read_text() == box.shows(name, "{{.Id}}")
    done = box.daemon.docker("run", "--rm", "--cidfile", str(file), "busybox", "true", check=False)
    assert done.returncode in (125, 127)
    assert "container ID file found" in done.stderr


def test_pull_never_and_missing(box: Box) -> None:
    assert "No such image: nothing-here:latest" in box.fails("run", "--pull", "never", "nothing-here")
    assert "No such image: nothing-here:latest" in box.fails("create", "--pull", "never", "nothing-here")
    assert box.docker("run", "--rm", "--pull", "never", "busybox", "echo", "here") == "here\n"
    assert box.docker("run", "--rm", "--pull", "missing", "busybox", "echo", "here") == "here\n"
    done = box.daemon.docker("run", "--rm", "--pull", "always", "busybox", "true", check=False)
    assert done.returncode == 125


def test_platform(box: Box) -> None:
    machine = {"x86_64": "amd64", "aarch64": "arm64"}[os.uname().machine]
    assert box.run("--platform", f"linux/{machine}", do="echo right") == "right"
    assert "platform" in box.fails("create", "--pull", "never", "--platform", "linux/s390x", "busybox")


def test_stop_signal_and_timeout(box: Box) -> None:
    trap = "trap 'echo usr1; exit 3' USR1; trap : TERM; echo up; while :; do sleep 0.05; done"
    name = box.up("--stop-signal", "SIGUSR1", do=trap)
    box.says(name, "up")
    box.docker("stop", name)
    assert box.shows(name, "{{.State.ExitCode}}") == "3"
    assert "usr1" in box.log(name)
    assert "invalid signal: NONSENSE" in box.fails("create", "--stop-signal", "NONSENSE", "busybox")
    name = box.up("--stop-timeout", "1", do="trap : TERM; echo up; while :; do sleep 0.05; done")
    box.says(name, "up")
    start = time.monotonic()
    box.docker("stop", name)
    assert 0.9 < time.monotonic() - start < 4
    assert box.shows(name, "{{.State.ExitCode}}") == "137"


def test_labels_from_flags_and_files(box: Box) -> None:
    (box.folder / "labels").write_text("from.file=yes\nboth=file\n")
    name = box.made("--label-file", str(box.folder / "labels"), "-l", "both=flag", "--label", "bare")
    labels = box.inspect(name)["Config"]["Labels"]
    assert labels == {"from.file": "yes", "both": "flag", "bare": ""}


def test_a_client_that_vanishes_leaves_the_container(box: Box) -> None:
    name = box.name()
    with box.client("run", "--name", name, "busybox", "sh", "-c", "echo up; exec sleep 1000") as process:
        assert process.stdout is not None
        assert process.stdout.readline() == b"up\n"
        process.kill()
        process.wait()
    box.becomes(name, "{{.State.Status}}", "running")  # its first words may come before the start is recorded
    assert box.inside(name, "cat /proc/1/cmdline").startswith("sleep")


def test_attach_shows_output_from_now_on_and_ends_with_the_process(box: Box) -> None:
    name = box.name()
    box.docker("create", "-i", "--name", name, "busybox", "sh", "-c", "read x; echo got $x; exit 6")
    done = subprocess.run(
        [docker_program(), "start", "-ai", name],
        input=b"this\n",
        capture_output=True,
        timeout=20,
        env=box.environment(),
        check=False,
    )
    assert (done.returncode, done.stdout) == (6, b"got this\n")
    box.docker("start", name)
    with box.client("attach", name) as process:
        out, _ = process.communicate(b"that\n", timeout=SECONDS)
        assert (process.returncode, out) == (6, b"got that\n")


def test_start_several_and_again(box: Box) -> None:
    first, second = box.made(do="echo again"), box.made()
    assert box.docker("start", first, second).split() == [first, second]
    box.becomes(first, "{{.State.Status}}", "exited")
    box.docker("start", first)
    until(lambda: box.log(first) == "again\nagain\n", SECONDS, "it ran twice")
    box.docker("start", second)  # already running: nothing happens
    assert box.state(second) == "running"
