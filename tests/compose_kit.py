"""Compose programs and what a scenario asks of them: one project in a folder of its own, run by any of the programs and
looked at through the engine's API. `EVERY` and `CURRENT` say which programs a scenario runs with."""

import contextlib
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import textwrap
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import docker.errors
import pytest
from docker import DockerClient

from daemons import PROJECT, Daemon, docker_program, until
from terminals import Terminal, on_terminal

PEERS = PROJECT / "build" / "compose"
SECONDS = 20.0  # the longest that a condition may take

# The stock v2 program and ours; with 1.29 beside them where its file format and verbs know what the scenario is about.
# 1.29 needs a second for each call: it goes through most of them in the slow tests only, as the newest v2 does.
SLOW = [pytest.param(name, marks=pytest.mark.slow) for name in ("newest", "v1")]
CURRENT = pytest.mark.parametrize("program", ["v2", "boxship", SLOW[0]], indirect=True)
EVERY = pytest.mark.parametrize("program", ["v2", "boxship", *SLOW], indirect=True)
ALWAYS = pytest.mark.parametrize("program", ["v2", "alone", "boxship", "v1", SLOW[0]], indirect=True)
OURS = pytest.mark.parametrize("program", ["boxship", SLOW[0]], indirect=True)  # what Debian's stable v2 is too old for
FOLDERS = {"v2": "v2", "alone": "v2", "newest": "v2-current", "v1": "v1"}  # below build/compose
LABEL = "com.docker.compose"
CONTROLS = re.compile(r"\x1b\[[0-9;?]*[A-Za-z]")  # v2 erases the line before it prints a log, also into a pipe


class Program:
    """One Compose program: how it is called and how it spells names."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.between = "_" if name == "v1" else "-"  # in containers' names; networks and volumes always have "_"
        self.is_v2 = name in ("v2", "alone", "newest")

    def words(self, daemon: Daemon) -> list[str]:
        """The beginning of its command line."""
        if self.name in ("v2", "newest"):
            return [docker_program(), "compose"]
        if self.name == "boxship":
            return [str(Path(sys.executable).parent / "boxship"), "--host", daemon.url, "compose"]
        return [str(PEERS / FOLDERS[self.name] / "docker-compose")]

    def environment(self, daemon: Daemon) -> dict[str, str]:
        """The caller's, without what speaks to Compose programs; the docker client has this program as its plugin."""
        own = {name: value for name, value in os.environ.items() if not name.startswith(("COMPOSE_", "DOCKER_"))}
        place = str(Path(docker_program()).parent)
        return {
            **own,
            "BOXSHIP_HOST": daemon.url,
            "DOCKER_HOST": daemon.url,
            "DOCKER_CONFIG": str(self._settings(daemon)),
            "DOCKER_BUILDKIT": "0",
            "PATH": f"{place}:{own.get('PATH', os.defpath)}",
        }

    def missing(self, daemon: Daemon) -> str:
        """Why the scenarios cannot run with this program, "" when they can."""
        if self.name in FOLDERS:
            program = PEERS / FOLDERS[self.name] / "docker-compose"
            if not program.exists():
                return f"no {program}: run tools/compose-peers.sh --current on a Debian 12"
            plugin = self._settings(daemon) / "cli-plugins" / "docker-compose"
            plugin.parent.mkdir(parents=True, exist_ok=True)
            if not plugin.exists():
                plugin.symlink_to(program)
        asked = [*self.words(daemon), "version"]
        done = subprocess.run(asked, capture_output=True, text=True, env=self.environment(daemon), check=False)
        return "" if done.returncode == 0 else f"{' '.join(asked)}: {done.stderr.strip()[:200]}"

    def _settings(self, daemon: Daemon) -> Path:
        return daemon.home / f"client-{self.name}"


class Project:
    """One Compose project in a folder of its own; whatever carries its name goes at the end of the test."""

    def __init__(self, program: Program, daemon: Daemon, client: DockerClient, folder: Path, name: str) -> None:
        self.program, self.daemon, self.client = program, daemon, client
        self.folder, self.name = folder, name
        self.environment = program.environment(daemon)
        folder.mkdir(parents=True, exist_ok=True)

    # files

    def file(self, text: str, name: str = "compose.yaml") -> Path:
        """Write a file of the project's folder."""
        path = self.folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(textwrap.dedent(text).lstrip("\n"))
        return path

    # the program

    def words(self, *words: str) -> list[str]:
        """The whole command line. The folder names the project: with -p, the v2 program does not read the file."""
        return [*self.program.words(self.daemon), *words]

    def compose(
        self,
        *words: str,
        check: bool = True,
        data: str = "",
        timeout: float = 60,
        env: Mapping[str, str] | None = None,
        folder: Path | None = None,
    ) -> "subprocess.CompletedProcess[str]":
        """Run the program to its end, in the project's folder."""
        process = subprocess.Popen(
            self.words(*words),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            errors="replace",
            env={**self.environment, **(env or {})},
            cwd=folder or self.folder,
            start_new_session=True,
        )
        try:
            output, complaints = process.communicate(data, timeout)
        except subprocess.TimeoutExpired:
            end_all(process)  # a plugin is a process of its own, and has the pipes
            output, complaints = process.communicate()
            raise AssertionError(f"compose {' '.join(words)} takes too long:\n{output}{complaints}") from None
        output, complaints = CONTROLS.sub("", output), CONTROLS.sub("", complaints)
        done = subprocess.CompletedProcess(process.args, process.returncode, output, complaints)
        assert not check or done.returncode == 0, f"compose {' '.join(words)}: {done.returncode}\n{_both(done)}"
        return done

    def prints(self, *words: str, **options: Any) -> str:
        """What the program prints; it has to succeed."""
        return self.compose(*words, **options).stdout

    def fails(self, *words: str, **options: Any) -> str:
        """What the program complains of; it has to fail."""
        done = self.compose(*words, check=False, **options)
        assert done.returncode != 0, f"compose {' '.join(words)} succeeds:\n{_both(done)}"
        return _both(done)

    @contextlib.contextmanager
    def started(self, *words: str, env: Mapping[str, str] | None = None) -> Iterator["Running"]:
        """The program in the background; ended at the end if it has not ended."""
        log = self.folder / f".{len(list(self.folder.iterdir()))}.log"
        with log.open("wb") as place:
            process = subprocess.Popen(
                self.words(*words),
                stdin=subprocess.DEVNULL,
                stdout=place,
                stderr=place,
                env={**self.environment, **(env or {})},
                cwd=self.folder,
                start_new_session=True,
            )
        try:
            yield Running(process, log)
        finally:
            end_all(process)

    def terminal(self, *words: str, columns: int = 111) -> contextlib.AbstractContextManager[Terminal]:
        """The program on a terminal of its own."""
        environment = {**self.environment, "TERM": "xterm"}
        return on_terminal(self.words(*words), environment, folder=self.folder, columns=columns)

    # what the engine says

    def containers(self, service: str = "", *, all: bool = True, one_off: bool = False) -> list[dict[str, Any]]:
        """Full descriptions of the project's containers, by service and number."""
        labels = [f"{LABEL}.project={self.name}", f"{LABEL}.oneoff={one_off}"]
        if service:
            labels.append(f"{LABEL}.service={service}")
        listed = self.client.api.containers(all=all, filters={"label": labels})
        found = []
        for entry in listed:
            with contextlib.suppress(docker.errors.NotFound):  # gone meanwhile
                found.append(self.client.api.inspect_container(entry["Id"]))
        return sorted(found, key=_place)

    def one(self, service: str) -> dict[str, Any]:
        """The description of a service's only container."""
        found = self.containers(service)
        assert len(found) == 1, f"{service}: {[entry['Name'] for entry in found]}"
        return found[0]

    def id(self, service: str) -> str:
        return str(self.one(service)["Id"])

    def ids(self, *services: str) -> dict[str, str]:
        return {service: self.id(service) for service in services}

    def name_of(self, service: str, number: int = 1) -> str:
        """The name that the program gives a container."""
        return self.program.between.join((self.name, service, str(number)))

    def states(self) -> dict[str, str]:
        """Container's service and number → status."""
        return {f"{label(entry, 'service')}{number(entry)}": entry["State"]["Status"] for entry in self.containers()}

    def becomes(self, service: str, status: str) -> None:
        until(lambda: self.one(service)["State"]["Status"] == status, SECONDS, f"{service} is {status}")

    def log(self, service: str) -> str:
        """What a service's only container said."""
        return self.client.api.logs(self.id(service)).decode(errors="replace")  # type: ignore[no-any-return]

    def says(self, service: str, text: str) -> None:
        until(lambda: text in self.log(service), SECONDS, f"{service} says {text!r}")

    def inside(self, service: str, script: str, *, number: int = 1, check: bool = True) -> str:
        """The output of a script in a running container of the service. By the stock client: docker-py loses what comes
        in one piece with the head of the answer, as it does where the machine is busy."""
        entry = next(entry for entry in self.containers(service) if globals()["number"](entry) == number)
        done = subprocess.run(
            [docker_program(), "exec", entry["Id"], "sh", "-c", script],
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            timeout=60,
            env=self.environment,
            check=False,
        )
        output = done.stdout.decode(errors="replace").strip()
        assert not check or done.returncode == 0, f"{service}: {script}: {done.returncode} {output}"
        return output

    def volumes(self) -> dict[str, dict[str, Any]]:
        """The project's named volumes, by name."""
        found = self.client.api.volumes(filters={"label": f"{LABEL}.project={self.name}"})["Volumes"] or []
        return {entry["Name"]: entry for entry in found}

    def networks(self) -> dict[str, dict[str, Any]]:
        """Full descriptions of the project's networks, by name."""
        found = self.client.api.networks(filters={"label": f"{LABEL}.project={self.name}"})
        return {entry["Name"]: self.client.api.inspect_network(entry["Id"]) for entry in found}

    def clean(self) -> None:
        """Remove what carries the project's name."""
        for entry in self.client.api.containers(all=True, filters={"label": f"{LABEL}.project={self.name}"}):
            with contextlib.suppress(docker.errors.APIError):
                self.client.api.remove_container(entry["Id"], v=True, force=True)
        for name in self.networks():
            with contextlib.suppress(docker.errors.APIError):
                self.client.api.remove_network(name)
        for name in self.volumes():
            with contextlib.suppress(docker.errors.APIError):
                self.client.api.remove_volume(name, force=True)
        for entry in self.client.api.images():
            for tag in entry["RepoTags"] or []:
                if self.name in tag:
                    with contextlib.suppress(docker.errors.APIError):
                        self.client.api.remove_image(tag, force=True)
        shutil.rmtree(self.folder, ignore_errors=True)


class Running:
    """A program that runs beside the test."""

    def __init__(self, process: "subprocess.Popen[bytes]", log: Path) -> None:
        self.process = process
        self._log = log

    def output(self) -> str:
        """What it has printed until now, on both channels."""
        return CONTROLS.sub("", self._log.read_text(errors="replace"))

    def says(self, text: str, times: int = 1) -> None:
        deadline = time.monotonic() + SECONDS
        while (output := self.output()).count(text) < times:
            assert time.monotonic() < deadline, f"not seen: {text!r} in {output!r}"
            time.sleep(0.02)

    def code(self, seconds: float = SECONDS) -> int:
        """Its exit code; it has to end in time."""
        try:
            return self.process.wait(seconds)
        except subprocess.TimeoutExpired:
            raise AssertionError(f"does not end: {self.output()!r}") from None


def end_all(process: "subprocess.Popen[Any]") -> None:
    """End a program and what it has started in its session."""
    with contextlib.suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)
    process.wait()


def label(entry: Mapping[str, Any], name: str) -> str:
    """One of Compose's own labels of a container."""
    return str(entry["Config"]["Labels"].get(f"{LABEL}.{name}", ""))


def number(entry: Mapping[str, Any]) -> int:
    """Which of a service's containers it is."""
    return int(label(entry, "container-number") or 0)


def json_lines(text: str) -> list[dict[str, Any]]:
    """A list of objects, or one object a line: programs differ."""
    if text.lstrip().startswith("["):
        return json.loads(text)  # type: ignore[no-any-return]
    return [json.loads(line) for line in text.splitlines() if line.strip()]


def _both(done: "subprocess.CompletedProcess[str]") -> str:
    return f"{done.stdout}{done.stderr}"


def _place(entry: Mapping[str, Any]) -> tuple[str, int]:
    return label(entry, "service"), number(entry)
