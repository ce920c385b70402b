"""Mixed load on one instance from several threads, with a ledger of what was acknowledged.

Each worker has containers, a network and volumes of its own, so that it knows what to expect of them. A request whose
reply never came leaves its subject in doubt: both outcomes are right. After a crash and a restart `Load.settle`
compares what is there with the ledger, and the load can go on with the same containers.
"""

import collections
import contextlib
import os
import random
import signal
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from faults_client import Client, Lost, Refused
from faults_instance import alive, eventually
from test_faults_chosen import archive

LONG = ["sh", "-c", "trap 'exit 7' TERM; echo ready; sleep 1000 & wait $!"]
LINES = 40  # that a short container prints
CONTAINERS = 4  # of each worker
MISSING, CREATED, RUNNING, PAUSED, EXITED = "missing", "created", "running", "paused", "exited"


def short_command(code: int) -> list[str]:
    """Prints LINES numbered lines over a third of a second, then ends with the code."""
    half = LINES // 2
    script = f"i=0; while [ $i -lt {half} ]; do echo line-$i; i=$((i+1)); done; sleep 0.3; "
    script += f"while [ $i -lt {LINES} ]; do echo line-$i; i=$((i+1)); done; exit {code}"
    return ["sh", "-c", script]


@dataclass
class Box:
    """What is known of one container."""

    name: str
    short: bool
    code: int  # it ends with this by itself (short), by stop (7), by kill (137)
    states: set[str] = field(default_factory=lambda: {MISSING})  # what may be
    identifier: str = ""
    pid: int = 0  # of an acknowledged start of a long one
    started: bool = False  # acknowledged, or in doubt
    doubted: bool = False  # the last start was never answered: it may have been taken back in the middle
    codes: set[int] = field(default_factory=set)
    joined: set[bool] = field(default_factory=lambda: {False})
    volume: str = ""


class Worker:
    """One client that does one thing after the other until the daemon goes or it is told to stop."""

    def __init__(self, client: Client, number: int, seed: int) -> None:
        self.client = client
        self.random = random.Random(f"{seed}/{number}")
        self.number = number
        self.boxes: dict[str, Box] = {}
        self.execs: dict[str, tuple[str, int]] = {}  # acknowledged detached execs: container, exit code
        self.volumes: dict[str, set[str]] = {}
        self.images: dict[str, set[str]] = {}
        self.network = f"net{number}"
        self.failure: BaseException | None = None
        self.done = 0
        self.doing = ""
        self.history: collections.deque[str] = collections.deque(maxlen=12)
        self.brief: str | None = None  # a container with AutoRemove whose start is under way
        self._serial = 0

    def run(self, stop: threading.Event) -> None:
        """Work until the daemon goes away; anything but that is a failure."""
        try:
            with contextlib.suppress(Refused):
                self.client.post("/networks/create", {"Name": self.network})
            while not stop.is_set():
                self._step()
                self.done += 1
        except Lost:
            return
        except BaseException as error:
            self.failure = error

    def _step(self) -> None:
        made = [box for box in self.boxes.values() if MISSING not in box.states]
        actions: list[tuple[int, Callable[[], None]]] = [(2, self._volume), (1, self._image)]
        if len(made) < CONTAINERS:
            actions.append((8, self._create))
        for state, weight, act in (
            (CREATED, 12, self._start),
            (EXITED, 1, self._start),
            (EXITED, 3, self._remove),
            (RUNNING, 2, self._stop),
            (RUNNING, 2, self._kill),
            (RUNNING, 2, self._remove),
            (RUNNING, 4, self._exec),
            (RUNNING, 3, self._exec_detached),
            (RUNNING, 3, self._connect),
            (RUNNING, 1, self._follow),
            (RUNNING, 2, self._restart),
            (RUNNING, 2, self._pause),
            (PAUSED, 6, self._unpause),
            (PAUSED, 1, self._remove),
        ):
            chosen = [box for box in made if box.states == {state} and not (state == RUNNING and box.short)]
            if chosen:
                box = self.random.choice(chosen)
                actions.append((weight, lambda act=act, box=box: act(box)))  # type: ignore[misc]
        if self.brief is None:
            actions.append((2, self._run_brief))
        ending = [box for box in made if box.short and box.started and box.states & {RUNNING}]
        if ending:
            actions.append((6, lambda: self._await_end(self.random.choice(ending))))
        weights = [weight for weight, _ in actions]
        chosen_act = self.random.choices([act for _, act in actions], weights)[0]
        self.doing = chosen_act.__name__
        for default in chosen_act.__defaults__ or ():
            if isinstance(default, Box):
                self.doing += f" {default.name}"
            elif callable(default):
                self.doing += f" {default.__name__}"
        self.history.append(self.doing)
        chosen_act()

    def _create(self) -> None:
        self._serial += 1
        short = self.random.random() < 0.4
        box = Box(f"c{self.number}-{self._serial}", short, self.random.randrange(1, 100) if short else 7)
        self.boxes[box.name] = box
        box.states = {MISSING, CREATED}
        config: dict[str, Any] = {}
        if self.random.random() < 0.3:
            config["HostConfig"] = {"PortBindings": {"80/tcp": [{"HostPort": ""}]}}
        if self.random.random() < 0.2:
            config["Healthcheck"] = {"Test": ["CMD", "true"], "Interval": 50_000_000}
        if self.random.random() < 0.3:
            config["Volumes"] = {"/anonymous": {}}
        if self.random.random() < 0.2:
            config.setdefault("HostConfig", {})["NetworkMode"] = "none"
            box.joined = {False, True}  # a network can't be joined from there; never asked for
        box.identifier = self.client.create(box.name, short_command(box.code) if short else LONG, **config)
        box.states = {CREATED}

    def _start(self, box: Box) -> None:
        before = set(box.states)
        box.pid, box.codes = 0, {box.code, *box.codes}
        box.states = before | {RUNNING, EXITED} if box.short else before | {RUNNING}
        box.started = box.doubted = True
        self.client.post(f"/containers/{box.name}/start")
        box.doubted, box.codes = False, {box.code}
        box.states = {RUNNING, EXITED} if box.short else {RUNNING}
        if not box.short:
            box.pid = self.client.state(box.name)["Pid"]

    def _await_end(self, box: Box) -> None:
        assert self.client.wait(box.name) == box.code, f"{box.name}: {self.client.state(box.name)}"
        box.states = {EXITED}

    def _stop(self, box: Box) -> None:
        self._follow(box)  # before its trap is set, its process 1 would ignore the signal
        box.states, box.codes, box.pid = {RUNNING, EXITED}, {7}, 0
        self.client.post(f"/containers/{box.name}/stop", t=20)
        box.states = {EXITED}

    def _kill(self, box: Box) -> None:
        box.states, box.codes, box.pid = {RUNNING, EXITED}, {137}, 0
        self.client.post(f"/containers/{box.name}/kill")
        box.states = {EXITED}

    def _remove(self, box: Box) -> None:
        box.states, box.codes = {MISSING, PAUSED, RUNNING, EXITED, CREATED}, {137, *box.codes}
        self.client.remove(box.name)
        del self.boxes[box.name]

    def _restart(self, box: Box) -> None:
        self._follow(box)
        box.states, box.codes, box.pid = {RUNNING, EXITED}, {7}, 0
        self.client.post(f"/containers/{box.name}/restart", t=20)
        box.states = {RUNNING}
        box.pid = self.client.state(box.name)["Pid"]

    def _pause(self, box: Box) -> None:
        box.states = {RUNNING, PAUSED}
        self.client.post(f"/containers/{box.name}/pause")
        box.states = {PAUSED}

    def _unpause(self, box: Box) -> None:
        box.states = {RUNNING, PAUSED}
        self.client.post(f"/containers/{box.name}/unpause")
        box.states = {RUNNING}

    def _run_brief(self) -> None:
        """A container that ends and is removed by itself, whoever looks."""
        self._serial += 1
        name = f"b{self.number}-{self._serial}"
        self.brief = name
        config = {"HostConfig": {"AutoRemove": True}, "Volumes": {"/anonymous": {}}}
        self.client.create(name, ["sh", "-c", "sleep 0.1; exit 3"], **config)
        self.client.post(f"/containers/{name}/start")
        self.brief = None

    def _settle_brief(self) -> list[str]:
        """One whose start was never answered may have been taken back to created; all others go by themselves."""
        doubted, self.brief = self.brief, None
        if doubted and self._exists(f"/containers/{doubted}/json") and self.client.state(doubted)["Status"] == CREATED:
            self.client.remove(doubted)
        prefix = f"/b{self.number}-"

        def left() -> list[str]:
            names = [name for row in self.client.get("/containers/json", all=1) for name in row["Names"]]
            return [name for name in names if name.startswith(prefix)]

        try:
            eventually(lambda: not left(), 15, "containers with AutoRemove go")
        except AssertionError as error:
            return [f"{left()}: {error}"]
        return []

    def _exec(self, box: Box) -> None:
        code = self.random.randrange(100)
        found = self.client.exec(box.name, ["sh", "-c", f"echo said-{code}; exit {code}"])
        assert found == (code, f"said-{code}\n"), f"exec in {box.name}: {found}, expected {code}"

    def _exec_detached(self, box: Box) -> None:
        code = self.random.randrange(100)
        made = self.client.post(f"/containers/{box.name}/exec", {"Cmd": ["sh", "-c", f"sleep 0.2; exit {code}"]})
        self.client.post(f"/exec/{made['Id']}/start", {"Detach": True})
        self.execs[made["Id"]] = (box.name, code)

    def _connect(self, box: Box) -> None:
        if len(box.joined) == 2:
            return
        verb = "disconnect" if box.joined == {True} else "connect"
        box.joined = {True, False}
        self.client.post(f"/networks/{self.network}/{verb}", {"Container": box.name})
        box.joined = {verb == "connect"}

    def _follow(self, box: Box) -> None:
        """Read the log until it says that the container is ready, then go away without a word."""
        text = b""
        pieces = self.client.stream("GET", f"/containers/{box.name}/logs", follow=1, stdout=1)
        for piece in pieces:
            text += piece
            if b"ready" in text:
                pieces.close()  # type: ignore[attr-defined]
                break

    def _volume(self) -> None:
        kept = [name for name, states in self.volumes.items() if states == {CREATED}]
        if len(kept) < 2:
            self._serial += 1
            name = f"v{self.number}-{self._serial}"
            self.volumes[name] = {MISSING, CREATED}
            self.client.post("/volumes/create", {"Name": name})
            self.volumes[name] = {CREATED}
        else:
            name = self.random.choice(kept)
            self.volumes[name] = {MISSING, CREATED}
            self.client.delete(f"/volumes/{name}")
            del self.volumes[name]

    def _image(self) -> None:
        kept = [name for name, states in self.images.items() if states == {CREATED}]
        if not kept:
            self._serial += 1
            name = f"i{self.number}:{self._serial}"
            self.images[name] = {MISSING, CREATED}
            self.client.call("POST", "/images/load", archive(name))
            self.images[name] = {CREATED}
        else:
            self.images[kept[0]] = {MISSING, CREATED}
            self.client.delete(f"/images/{kept[0]}")
            del self.images[kept[0]]

    # after the restart

    def settle(self) -> list[str]:
        """Differences between the ledger and what is there; afterwards the ledger is what is there."""
        problems = []
        for box in list(self.boxes.values()):
            problems += self._settle(box)
        for run, (name, code) in self.execs.items():
            problems += self._settle_exec(run, name, code)
        self.execs.clear()
        problems = [f"{problem}; before: {', '.join(self.history)}" for problem in problems]
        self.history.append("crash")
        problems += self._settle_brief()
        for kind, ledger in (("volumes", self.volumes), ("images", self.images)):
            for name, states in list(ledger.items()):
                there = CREATED if self._exists(f"/{kind}/{name}" + ("/json" if kind == "images" else "")) else MISSING
                if there not in states:
                    problems.append(f"{kind} {name} is {there}, expected {sorted(states)}")
                ledger[name] = {there}
                if there == MISSING:
                    del ledger[name]
        return problems

    def _exists(self, path: str) -> bool:
        try:
            self.client.get(path)
        except Refused as error:
            if error.status != 404:
                raise
            return False
        return True

    def _settle(self, box: Box) -> list[str]:
        if not self._exists(f"/containers/{box.name}/json"):
            del self.boxes[box.name]
            return [] if MISSING in box.states else [f"{box.name} is missing, expected {sorted(box.states)}"]
        seen = self.client.inspect(box.name)
        state = seen["State"]["Status"]
        problems = (
            []
            if state in box.states
            else [f"{box.name} is {state}, expected {sorted(box.states)}: {box}, {seen['State']}"]
        )
        if box.identifier and box.identifier != seen["Id"]:
            problems.append(f"{box.name} has the id {seen['Id']}, acknowledged was {box.identifier}")
        if box.pid and state in (RUNNING, PAUSED) and seen["State"]["Pid"] != box.pid:
            problems.append(f"{box.name} has pid {seen['State']['Pid']}, before the crash it was {box.pid}")
        if box.short and box.started and state in (RUNNING, EXITED):
            problems += self._settle_short(box)
            state = EXITED
        elif state == EXITED and seen["State"]["ExitCode"] not in box.codes:
            problems.append(f"{box.name} ended with {seen['State']['ExitCode']}, expected {sorted(box.codes)}")
        elif state in (RUNNING, PAUSED) and EXITED in box.states:  # its end may be under way: make it sure
            self.client.post(f"/containers/{box.name}/stop", t=20)
            state = EXITED
        joined = self.network in seen["NetworkSettings"]["Networks"]
        if state in (RUNNING, PAUSED) and joined not in box.joined:
            problems.append(f"{box.name} is on {self.network}: {joined}, expected {box.joined}")
        box.states = {state}
        box.identifier = seen["Id"]
        now = self.client.state(box.name)
        box.pid = now["Pid"]
        if state == EXITED:
            box.codes = {now["ExitCode"]}
        box.joined = {joined} if len(box.joined) == 1 or seen["HostConfig"]["NetworkMode"] != "none" else box.joined
        return problems

    def _settle_short(self, box: Box) -> list[str]:
        """A short container that ran ends with its own code, and its log is whole."""
        allowed = box.codes | {box.code}
        code = self.client.wait(box.name)
        found = self.client.state(box.name)
        problems = []
        if code not in allowed or found["ExitCode"] != code:
            problems.append(f"{box.name}: wait says {code}, inspect {found['ExitCode']}, expected {sorted(allowed)}")
        if code == box.code and 137 not in allowed:
            said = [line for line in self.client.logs(box.name).splitlines() if line]
            expected = [f"line-{number}" for number in range(LINES)]
            if not box.doubted and said[-LINES:] != expected:
                problems.append(f"{box.name}: its log has {len(said)} lines, its end is {said[-3:]}")
        return problems

    def _settle_exec(self, run: str, name: str, code: int) -> list[str]:
        """An exec whose start was acknowledged is known, and ended as it said, unless its container was ended."""
        if name not in self.boxes or self.boxes[name].states != {RUNNING}:
            return []
        state = eventually(lambda: _ended_exec(self.client, run), 15, f"exec {run[:12]} of {name} ends")
        return [] if state["ExitCode"] in (code, 137) else [f"exec of {name} ended with {state}, expected {code}"]


def _ended_exec(client: Client, run: str) -> dict[str, Any] | None:
    try:
        state = dict(client.get(f"/exec/{run}/json"))
    except Refused as error:
        if error.status == 404:  # its container was stopped meanwhile, or it ended long ago
            return {"ExitCode": 137}
        raise
    return None if state["Running"] else state


class Load:
    """Several workers at once."""

    def __init__(self, client: Client, seed: int, workers: int = 4) -> None:
        self.workers = [Worker(client, number, seed) for number in range(workers)]
        self._threads: list[threading.Thread] = []
        self._stop = threading.Event()

    def begin(self) -> None:
        """Let the workers work."""
        self._stop.clear()
        self._threads = [threading.Thread(target=worker.run, args=(self._stop,)) for worker in self.workers]
        for thread in self._threads:
            thread.start()

    def end(self, seconds: float = 60.0) -> None:
        """Wait until the workers have stopped; raise what one of them met."""
        self._stop.set()
        deadline = time.monotonic() + seconds
        for thread in self._threads:
            thread.join(max(0.1, deadline - time.monotonic()))
            assert not thread.is_alive(), "a worker hangs"
        for worker in self.workers:
            if worker.failure is not None:
                raise AssertionError(f"worker {worker.number}: {worker.failure!r}") from worker.failure

    def kill_something(self, dice: random.Random) -> str:
        """While the daemon is dead: kill a container's conmon or its process; what was done."""
        boxes = [box for worker in self.workers for box in worker.boxes.values() if box.pid and box.states == {RUNNING}]
        if not boxes:
            return ""
        box = dice.choice(boxes)
        try:
            ours = box.identifier in Path(f"/proc/{box.pid}/cgroup").read_text()
            monitor = int(Path(f"/proc/{box.pid}/stat").read_text().rpartition(")")[2].split()[1])
            ours = ours and box.identifier in Path(f"/proc/{monitor}/cmdline").read_text()
        except OSError:
            ours = False
        if not ours:  # it has ended by itself
            return ""
        which = dice.choice(("conmon", "process"))
        killed = monitor if which == "conmon" else box.pid
        os.kill(killed, signal.SIGKILL)
        eventually(lambda: not alive(killed), 10, f"process {killed} ends")
        box.pid, box.states, box.codes = 0, {EXITED}, {137}
        return f", {which} of {box.name}"

    @property
    def working(self) -> bool:
        """Whether any worker still works."""
        return any(thread.is_alive() for thread in self._threads)

    def doing(self) -> str:
        """What each worker does now, for the report of a hang."""
        return ", ".join(f"{worker.number}: {worker.doing}" for worker in self.workers)

    @property
    def done(self) -> int:
        """Operations that were acknowledged."""
        return sum(worker.done for worker in self.workers)

    def settle(self) -> None:
        """After the restart: raise AssertionError naming everything that was acknowledged and is not so."""
        problems = [problem for worker in self.workers for problem in worker.settle()]
        assert not problems, "\n".join(problems)
