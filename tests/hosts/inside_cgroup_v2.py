"""Runs in the guest of tools/guest-v2.sh, as root on pure cgroup v2: the engine through our own client, check by check.

Each check prints one line, "ok NAME: what was seen" or "FAILED NAME: why"; the test beside this file reads them. The
guest is thrown away afterwards, so checks need not tidy up, except where being gone is what they are about. The guest's
processor is some forty times slower than a real one: deadlines are long, and the client's code is loaded once, here.
"""

import importlib
import json
import os
import resource
import signal
import subprocess
import sys
import tempfile
import time
import traceback
import urllib.request
from collections.abc import Callable
from pathlib import Path
from typing import Any

from boxship.cli.program import run as run_client
from boxship.cli.verbs import VERBS

CGROUPS = Path("/sys/fs/cgroup")
BINARIES = Path(sys.executable).parent
DEADLINE = 120.0  # seconds, for anything
MIB = 1 << 20

CHECKS: list[tuple[str, Callable[["Host"], str]]] = []


def check(function: Callable[["Host"], str]) -> Callable[["Host"], str]:
    """The function's name is the check's; it returns what was seen, or raises."""
    CHECKS.append((function.__name__, function))
    return function


def until(condition: Callable[[], object], what: str) -> None:
    """Wait for a condition, with a deadline."""
    end = time.monotonic() + DEADLINE
    while not condition():
        assert time.monotonic() < end, f"not within {DEADLINE:g} s: {what}"
        time.sleep(0.05)


def same(found: object, wanted: object, what: str = "") -> None:
    assert found == wanted, f"{what}: found {found!r}, wanted {wanted!r}"


class Host:
    """A daemon on this guest, and our client."""

    def __init__(self, home: str, data: str, *, start: bool = True) -> None:
        self.home, self.data, self.runs = Path(home), Path(data), Path(home) / "run"
        self.home.mkdir(parents=True, exist_ok=True)
        self.url = f"unix://{self.home}/d.sock"
        self.log = self.home / "boxshipd.log"
        if start:
            self.start()

    def start(self) -> None:
        """Start the daemon, in its service's cgroup as systemd would, and wait until it answers."""
        with self.log.open("ab") as log:
            self.process = subprocess.Popen(
                [
                    "sh",
                    "-c",
                    'echo -500 >/proc/self/oom_score_adj; exec "$@"',
                    "sh",
                    BINARIES / "boxshipd",
                    "--data-root",
                    self.data,
                    "--run-root",
                    self.runs,
                    "--host",
                    self.url,
                ],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
            )
        until(
            lambda: self.process.poll() is not None or self.client("version", code=None)[0] == 0, "the daemon's start"
        )
        assert self.process.poll() is None, f"boxshipd ended: {self.log.read_text()[-1500:]}"

    def _answers(self) -> bool:
        return self.client("version", code=None)[0] == 0

    def stop(self) -> None:
        self.process.terminate()
        same(self.process.wait(DEADLINE), 0, "the daemon's exit code")

    def client(self, *words: str, code: int | None = 0) -> tuple[int, str, str]:
        """One command line in a process of its own: exit code, output, errors."""
        with tempfile.TemporaryFile() as output, tempfile.TemporaryFile() as errors:
            pid = os.fork()
            if pid == 0:
                status = 99
                try:
                    os.dup2(output.fileno(), 1)
                    os.dup2(errors.fileno(), 2)
                    status = run_client(["--host", self.url, *words])
                finally:
                    sys.stdout.flush()
                    sys.stderr.flush()
                    os._exit(status)
            status = os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
            texts = []
            for file in (output, errors):
                file.seek(0)
                texts.append(file.read().decode(errors="replace").strip())
        assert code is None or status == code, f"boxship {' '.join(words)}: code {status}: {texts[1]} {texts[0]}"
        return status, texts[0], texts[1]

    def __call__(self, *words: str, code: int | None = 0) -> str:
        return self.client(*words, code=code)[1]

    def run(self, *words: str) -> str:
        """A detached container without a network, from busybox: its id."""
        return self("run", "-d", "--network", "none", *words)

    def inspect(self, name: str, template: str) -> Any:
        return json.loads(self("inspect", "--format", "{{json " + template + "}}", name))

    def tidy(self) -> None:
        """After a failed check, so that the next one begins with nothing."""
        if self.process.poll() is not None:
            self.start()
        if names := self("ps", "-aq").split():
            self("rm", "-f", *names)

    @property
    def instance(self) -> str:
        return (self.data / "instance").read_text().strip()

    def group(self, container: str) -> Path:
        """The cgroup of a running container, from the kernel."""
        pid = self.inspect(container, ".State.Pid")
        line = Path(f"/proc/{pid}/cgroup").read_text().strip()
        return CGROUPS / line.removeprefix("0::/")

    def groups(self) -> list[str]:
        """What is below this instance's cgroup."""
        return sorted(path.name for path in (CGROUPS / f"boxship-{self.instance}").glob("*/"))


def value(group: Path, name: str) -> str:
    return (group / name).read_text().strip()


def values(group: Path, *names: str) -> str:
    return ", ".join(f"{name}={value(group, name)}" for name in names)


SLEEP = ("busybox", "sleep", "3600")


@check
def information(host: Host) -> str:
    """The daemon knows what it runs on, and misses nothing."""
    found = json.loads(host("info", "--format", "{{json .}}"))
    same(found["CgroupVersion"], "2")
    same(found.get("Warnings") or [], [])
    for name in ("MemoryLimit", "SwapLimit", "CpuCfsQuota", "CPUShares", "CPUSet", "PidsLimit"):
        assert found[name] is True, f"{name} is {found[name]}"
    return f"cgroup v{found['CgroupVersion']}, {found['CgroupDriver']}, kernel {found['KernelVersion']}"


@check
def run_exec_remove(host: Host) -> str:
    same(host("run", "--rm", "--network", "none", "busybox", "echo", "hello"), "hello")
    host.run("--name", "first", *SLEEP)
    same(host("exec", "first", "sh", "-c", "echo $((6 * 7))"), "42")
    same(host.client("exec", "first", "sh", "-c", "exit 7", code=None)[0], 7)
    assert len(host.groups()) == 1, host.groups()
    host("rm", "-f", "first")
    same(host.groups(), [])
    same(host.client("run", "--rm", "--network", "none", "busybox", "sh", "-c", "exit 3", code=None)[0], 3)
    same(host.groups(), [])
    return "output, exit codes 7 and 3, no cgroup left"


@check
def limits(host: Host) -> str:
    """Each limit of a new container is in its v2 control file."""
    host.run("--name", "limited", "--memory", "64m", "--memory-swap", "96m", "--memory-reservation", "32m",
             "--cpus", "0.5", "--cpu-shares", "512", "--pids-limit", "50", "--cpuset-cpus", "0", "--cpuset-mems", "0",
             "--blkio-weight", "300", "--device-write-bps", "/dev/vda:1mb", "--device-read-iops", "/dev/vda:100",
             *SLEEP)  # fmt: skip
    group = host.group("limited")
    wanted = {
        "memory.max": str(64 * MIB),
        "memory.swap.max": str(32 * MIB),
        "memory.low": str(32 * MIB),
        "cpu.max": "50000 100000",
        "cpu.weight": "20",
        "pids.max": "50",
        "cpuset.cpus": "0",
        "cpuset.mems": "0",
        "io.weight": "default 2930",
    }
    same({name: value(group, name) for name in wanted}, wanted)
    limits = dict(pair.split("=") for pair in value(group, "io.max").split()[1:])
    same((limits["wbps"], limits["riops"]), (str(MIB), "100"), "io.max")
    return values(group, *wanted, "io.max")


@check
def live_update(host: Host) -> str:
    group = host.group("limited")
    host("update", "--memory", "128m", "--memory-swap", "160m", "--memory-reservation", "48m", "--cpus", "0.25",
         "--cpu-shares", "2048", "--pids-limit", "60", "--blkio-weight", "500", "limited")  # fmt: skip
    wanted = {
        "memory.max": str(128 * MIB),
        "memory.swap.max": str(32 * MIB),
        "memory.low": str(48 * MIB),
        "cpu.max": "25000 100000",
        "cpu.weight": "79",
        "pids.max": "60",
        "io.weight": "default 4950",
    }
    same({name: value(group, name) for name in wanted}, wanted)
    seen = values(group, *wanted)
    host("update", "--memory-swap", "-1", "limited")
    same(value(group, "memory.swap.max"), "max")
    same(host.client("update", "--cpuset-cpus", "9", "limited", code=None)[0], 1)
    host("update", "--pids-limit", "-1", "limited")
    same(value(group, "pids.max"), "max")
    return seen


@check
def limits_after_restart(host: Host) -> str:
    """The runtime makes the same files from the record as the update wrote."""
    host("restart", "-t", "0", "limited")
    group = host.group("limited")
    names = ("memory.max", "memory.swap.max", "memory.low", "cpu.max", "cpu.weight", "pids.max", "io.weight")
    found = values(group, *names)
    wanted = (f"memory.max={128 * MIB}, memory.swap.max=max, memory.low={48 * MIB}, cpu.max=25000 100000, "
              "cpu.weight=79, pids.max=max, io.weight=default 4950")  # fmt: skip
    same(found, wanted)
    host("rm", "-f", "limited")
    same(host.groups(), [])
    return found


@check
def default_swap(host: Host) -> str:
    """Docker's default: as much swap as memory."""
    host.run("--name", "swap", "--memory", "32m", *SLEEP)
    found = values(host.group("swap"), "memory.max", "memory.swap.max")
    same(found, f"memory.max={32 * MIB}, memory.swap.max={32 * MIB}")
    host("rm", "-f", "swap")
    return found


@check
def cgroup_namespace(host: Host) -> str:
    """Private by default, with the container's own files, not writable; the machine's when asked for."""
    host.run("--name", "own", "--memory", "40m", *SLEEP)
    same(host.inspect("own", ".HostConfig.CgroupnsMode"), "private")
    same(host("exec", "own", "cat", "/proc/self/cgroup"), "0::/")
    same(host("exec", "own", "cat", "/sys/fs/cgroup/memory.max"), str(40 * MIB))
    assert "Read-only" in host.client("exec", "own", "mkdir", "/sys/fs/cgroup/x", code=1)[2]
    seen = host("run", "--rm", "--network", "none", "--cgroupns", "host", "busybox", "cat", "/proc/self/cgroup")
    assert seen.startswith(f"0::/boxship-{host.instance}/"), seen
    host("rm", "-f", "own")
    return f"private: 0::/; host: {seen[:40]}…"


@check
def nested_cgroups(host: Host) -> str:
    """A privileged container makes cgroups of its own, as an init system does; exec and rm cope."""
    program = (
        "mkdir /sys/fs/cgroup/init /sys/fs/cgroup/work && echo 1 >/sys/fs/cgroup/init/cgroup.procs && "
        "echo '+memory +pids' >/sys/fs/cgroup/cgroup.subtree_control && echo made && exec sleep 3600"
    )
    host.run("--name", "nested", "--privileged", "busybox", "sh", "-c", program)
    until(lambda: host.client("logs", "nested")[1] or not host.inspect("nested", ".State.Running"), "the cgroups")
    same(host("logs", "nested"), "made")
    same(host.inspect("nested", ".HostConfig.CgroupnsMode"), "private")
    seen = host("exec", "nested", "cat", "/proc/self/cgroup")
    rows = host("top", "nested").splitlines()
    same(len(rows), 2, "top")
    usage = json.loads(host("stats", "--no-stream", "--format", "{{json .}}", "nested"))
    assert not usage["MemUsage"].startswith("0B"), usage
    host("pause", "nested")
    host("unpause", "nested")
    host("rm", "-f", "nested")
    same(host.groups(), [])
    return f"exec went to {seen}; memory {usage['MemUsage']}; no cgroup left"


@check
def out_of_memory(host: Host) -> str:
    """The kernel's kill is reported; a plain SIGKILL is not taken for one."""
    host.client("run", "--name", "eater", "--network", "none", "--memory", "16m", "--memory-swap", "16m", "busybox",
                "sh", "-c", "exec tail /dev/zero", code=137)  # fmt: skip
    state = host.inspect("eater", ".State")
    same((state["OOMKilled"], state["ExitCode"], state["Status"]), (True, 137, "exited"))
    host.run("--name", "plain", "--memory", "16m", *SLEEP)
    host("kill", "plain")
    host("wait", "plain")
    same(host.inspect("plain", ".State.OOMKilled"), False)
    why = host("why", "eater").replace("\n", " | ")
    host("rm", "eater", "plain")
    return f"OOMKilled, code 137; why: {why[:160]}"


@check
def pause(host: Host) -> str:
    host.run("--name", "still", *SLEEP)
    group = host.group("still")
    host("pause", "still")
    same(value(group, "cgroup.freeze"), "1")
    assert "frozen 1" in value(group, "cgroup.events")
    same(host.inspect("still", ".State.Status"), "paused")
    refused = host.client("exec", "still", "true", code=None)
    assert refused[0] != 0 and "paused" in refused[2], refused
    host("unpause", "still")
    same(value(group, "cgroup.freeze"), "0")
    same(host("exec", "still", "echo", "goes on"), "goes on")
    host("pause", "still")
    host("rm", "-f", "still")
    same(host.groups(), [])
    return "frozen 1, exec refused, goes on, removed while paused"


@check
def statistics(host: Host) -> str:
    host.run("--name", "busy", "--memory", "64m", "busybox", "sh", "-c",
             "dd if=/dev/zero of=/file bs=1M count=8 conv=fsync 2>/dev/null; while :; do :; done")  # fmt: skip

    def look() -> dict[str, str]:
        found: dict[str, str] = json.loads(host("stats", "--no-stream", "--format", "{{json .}}", "busy"))
        return found

    until(lambda: float(look()["CPUPerc"].rstrip("%")) > 10, "processor time in the statistics")
    found = look()
    assert not found["MemUsage"].startswith("0B"), found
    assert "/ 64MiB" in found["MemUsage"], found
    assert int(found["PIDs"]) >= 1, found
    assert not found["BlockIO"].endswith("/ 0B"), found
    host("rm", "-f", "busy")
    return json.dumps({name: found[name] for name in ("CPUPerc", "MemUsage", "MemPerc", "BlockIO", "PIDs")})


@check
def throttling(host: Host) -> str:
    host.run("--name", "slow", "--cpus", "0.2", "busybox", "sh", "-c", "while :; do :; done")
    group = host.group("slow")

    def count(name: str) -> int:
        return int(dict(line.split() for line in value(group, "cpu.stat").splitlines())[name])

    until(lambda: count("nr_periods") > 20, "20 periods")
    periods, throttled, used = count("nr_periods"), count("nr_throttled"), count("usage_usec")
    assert throttled > periods / 2, (periods, throttled)
    host("rm", "-f", "slow")
    return f"{throttled} of {periods} periods throttled, {used / 1000:.0f} ms used"


@check
def process_limit(host: Host) -> str:
    """A bounded number of forks against a limit of 6."""
    program = "for n in 1 2 3 4 5 6 7 8 9 10; do sleep 60 & done; wait"
    words = ("run", "--name", "forks", "--network", "none", "--pids-limit", "6", "busybox", "sh", "-c", program)
    code, _, errors = host.client(*words, code=None)
    assert code != 0 and "can't fork" in errors, (code, errors)
    host("rm", "forks")
    same(host.groups(), [])
    return f"code {code}: {errors.splitlines()[-1]}"


@check
def devices(host: Host) -> str:
    """crun's eBPF program: a node that the container makes itself opens only what the rules allow."""
    number = os.stat("/dev/vda").st_rdev
    make = f"mknod /disk b {os.major(number)} {os.minor(number)} && "
    read = "dd if=/disk of=/dev/null bs=512 count=1"

    def attempt(*options: str, program: str = make + read) -> str:
        words = ("run", "--rm", "--network", "none", *options, "busybox", "sh", "-c", program)
        code, _, errors = host.client(*words, code=None)
        return "done" if code == 0 else errors.splitlines()[-1].rsplit(": ", 1)[-1]

    rule = f"b {os.major(number)}:* r"
    found = {
        "plain": attempt(),
        "sda": attempt(program="mknod /sda b 8 0 && dd if=/sda of=/dev/null count=1"),
        "kmsg": attempt(program="mknod /kmsg c 1 11 && dd if=/kmsg of=/dev/null count=1"),
        "rule": attempt("--device-cgroup-rule", rule),
        "--device r": attempt("--device", "/dev/vda:/disk:r", program=read),
        "--device r, write": attempt("--device", "/dev/vda:/disk:r", program="dd if=/dev/zero of=/disk count=1"),
        "privileged": attempt("--privileged"),
        "null, zero, tty": attempt(program="dd if=/dev/zero of=/dev/null count=1 && : >/dev/full"),
        "runc": attempt("--runtime", "runc"),
        "runc rule": attempt("--runtime", "runc", "--device-cgroup-rule", rule),
    }
    refused = "Operation not permitted"
    same(found, {"plain": refused, "sda": refused, "kmsg": refused, "rule": "done", "--device r": "done",
                 "--device r, write": refused, "privileged": "done", "null, zero, tty": "done", "runc": refused,
                 "runc rule": "done"})  # fmt: skip
    return json.dumps(found)


@check
def other_runtime(host: Host) -> str:
    """runc writes the same limits."""
    host.run("--name", "other", "--runtime", "runc", "--memory", "64m", "--memory-swap", "96m", "--cpus", "0.5",
             "--cpu-shares", "512", "--pids-limit", "50", *SLEEP)  # fmt: skip
    group = host.group("other")
    found = values(group, "memory.max", "memory.swap.max", "cpu.max", "cpu.weight", "pids.max")
    wanted = f"memory.max={64 * MIB}, memory.swap.max={32 * MIB}, cpu.max=50000 100000, cpu.weight=20, pids.max=50"
    same(found, wanted)
    same(host("exec", "other", "cat", "/proc/self/cgroup"), "0::/")
    host("update", "--memory", "70m", "other")
    same(value(group, "memory.max"), str(70 * MIB))
    host("pause", "other")
    host("unpause", "other")
    host("rm", "-f", "other")
    same(host.groups(), [])
    return found


@check
def rights_of_real_root(host: Host) -> str:
    """With CAP_SYS_RESOURCE, which many machines in machines lack: higher limits and a lower OOM score."""
    hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    seen = host("run", "--rm", "--network", "none", "--oom-score-adj", "-500", "--ulimit", f"nofile={hard}:{hard}",
                "busybox", "sh", "-c", "cat /proc/self/oom_score_adj; ulimit -n").split()  # fmt: skip
    same(seen, ["-500", str(hard)])
    same(Path(f"/proc/{host.process.pid}/oom_score_adj").read_text().strip(), "-500", "the daemon's, as its unit says")
    show = ("cat", "/proc/self/oom_score_adj")
    execs: list[str] = []
    for runtime in ("crun", "runc"):
        host.run("--name", "score", "--runtime", runtime, "--oom-score-adj", "-300", *SLEEP)
        execs.append(host("exec", "score", *show))  # crun 1.8.1 leaves what conmon gives: 0
        host("rm", "-f", "score")
        plain = host("run", "--rm", "--network", "none", "--runtime", runtime, "busybox", *show)
        same(plain, "0", f"a container by {runtime}")
    assert set(execs) <= {"-300", "0"}, execs
    return f"{' '.join(seen)}; without a wish 0, though the daemon has -500; execs by crun and runc: {execs}"


@check
def cgroup_parent(host: Host) -> str:
    host.run("--name", "child", "--cgroup-parent", "/guest-parent", "--memory", "32m", *SLEEP)
    group = host.group("child")
    same(group.parent, CGROUPS / "guest-parent")
    same(value(group, "memory.max"), str(32 * MIB))
    host("rm", "-f", "child")
    assert not group.exists()
    assert not group.parent.exists(), "the parent that was made for the container is left"
    return f"{group.parent}/…"


@check
def stop_kill_top(host: Host) -> str:
    program = "trap 'echo bye; exit 5' TERM; while :; do sleep 1; done"
    host.run("--name", "polite", "busybox", "sh", "-c", program)
    rows = host("top", "polite", "-o", "pid,args").splitlines()
    assert any("trap" in row for row in rows[1:]), rows
    host("stop", "-t", "60", "polite")
    same((host.inspect("polite", ".State.ExitCode"), host("logs", "polite")), (5, "bye"))
    host.run("--name", "rude", "busybox", "sh", "-c", "trap : TERM; while :; do sleep 1; done")
    host("stop", "-t", "1", "rude")
    same(host.inspect("rude", ".State.ExitCode"), 137)
    host.run("--name", "hup", *SLEEP)
    host("kill", "--signal", "KILL", "hup")
    same(host("wait", "hup"), "137")
    host("rm", "polite", "rude", "hup")
    same(host.groups(), [])
    return "TERM: code 5; after the deadline: 137"


@check
def daemon_killed(host: Host) -> str:
    """kill -9; what runs is found again with its cgroup, what ended meanwhile has its code."""
    host.run("--name", "stays", "--memory", "48m", *SLEEP)
    host.run("--name", "frozen", *SLEEP)
    host("pause", "frozen")
    host.run("--name", "ends", "busybox", "sh", "-c", "trap 'exit 9' USR1; while :; do sleep 0.2; done")
    host.run("--name", "starves", "--memory", "16m", "--memory-swap", "16m", "busybox", "sh", "-c",
             "trap 'exec tail /dev/zero' USR1; while :; do sleep 0.2; done")  # fmt: skip
    pids = {name: host.inspect(name, ".State.Pid") for name in ("stays", "frozen", "ends", "starves")}
    host.process.kill()
    host.process.wait()
    for name in ("ends", "starves"):
        os.kill(pids[name], signal.SIGUSR1)
        until(lambda name=name: not Path(f"/proc/{pids[name]}").exists(), f"the end of {name}")
    host.start()
    same(host.inspect("stays", ".State.Pid"), pids["stays"])
    same(host("exec", "stays", "echo", "here"), "here")
    host("update", "--memory", "56m", "--memory-swap", "112m", "stays")
    same(value(host.group("stays"), "memory.max"), str(56 * MIB))
    usage = json.loads(host("stats", "--no-stream", "--format", "{{json .}}", "stays"))["MemUsage"]
    assert not usage.startswith("0B"), usage
    same(host.inspect("frozen", ".State.Status"), "paused")
    host("unpause", "frozen")
    same(host("exec", "frozen", "echo", "here"), "here")
    same(host.inspect("ends", ".State.ExitCode"), 9)
    state = host.inspect("starves", ".State")
    same((state["ExitCode"], state["OOMKilled"]), (137, True), "starves")
    host("rm", "-f", *pids)
    same(host.groups(), [])
    return f"4 found; memory {usage}; codes 9 and 137 (OOMKilled)"


@check
def bridge_network(host: Host) -> str:
    """A published port from the machine, names between containers."""
    host("network", "create", "net")
    host("run", "-d", "--name", "web", "--network", "net", "--publish", "127.0.0.1:8080:80", "busybox", "sh", "-c",
         "mkdir -p /www && echo page >/www/index.html && exec httpd -f -p 80 -h /www")  # fmt: skip

    def fetch() -> str:
        try:
            with urllib.request.urlopen("http://127.0.0.1:8080/", timeout=10) as page:
                return str(page.read().decode().strip())
        except OSError as error:
            return str(error)

    until(lambda: fetch() == "page", "the page")
    seen = host("run", "--rm", "--network", "net", "busybox", "wget", "-q", "-O", "-", "http://web/")
    same(seen, "page")
    address = host("run", "--rm", "busybox", "sh", "-c", "ip -4 -o addr show eth0").split()[3]
    host("rm", "-f", "web")
    host("network", "rm", "net")
    return f"page by port and by name; default bridge {address}"


@check
def overlay(host: Host) -> str:
    """Layers and changes on the guest's own ext4, the tar of a committed image."""
    host.run("--name", "writes", "busybox", "sh", "-c", "rm /bin/vi; echo new >/new; sleep 3600")
    until(lambda: "/new" in host("diff", "writes"), "the changes")
    changes = host("diff", "writes").splitlines()
    assert {"A /new", "D /bin/vi"} <= set(changes), changes
    host("commit", "writes", "changed")
    same(host("run", "--rm", "--network", "none", "changed", "cat", "/new"), "new")
    host("rm", "-f", "writes")
    kind = subprocess.run(["stat", "-f", "-c", "%T", host.data], capture_output=True, text=True, check=True).stdout
    return f"data root on {kind.strip()}: {', '.join(changes)}"


@check
def weight_by_bfq(host: Host) -> str:
    """Where the disk's scheduler is BFQ, the weight is its own, of a new container and of a running one."""
    subprocess.run(["modprobe", "bfq"], check=True)
    Path("/sys/block/vda/queue/scheduler").write_text("bfq")
    host("rm", "-f", host.run(*SLEEP))
    host.stop()
    host.start()
    host.run("--name", "first", "--blkio-weight", "300", *SLEEP)
    host.run("--name", "second", "--runtime", "runc", "--blkio-weight", "300", *SLEEP)
    found = []
    for name in ("first", "second"):
        group = host.group(name)
        before = values(group, "io.bfq.weight", "io.weight")
        host("update", "--blkio-weight", "500", name)
        found.append(f"{before}; updated: {values(group, 'io.bfq.weight', 'io.weight')}")
    host("rm", "-f", "first", "second")
    Path("/sys/block/vda/queue/scheduler").write_text("none")
    subprocess.run(["modprobe", "--remove", "bfq"], check=True)
    assert all("io.bfq.weight=default 300" in text and "io.bfq.weight=default 500" in text for text in found), found
    return " / ".join(found)


@check
def doctor(host: Host) -> str:
    """Our own examination finds nothing missing."""
    code, found, _ = host.client("doctor", code=None)
    line = next(line for line in found.splitlines() if line.startswith("cgroups"))
    same(code, 0, found)
    assert "v2" in line, line
    return " ".join(line.split())


@check
def tidy_end(host: Host) -> str:
    """Without containers, a stopped daemon leaves no cgroup, no mount and no bridge."""
    host("rmi", "changed")
    same(host("ps", "-aq"), "")
    host.stop()
    left = [str(path) for path in CGROUPS.glob("boxship*")]
    same(left, [])
    assert str(host.home) not in Path("/proc/self/mountinfo").read_text()
    return "no cgroup, no mount"


@check
def controllers_off(host: Host) -> str:
    """Controllers that no service uses are off at the root, as on hosts with little set: limits work all the same."""
    for name in ("cpuset", "io", "cpu"):
        (CGROUPS / "cgroup.subtree_control").write_text(f"-{name}")
    before = value(CGROUPS, "cgroup.subtree_control")
    host.start()
    host.run("--name", "first", "--memory", "64m", "--cpus", "0.5", "--cpuset-cpus", "0", "--blkio-weight", "300",
             *SLEEP)  # fmt: skip
    group = host.group("first")
    found = values(group, "memory.max", "cpu.max", "cpuset.cpus", "io.weight")
    same(found, f"memory.max={64 * MIB}, cpu.max=50000 100000, cpuset.cpus=0, io.weight=default 2930")
    host("rm", "-f", "first")
    host.stop()
    return f"before: {before}; {found}"


@check
def update_without_controller(host: Host) -> str:
    """A limit whose controller was off when the container was made is set live, or refused by name; never lost."""
    for name in ("cpuset", "io", "cpu"):
        (CGROUPS / "cgroup.subtree_control").write_text(f"-{name}")
    host.start()
    host.run("--name", "late", *SLEEP)
    group = host.group("late")
    host("update", "--cpus", "0.5", "--memory", "64m", "--pids-limit", "20", "--blkio-weight", "300", "late")
    found = values(group, "memory.max", "cpu.max", "pids.max", "io.weight")
    same(found, f"memory.max={64 * MIB}, cpu.max=50000 100000, pids.max=20, io.weight=default 2930")
    host("rm", "-f", "late")
    host.stop()
    return found


@check
def data_on_tmpfs(host: Host) -> str:
    other = Host("/run/other", "/tmp/other")
    other("base", "busybox")
    same(other("run", "--rm", "--network", "none", "--memory", "32m", "busybox", "cat", "/sys/fs/cgroup/memory.max"),
         str(32 * MIB))  # fmt: skip
    other.stop()
    same([str(path) for path in CGROUPS.glob("boxship*")], [])
    return "run on a tmpfs data root"


@check
def pods(host: Host) -> str:
    """A pod's cgroup holds those of its containers, with limits on both floors; all of it goes with the pod."""
    tests = Path(__file__).parent.parent
    sys.path[:0] = [str(tests), str(tests / "cluster" / "machine")]
    from machine_kit import Remote, request, sandbox

    from boxship.spec.container import Resources

    home = Path(tempfile.mkdtemp(prefix="bx"))
    remote = Remote(home)
    remote.start()
    limited = Resources(cpu_shares=512, memory=64 * MIB, memory_swap=64 * MIB, pids_limit=50)
    remote.call("create_sandbox", sandbox(remote.cgroup, "one", resources=limited))
    made = remote.call("create", request("one", "exec sleep 1000", resources=Resources(memory=32 * MIB)))
    remote.call("start", made["id"])
    group = CGROUPS / remote.cgroup / "burstable" / "podone"
    wanted = {"memory.max": str(64 * MIB), "memory.swap.max": "0", "pids.max": "50", "cpu.weight": "20"}
    same({name: (group / name).read_text().strip() for name in wanted}, wanted, "the pod's")
    same((group.parent / "cpu.weight").read_text().strip(), "20", "the weight of all pods together")
    inner = group / made["id"]
    same((inner / "memory.max").read_text().strip(), str(32 * MIB), "the container's")
    assert (inner / "cgroup.procs").read_text().split(), "no process in the container's cgroup"
    remote.call("update_sandbox", "one", {"memory": 96 * MIB, "memory_swap": 96 * MIB, "pids_limit": 60})
    same((group / "memory.max").read_text().strip(), str(96 * MIB), "after the update")
    (used,) = remote.call("usage")[1]
    assert used["pod"]["memory"] and used["containers"]["main"]["cpu"], used
    remote.kill()
    remote.start()
    assert remote.call("sandboxes")[0]["ready"], "not found again"
    remote.stop()
    same([str(path) for path in CGROUPS.glob("boxship-pods*")], [])
    return f"limits of the pod and its container, {used['pod']['memory']} bytes used, nothing left"


PLACES = "/ /bin/sh /etc/hosts /dev/shm /disk /memory /part /config/colour /secret/word /image/bin/sh /programs/sh"
OWNERS = f"stat -c %u:%g {PLACES}"


@check
def pods_with_users_of_their_own(host: Host) -> str:
    """Root inside is nobody outside, the image's files are root's, volumes of all kinds have their owners; it all goes
    with the pod. The data root is on ext4, the run root in memory, as on most machines."""
    tests = Path(__file__).parent.parent
    sys.path[:0] = [str(tests), str(tests / "cluster" / "machine")]
    from machine_kit import Remote

    home = Path(tempfile.mkdtemp(prefix="bx", dir="/var/lib"))
    (home / "run").mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", "mode=711", "tmpfs", home / "run"], check=True)
    remote = Remote(home)
    remote.start()
    seen = [_own_users(remote, runtime) for runtime in ("crun", "runc")]
    same(os.stat("/dev/null").st_uid, 0, "the machine's /dev/null")
    remote.stop()
    same([str(path) for path in CGROUPS.glob("boxship-pods*")], [])
    return "; ".join(seen)


def _own_users(remote: Any, runtime: str) -> str:
    from machine_kit import request, sandbox

    uid = f"own-{runtime}"
    volumes = [
        {"name": "disk", "emptyDir": {}},
        {"name": "memory", "emptyDir": {"medium": "Memory"}},
        {"name": "config", "configMap": {"name": "colours"}},
        {"name": "secret", "secret": {"secretName": "hush", "defaultMode": 0o400}},
        {"name": "image", "image": {"reference": "busybox:latest"}},
    ]
    places = [{"name": volume["name"], "mountPath": f"/{volume['name']}"} for volume in volumes]
    places.append({"name": "disk", "mountPath": "/part", "subPath": "a/b"})
    places.append({"name": "image", "mountPath": "/programs", "subPath": "bin"})
    pod = {
        "metadata": {"uid": uid, "name": uid, "namespace": "default"},
        "spec": {
            "hostUsers": False,
            "securityContext": {"fsGroup": 2000},
            "volumes": volumes,
            "containers": [{"name": "main", "volumeMounts": places}],
        },
    }
    objects = {
        "v1/configmaps": {"colours": {"data": {"colour": "red"}}},
        "v1/secrets": {"hush": {"data": {"word": "aHVzaA=="}}},
    }
    mounts = remote.call("pod_mounts", pod, objects)
    remote.call("create_sandbox", sandbox(remote.cgroup, uid, own_users=True, runtime=runtime))
    script = f"exec >/disk/said 2>&1; {OWNERS}; cat /config/colour /secret/word; echo; cat /proc/self/uid_map"
    made = remote.call("create", request(uid, f"({script}); touch /new /disk/ended; exec sleep 1000", mounts=mounts))
    remote.call("start", made["id"])
    as_user = "cat /config/colour /secret/word >/disk/user 2>&1; touch /memory/mine; exec sleep 1000"
    user = {"mounts": mounts, "user": "1000:1001", "groups": ("2000",)}
    other = remote.call("create", request(uid, as_user, name="user", **user))
    remote.call("start", other["id"])
    disk = next(Path(mount["source"]) for mount in mounts if mount["target"] == "/disk")
    until((disk / "ended").exists, "the container's words")
    *owners, words, ids = (disk / "said").read_text().splitlines()
    wanted = ["0:0", "0:0", "0:0", "0:0", "0:2000", "0:2000", "0:2000", "0:2000", "0:2000", "0:0", "0:0"]
    same((owners, words), (wanted, "redhush"), OWNERS)
    first = int(ids.split()[1])
    same((ids.split()[::2], first >= 65536), (["0", "65536"], True), "uid_map")
    until(lambda: (disk / "user").exists() and (disk / "user").read_text() == "redhush", "what the user reads")
    same(((disk / "ended").stat().st_uid, (disk / "user").stat().st_uid), (0, 1000), "owners on the disk")
    remote.call("remove_sandbox", uid, logs=True)
    remote.call("release", uid)
    same(remote.call("ranges"), {}, "ranges of ids")
    left = [line for line in Path(f"/proc/{remote.process.pid}/mountinfo").read_text().splitlines() if uid in line]
    same(
        (left, list((remote.run / "mapped").glob("*")), disk.exists()), ([], [], False), "mounts, shown roots, volumes"
    )
    return f"{runtime}: {ids.split()}, {' '.join(owners)}"


def main() -> int:
    """All checks in order, or those named; the number of failures."""
    wanted = set(sys.argv[1:])
    for line in VERBS:
        importlib.import_module(f"boxship.cli.verbs.{line[0]}")
    host = Host("/run/boxship-test", "/var/lib/boxship-test")
    host("base", "busybox")
    failures = 0
    for name, function in CHECKS:
        if wanted and name not in wanted:
            continue
        begun = time.monotonic()
        try:
            seen = function(host)
        except Exception as error:
            failures += 1
            where = traceback.extract_tb(error.__traceback__)
            place = next((frame.lineno for frame in where if frame.name == name), 0)
            reason = " ".join(str(error).split()) or type(error).__name__
            print(f"FAILED {name} (line {place}): {reason}", flush=True)
            host.tidy()
            continue
        print(f"ok {name} ({time.monotonic() - begun:.1f} s): {seen}", flush=True)
    print(f"{failures} of the checks failed" if failures else "all checks passed", flush=True)
    if failures:
        print(host.log.read_text()[-3000:])
    return min(failures, 100)


if __name__ == "__main__":
    sys.exit(main())
