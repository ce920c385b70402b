"""A container's life through the stock client: starts, stops, restarts, health, events, logs, lists and removal."""

import itertools
import json
import os
import re
import signal
import time
from pathlib import Path

import pytest
from clients_box import SECONDS, Box

from daemons import running_daemon, until

RUNNING = "{{.State.Status}}"
TRAP = "trap 'exit 3' TERM; echo up; while :; do sleep 0.05; done"


# restart policies


def test_restart_on_failure_with_a_limit(box: Box) -> None:
    name = box.up("--restart", "on-failure:2", do="echo run; exit 9")
    box.becomes(name, "{{.State.Status}} {{.RestartCount}}", "exited 2")
    assert box.log(name) == "run\n" * 3
    assert box.shows(name, "{{.State.ExitCode}}") == "9"
    fine = box.up("--restart", "on-failure", do="exit 0")
    box.becomes(fine, "{{.State.Status}} {{.RestartCount}}", "exited 0")


def test_back_off_doubles(box: Box) -> None:
    name = box.up("--restart", "always", do="cut -d' ' -f1 /proc/uptime; exit 1")
    until(lambda: len(box.log(name).split()) >= 5, SECONDS, "five runs")
    times = [float(text) for text in box.log(name).split()[:5]]
    gaps = [later - earlier for earlier, later in itertools.pairwise(times)]
    for gap, least in zip(gaps, (0.1, 0.2, 0.4, 0.8), strict=True):
        assert least <= gap + 0.02 < least + 0.6, gaps
    box.becomes(name, RUNNING, "restarting")
    assert "Restarting (1)" in box.docker("ps", "-a", "--filter", f"name={name}", "--format", "{{.Status}}")
    box.docker("stop", name)
    assert box.state(name) == "exited"


def test_always_comes_back_after_a_kill_but_not_after_a_stop(box: Box) -> None:
    name = box.up("--restart", "unless-stopped")
    pid = box.shows(name, "{{.State.Pid}}")
    os.kill(int(pid), signal.SIGKILL)
    until(lambda: box.shows(name, "{{.State.Status}} {{.RestartCount}}") == "running 1", SECONDS, "it is back")
    assert box.shows(name, "{{.State.Pid}}") != pid
    box.docker("stop", "-t", "0", name)
    assert box.state(name) == "exited"
    box.docker("start", name)
    box.docker("kill", name)
    assert box.state(name) == "exited"  # the user's own kill counts as a stop


def test_wrong_restart_policies(box: Box) -> None:
    assert "maximum retry count" in box.fails("create", "--restart", "always:3", "busybox")
    assert box.fails("create", "--restart", "sometimes", "busybox")
    assert box.fails("create", "--rm", "--restart", "always", "busybox")


# health checks


def test_health_from_starting_to_healthy_to_unhealthy(box: Box) -> None:
    name = box.up(
        "--health-cmd", "cat /tmp/health", "--health-interval", "100ms", "--health-retries", "2",
        "--health-timeout", "5s",
        do="echo ok >/tmp/health; exec sleep 1000",
    )  # fmt: skip
    box.becomes(name, "{{.State.Health.Status}}", "healthy")
    assert "(healthy)" in box.docker("ps", "--filter", f"name={name}", "--format", "{{.Status}}")
    assert name in box.docker("ps", "--filter", "health=healthy", "--format", "{{.Names}}")
    box.inside(name, "rm /tmp/health")
    box.becomes(name, "{{.State.Health.Status}}", "unhealthy")
    health = box.inspect(name)["State"]["Health"]
    assert health["FailingStreak"] >= 2
    assert 1 <= len(health["Log"]) <= 5
    last = health["Log"][-1]
    assert last["ExitCode"] == 1
    assert "can't open '/tmp/health'" in last["Output"]
    assert last["Start"] < last["End"]
    actions = [action for action in box.events(f"container={name}") if action.startswith("health_status")]
    assert actions == ["health_status: healthy", "health_status: unhealthy"]


def test_health_start_period_and_interval(box: Box) -> None:
    name = box.up(
        "--health-cmd", "false", "--health-start-period", "60s", "--health-start-interval", "50ms",
        "--health-interval", "60s", "--health-retries", "1",
    )  # fmt: skip
    until(lambda: len(box.inspect(name)["State"]["Health"]["Log"]) >= 3, SECONDS, "three checks")
    assert box.shows(name, "{{.State.Health.Status}} {{.State.Health.FailingStreak}}") == "starting 0"
    test = box.inspect(name)["Config"]["Healthcheck"]
    assert test == {
        "Test": ["CMD-SHELL", "false"],
        "Interval": 60 * 10**9,
        "StartPeriod": 60 * 10**9,
        "StartInterval": 50 * 10**6,
        "Retries": 1,
    }


def test_a_health_check_that_hangs_is_ended(box: Box) -> None:
    flags = [
        "--health-cmd",
        "sleep 50",
        "--health-interval",
        "50ms",
        "--health-timeout",
        "150ms",
        "--health-retries",
        "1",
    ]
    name = box.up(*flags)
    box.becomes(name, "{{.State.Health.Status}}", "unhealthy")
    assert "Health check exceeded timeout (150ms)" in box.inspect(name)["State"]["Health"]["Log"][0]["Output"]
    box.docker("pause", name)
    box.docker("unpause", name)


def test_no_health_check(box: Box) -> None:
    image = box.name("image")
    box.docker("commit", "-c", "HEALTHCHECK --interval=1h CMD true", box.made(), image)
    assert json.loads(box.docker("image", "inspect", image))[0]["Config"]["Healthcheck"]["Interval"] == 3600 * 10**9
    name = box.name()
    box.docker("create", "--no-healthcheck", "--name", name, image)
    assert box.inspect(name)["Config"]["Healthcheck"]["Test"] == ["NONE"]
    assert "Health" not in box.inspect(name)["State"]


# waiting, stopping, killing, pausing


def test_wait_gives_exit_codes(box: Box) -> None:
    first, second = box.up(do=TRAP), box.up(do="exit 4")
    box.says(first, "up")
    with box.client("wait", first, second) as process:
        box.docker("stop", first)
        out, _ = process.communicate(timeout=SECONDS)
    assert out.split() == [b"3", b"4"]
    assert "No such container" in box.fails("wait", "nobody")


def test_stop_and_kill_by_signal(box: Box) -> None:
    script = (
        "trap 'echo hup' HUP; trap 'echo usr1; exit 1' USR1; trap 'exit 3' TERM; echo up; while :; do sleep 0.05; done"
    )
    name = box.up(do=script)
    box.says(name, "up")
    box.docker("kill", "-s", "HUP", name)
    box.says(name, "hup")
    assert box.state(name) == "running"
    box.docker("stop", "--signal", "SIGUSR1", name)
    assert box.shows(name, "{{.State.ExitCode}}") == "1"
    box.docker("stop", name)  # stopped already: nothing to do
    assert "is not running" in box.fails("kill", name)
    box.docker("start", name)
    box.docker("kill", "-s", "9", name)
    assert box.shows(name, "{{.State.ExitCode}}") == "137"
    assert "nvalid signal" in box.fails("kill", "-s", "NONSENSE", box.up())


def test_stop_waits_and_then_kills(box: Box) -> None:
    name = box.up()  # sleep as process one ignores the signal
    start = time.monotonic()
    box.docker("stop", "-t", "1", name)
    assert 0.9 < time.monotonic() - start < 5
    assert box.events(f"container={name}")[-3:] == ["kill", "die", "stop"]


def test_pause_and_unpause(box: Box) -> None:
    name = box.up(do="while :; do date +%s%N >/tmp/now; usleep 10000; done")
    box.docker("pause", name)
    assert box.state(name) == "paused"
    assert "(Paused)" in box.docker("ps", "--filter", f"name={name}", "--format", "{{.Status}}")
    assert "is already paused" in box.fails("pause", name)
    assert "is paused" in box.fails("exec", name, "true")
    box.docker("cp", f"{name}:/tmp/now", str(box.folder / "first"))
    box.docker("cp", f"{name}:/tmp/now", str(box.folder / "second"))
    assert (box.folder / "first").read_text() == (box.folder / "second").read_text()
    box.docker("unpause", name)
    before = (box.folder / "first").read_text()
    until(lambda: box.inside(name, "cat /tmp/now") not in (before.strip(), ""), SECONDS, "it goes on")
    assert "is not paused" in box.fails("unpause", name)
    box.docker("pause", name)
    box.docker("rm", "-f", name)


def test_restart_gives_a_new_process(box: Box) -> None:
    name = box.up(do=TRAP)
    box.says(name, "up")
    pid = box.shows(name, "{{.State.Pid}}")
    box.docker("restart", name)
    assert box.shows(name, "{{.State.Pid}}") != pid
    until(lambda: box.log(name) == "up\nup\n", SECONDS, "the second run")
    stopped = box.made()
    box.docker("restart", stopped)
    assert box.state(stopped) == "running"


def test_rename(box: Box) -> None:
    name, new = box.up(), box.name()
    box.docker("rename", name, new)
    assert box.shows(new, "{{.Name}}") == f"/{new}"
    assert "No such container" in box.fails("container", "inspect", name)
    other = box.made()
    assert "already in use" in box.fails("rename", other, new)
    assert box.fails("rename", new, "not/allowed")
    assert name not in box.docker("ps", "--format", "{{.Names}}").split()


def test_removal(box: Box) -> None:
    name = box.up()
    message = box.fails("rm", name)
    assert "container is running" in message
    identifier = box.shows(name, "{{.Id}}")
    box.docker("rm", "-f", name)
    assert identifier not in box.docker("ps", "-aq", "--no-trunc")
    assert "No such container" in box.fails("rm", name)
    box.docker("rm", "-f", name)  # forced: not there is fine
    for root in (box.daemon.data, box.daemon.run):
        assert not [path for path in root.rglob(f"*{identifier}*") if "trash" not in str(path)]


def test_prune_by_label_and_age(box: Box) -> None:
    label = box.name()
    kept, gone, running = box.made(), box.made("-l", f"{label}=x"), box.up("-l", f"{label}=x")
    box.docker("container", "prune", "-f", "--filter", f"label={label}", "--filter", "until=1h")
    assert box.state(gone) == "created"
    out = box.docker("container", "prune", "-f", "--filter", f"label={label}=x")
    assert "Total reclaimed space" in out
    assert "prune" in box.events("type=container")
    assert box.state(kept) == "created"
    assert box.state(running) == "running"
    assert "No such container" in box.fails("container", "inspect", gone)


# lists


def names(box: Box, *filters: str) -> set[str]:
    flags = [flag for text in filters for flag in ("--filter", text)]
    return set(box.docker("ps", "-a", *flags, "--format", "{{.Names}}").split())


def test_filters_of_lists(box: Box) -> None:
    label, volume, network = box.name(), box.volume(), box.network()
    common = ("-l", f"{label}=1")
    first = box.made(*common, "--expose", "77/udp")
    second = box.up(*common, "-v", f"{volume}:/data", "--network", network, "-p", "127.0.0.1::88", "-l", "other=two")
    third = box.up(*common, do="exit 5")
    box.becomes(third, RUNNING, "exited")
    mine = f"label={label}"
    assert names(box, mine) == {first, second, third}
    expected = {
        "status=created": {first},
        "status=running": {second},
        "status=exited": {third},
        "exited=5": {third},
        f"name={second}": {second},
        f"name=^/{third}$": {third},
        f"id={box.shows(first, '{{.Id}}')[:12]}": {first},
        f"label={label}=1": {first, second, third},
        f"label={label}=2": set(),
        "label=other": {second},
        f"volume={volume}": {second},
        "volume=/data": {second},
        f"network={network}": {second},
        "publish=88": {second},
        "publish=80-90/tcp": {second},
        "expose=77/udp": {first},
        "expose=70-80/udp": {first},
        f"before={second}": {first},
        f"since={first}": {second, third},
        "ancestor=busybox": {first, second, third},
        "ancestor=busybox:latest": {first, second, third},
        f"ancestor={box.shows('busybox:latest', '{{.Id}}')}": {first, second, third},
        "ancestor=nothing-here": set(),
        "health=none": {first, second, third},
        "health=healthy": set(),
        "is-task=false": {first, second, third},
    }
    for text, wanted in expected.items():
        assert names(box, mine, text) == wanted, text
    assert names(box, mine, "status=created", "status=exited") == {first, third}
    assert "invalid filter" in box.fails("ps", "--filter", "nonsense=1")
    assert box.fails("ps", "--filter", "status=nonsense")


def test_lists_show_what_is_asked(box: Box) -> None:
    first = box.up(do="echo x >/file; exec sleep 1000")
    last = box.made()
    assert box.docker("ps", "-l", "--format", "{{.Names}}").strip() == last
    assert box.docker("ps", "-n", "2", "--format", "{{.Names}}").split() == [last, first]
    shown = json.loads(box.docker("ps", "-s", "--no-trunc", "--filter", f"name={first}", "--format", "json"))
    assert (shown["Names"], shown["Image"], shown["State"]) == (first, "busybox", "running")
    assert len(shown["ID"]) == 64
    assert shown["Command"] == "\"sh -c 'echo x >/file; exec sleep 1000'\""
    assert "virtual" in shown["Size"]
    assert shown["Status"].startswith(("Up Less than", "Up 1 second"))


def test_top(box: Box) -> None:
    name = box.up("--init")
    lines = box.docker("top", name).splitlines()
    assert lines[0].split()[:2] == ["UID", "PID"]
    assert any("sleep 1000" in line for line in lines[1:])
    assert box.docker("top", name, "-o", "pid,args").splitlines()[0].split() == ["PID", "COMMAND"]
    assert "is not running" in box.fails("top", box.made())
    assert box.fails("top", name, "--nonsense")


# events


def test_events_of_a_whole_life(box: Box) -> None:
    name = box.made("-l", "color=blue", do=TRAP)
    box.docker("start", name)
    box.says(name, "up")
    box.inside(name, "true")
    box.docker("pause", name)
    box.docker("unpause", name)
    box.docker("stop", name)
    box.docker("rm", name)
    actions = box.events("type=container", f"container={name}")
    short = [action.split(":")[0] for action in actions]
    assert short == [
        "create", "start", "exec_create", "exec_start", "exec_die", "pause", "unpause", "kill", "die", "stop",
        "destroy",
    ]  # fmt: skip
    assert box.events("type=container", f"container={name}", "event=die", "event=stop") == ["die", "stop"]
    assert "start" in box.events("label=color=blue", f"container={name}")
    assert box.events("label=color=red", f"container={name}") == []
    now = f"{time.time():.9f}"
    line = box.docker(
        "events",
        "--since",
        f"{box.since:.9f}",
        "--until",
        now,
        "--filter",
        f"container={name}",
        "--filter",
        "event=die",
        "--format",
        "json",
    )
    event = json.loads(line)
    attributes = event["Actor"]["Attributes"]
    assert (attributes["exitCode"], attributes["name"], attributes["image"], attributes["color"]) == (
        "3",
        name,
        "busybox",
        "blue",
    )
    assert (event["status"], event["Type"], event["scope"]) == ("die", "container", "local")
    assert event["timeNano"] // 10**9 == event["time"]


def test_events_as_they_happen(box: Box) -> None:
    volume, network, name = box.name("volume"), box.name("network"), box.name()
    template = "{{.Type}} {{.Action}} {{.Actor.ID}}"
    with box.client("events", "--since", f"{box.since:.9f}", "--format", template) as process:
        assert process.stdout is not None
        box.docker("volume", "create", volume)
        box.docker("network", "create", network)
        box.docker("run", "--name", name, "--network", network, "-v", f"{volume}:/v", "busybox", "true")
        box.docker("tag", "busybox", f"tag-{volume}")
        box.docker("image", "rm", f"tag-{volume}")
        seen: list[str] = []
        while not seen or not seen[-1].startswith("image untag"):
            seen.append(process.stdout.readline().decode().strip())
    mine = [line.rpartition(" ")[0] for line in seen]
    wanted = ["volume create", "network create", "container create", "volume mount", "network connect",
              "container start", "container die", "network disconnect", "volume unmount",
              "image tag", "image untag"]  # fmt: skip
    places = [mine.index(action) for action in wanted]
    assert sorted(mine.index(action) for action in wanted[:6]) == sorted(places[:6])
    assert mine.index("container create") < mine.index("container start") < mine.index("container die")
    assert box.events("type=network", f"network={network}") == ["create", "connect", "disconnect"]
    assert box.events("type=volume", f"volume={volume}") == ["create", "mount", "unmount"]


# logs


def test_logs_choose_and_stamp(box: Box) -> None:
    name = box.up(do="echo one; usleep 20000; echo two >&2; echo three; printf unfinished")
    box.becomes(name, RUNNING, "exited")
    done = box.daemon.docker("logs", name)
    assert (done.stdout, done.stderr) == ("one\nthree\nunfinished", "two\n")
    assert box.docker("logs", "--tail", "1", name) == "unfinished"
    assert box.docker("logs", "--tail", "0", name) == ""
    assert box.docker("logs", "-n", "2", name) == "three\nunfinished"
    stamped = box.docker("logs", "-t", name).splitlines()
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{9}Z one", stamped[0])
    between = stamped[1].split()[0]
    assert box.docker("logs", "--since", between, name) == "three\nunfinished"
    assert box.docker("logs", "--until", stamped[0].split()[0], name) == "one\n"
    assert box.docker("logs", "--since", "1h", name) == "one\nthree\nunfinished"
    assert box.docker("logs", "--until", "1h", name) == ""
    assert "No such container" in box.fails("logs", "nobody")


def test_logs_follow_to_the_end(box: Box) -> None:
    name = box.up("-i", do="echo first; while [ ! -e /go ]; do usleep 20000; done; echo last")
    with box.client("logs", "-f", name) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == b"first\n"
        box.inside(name, "touch /go")
        assert process.stdout.read() == b"last\n"
        assert process.wait(SECONDS) == 0


def test_logs_with_details(box: Box) -> None:
    name = box.up(
        "--log-opt", "labels=color", "--log-opt", "env=PLACE", "-l", "color=blue", "-e", "PLACE=here", do="echo text"
    )
    box.becomes(name, RUNNING, "exited")
    assert box.docker("logs", "--details", name) == "PLACE=here,color=blue text\n"


def test_logs_of_a_terminal_are_raw(box: Box) -> None:
    name = box.name()
    box.docker("run", "-dt", "--name", name, "busybox", "echo", "text")
    box.becomes(name, RUNNING, "exited")
    assert box.docker("logs", name) == "text\r\n"


def test_logs_are_rotated_and_read_in_one(box: Box) -> None:
    """A burst at a time, as the daemon looks at the sizes once a second."""
    flags = ["--log-opt", "max-size=50k", "--log-opt", "max-file=2"]
    bursts = "n=0; while read burst; do seq $((n + 1)) $((n + 2000)); n=$((n + 2000)); done <&9"
    script = f"mkfifo /pipe; exec 9<>/pipe; {bursts}"
    found = {name: box.up("--log-driver", name, *flags, do=script) for name in ("json-file", "local")}
    folders = {name: box.daemon.data / "containers" / box.shows(name, "{{.Id}}") for name in found.values()}
    for burst in range(1, 4):
        for name in folders:
            box.inside(name, "echo >/pipe")
            box.says(name, f"{burst * 2000}\n")
        logs = [folder / "container.log" for folder in folders.values()]
        until(lambda: all(_is_small(log) for log in logs), SECONDS, "the logs are rotated")  # noqa: B023
    for name, folder in folders.items():
        lines = [int(line) for line in box.docker("logs", name).split()]
        assert lines == list(range(lines[0], 6001))
        assert lines[0] > 1
        assert len(list(folder.glob("container.log*"))) == 2


def _is_small(log: Path) -> bool:
    """Whether the newest file of a log holds less than the allowed size; between two files there is none."""
    return log.exists() and log.stat().st_size < 50_000


def test_log_driver_none(box: Box) -> None:
    name = box.up("--log-driver", "none", do="echo lost")
    box.becomes(name, RUNNING, "exited")
    assert "configured logging driver does not support reading" in box.fails("logs", name)
    assert box.run("--log-driver", "none", do="echo shown") == "shown"


def test_long_lines_and_much_output(box: Box) -> None:
    name = box.up(do="head -c 300000 /dev/zero | tr '\\0' x; echo; seq 1 20000")
    box.becomes(name, RUNNING, "exited")
    lines = box.docker("logs", name).splitlines()
    assert len(lines[0]) == 300_000
    assert lines[1:] == [str(number) for number in range(1, 20001)]
    assert len(box.docker("logs", "-t", "--tail", "20001", name).splitlines()) == 20001


def test_a_daemon_that_is_killed_leaves_shared_memory_to_join(
    tmp_path_factory: pytest.TempPathFactory,
) -> None:
    with running_daemon(tmp_path_factory.mktemp("killed")) as daemon:
        daemon.docker("run", "-d", "--name", "donor", "--ipc", "shareable", "busybox", "sleep", "1000")
        daemon.docker("exec", "donor", "sh", "-c", "echo kept >/dev/shm/x")
        daemon.kill()
        daemon.start()
        assert (
            daemon.docker("run", "--rm", "--ipc", "container:donor", "busybox", "cat", "/dev/shm/x").stdout == "kept\n"
        )
        daemon.docker("rm", "-f", "donor")
        assert list((daemon.run / "shm").iterdir()) == []
