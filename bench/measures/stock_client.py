"""The stock client's own wall time, process start included; against our engine, our client too."""

import os
import subprocess
import sys
from pathlib import Path

from bench.client import IMAGE
from bench.figures import Series, timed


def measure(place, rounds: int) -> Series:
    host = f"unix://{place.engine.socket}"
    commands = {
        "docker run --rm": ["docker", "-H", host, "run", "--rm", IMAGE, "true"],
        "docker ps": ["docker", "-H", host, "ps"],
    }
    if place.engine.name == "boxship":
        program = str(Path(sys.executable).with_name("boxship"))
        commands["boxship run --rm"] = [program, "-H", host, "run", "--rm", IMAGE, "true"]
        commands["boxship ps"] = [program, "-H", host, "ps"]
    return {name: [run(command) for _ in range(rounds + 2)][2:] for name, command in commands.items()}


def run(command: list[str]) -> float:
    environment = {**os.environ, "DOCKER_API_VERSION": "1.40"}

    def once() -> None:
        done = subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, env=environment, check=False)
        if done.returncode:
            raise RuntimeError(f"{' '.join(command)}: {done.stderr[-300:]!r}")

    return timed(once)
