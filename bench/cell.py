"""A closed cell per engine: new mount, process and network namespaces, and a client's place outside its network.

When the cell's first process ends, the kernel ends every other one in it and takes back all mounts, interfaces and
rules. Only control groups and the engine's folder remain, and the parent removes these.
"""

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

GATE_ADDRESS = "10.254.0.1"  # the engine's machine, as the world sees it
WORLD_ADDRESS = "10.254.0.2"


class Cell:
    """The parent's side: a runner behind pipes."""

    def __init__(self, engine: str, folder: Path) -> None:
        self.engine = engine
        command = ["unshare", "--mount", "--net", "--pid", "--fork", "--kill-child", "--mount-proc"]
        command += [sys.executable, "-m", "bench.runner", engine, str(folder)]
        self.process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        self._answer()

    def ask(self, measure: str, rounds: int) -> dict[str, list[float]]:
        """Take a measure. Raises RuntimeError with the runner's reason."""
        assert self.process.stdin
        self.process.stdin.write(json.dumps({"measure": measure, "rounds": rounds}) + "\n")
        self.process.stdin.flush()
        return dict(self._answer()["series"])

    def _answer(self) -> dict[str, Any]:
        assert self.process.stdout
        line = self.process.stdout.readline()
        if not line:
            raise RuntimeError(f"the runner of {self.engine} ended with {self.process.wait()}")
        answer = json.loads(line)
        if "error" in answer:
            raise RuntimeError(answer["error"])
        return dict(answer)

    def close(self) -> None:
        assert self.process.stdin
        self.process.stdin.close()
        try:
            self.process.wait(60)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()


class World:
    """The runner's side: a second network namespace at the other end of a cable, where clients sit."""

    def __init__(self) -> None:
        self.holder = subprocess.Popen(["unshare", "--net", "sleep", "infinity"])
        while os.readlink(f"/proc/{self.holder.pid}/ns/net") == os.readlink("/proc/self/ns/net"):
            os.sched_yield()
        here = [
            "ip link set lo up",
            f"ip link add gate0 type veth peer name world0 netns {self.holder.pid}",
            f"ip address add {GATE_ADDRESS}/24 dev gate0",
            "ip link set gate0 up",
        ]
        there = [
            "ip link set lo up",
            f"ip address add {WORLD_ADDRESS}/24 dev world0",
            "ip link set world0 up",
        ]
        for line in here:
            subprocess.run(line.split(), check=True)
        for line in there:
            subprocess.run([*self.enter(), *line.split()], check=True)
        subprocess.run(f"ip route add default via {WORLD_ADDRESS}".split(), check=True)

    def enter(self) -> list[str]:
        return ["nsenter", f"--net=/proc/{self.holder.pid}/ns/net", "--"]

    def fetch(self, url: str, rounds: int) -> list[float]:
        """Milliseconds of `rounds` requests, each with a connection of its own, or MB/s where the page is large."""
        command = [*self.enter(), sys.executable, "-m", "bench.fetch", url, str(rounds)]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        if done.returncode:
            raise RuntimeError(f"cannot fetch {url}: {done.stderr[-500:]}")
        return [float(word) for word in done.stdout.split()]


def control_groups() -> set[Path]:
    return {Path(folder) for folder, _, _ in os.walk("/sys/fs/cgroup")}


def remove_control_groups(before: set[Path]) -> list[Path]:
    """Take back the groups that were not there before; those that still hold processes are returned."""
    left = []
    for group in sorted(control_groups() - before, key=lambda path: -len(path.parts)):
        try:
            group.rmdir()
        except OSError:
            left.append(group)
    return left
