"""The applications of examples/ as a user has them: a copy of the folder, the commands of its README, pages over HTTP.

The commands are read from the README: each `sh` block belongs to the heading above it. `curl` lines are fetched here,
so that no machine needs that program, and the ports are other ones, so that no port must be free.
"""

import collections
import os
import shlex
import shutil
import subprocess
import sys
import threading
import time
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from boxship.cli.bases.debian import CHANGES
from daemons import PROJECT, Daemon, free_port

EXAMPLES = PROJECT / "examples"
STOCK = PROJECT / "build" / "compose" / "v2" / "docker-compose"
BASES = PROJECT / "build" / "examples"
BASE_AGE = 3 * 86400  # seconds for which a base is taken again
COMMAND_DEADLINE = 1800.0  # seconds; a build downloads packages
PAGE_DEADLINE = 20.0


def load_debian(daemon: Daemon) -> None:
    """The image debian, made of packages by `boxship base` at most once in a few days."""
    changes = [word for change in CHANGES for word in ("--change", change)]
    daemon.boxship("import", *changes, str(fresh_base("debian")), "debian:latest", timeout=COMMAND_DEADLINE)


def fresh_base(name: str, *options: str) -> Path:
    """The archive of a Debian base under build/examples, made anew after a few days. It needs no daemon."""
    path = BASES / f"{name}.tar"
    if not path.exists() or time.time() - path.stat().st_mtime > BASE_AGE:
        path.parent.mkdir(parents=True, exist_ok=True)
        program = Path(sys.executable).parent / "boxship"
        command = [str(program), "base", "--quiet", "--output", str(path), *options, "debian"]
        subprocess.run(command, check=True, stdin=subprocess.DEVNULL, timeout=COMMAND_DEADLINE)
    return path


@dataclass(frozen=True)
class Page:
    status: int
    text: str
    headers: Mapping[str, str] = field(default_factory=dict)


def fetch(address: str, data: bytes | None = None, method: str | None = None, headers: Mapping[str, str] = {}) -> Page:
    """One request; an error's page is a page too. Raises OSError where nobody answers."""
    request = urllib.request.Request(address, data=data, method=method, headers=dict(headers))
    try:
        with urllib.request.urlopen(request, timeout=PAGE_DEADLINE) as answer:
            return Page(answer.status, answer.read().decode(), dict(answer.headers))
    except urllib.error.HTTPError as error:
        with error:
            return Page(error.code, error.read().decode(), dict(error.headers))


def curl(arguments: list[str]) -> str:
    """What `curl` with the few flags that the READMEs use prints; a page that is an error fails."""
    data: list[str] = []
    method, headers, address = None, {}, ""
    words = iter(arguments)
    for word in words:
        match word:
            case "--data" | "-d":
                data.append(next(words))
            case "--request" | "-X":
                method = next(words)
            case "--header" | "-H":
                name, _, value = next(words).partition(":")
                headers[name] = value.strip()
            case "--silent" | "-s" | "--fail" | "-f":
                pass
            case _:
                assert not word.startswith("-"), f"curl {word} is not known here"
                address = word
    page = fetch(address, "&".join(data).encode() if data else None, method, headers)
    assert page.status < 400, f"curl {' '.join(arguments)}: {page.status} {page.text}"
    return page.text


def sections(readme: str) -> dict[str, list[str]]:
    """The commands under each heading, continued lines joined."""
    found: dict[str, list[str]] = collections.defaultdict(list)
    heading, inside = "", False
    for line in readme.replace("\\\n", " ").splitlines():
        if line.startswith("```"):
            inside = line == "```sh"
        elif inside and line.strip():
            found[heading].append(line)
        elif line.startswith("## "):
            heading = line[3:]
    return dict(found)


class Example:
    """One application, in a folder of its own, run by `program`: "boxship" for our compose, "stock" for docker's.

    `ports` are those of the README, with the variables by which the compose file takes others, as it is told here;
    `registry` stands for the registry that the README names.
    """

    def __init__(
        self, daemon: Daemon, home: Path, name: str, program: str, ports: Mapping[str, int] = {}, registry: str = ""
    ) -> None:
        self.daemon, self.name, self.program, self.registry = daemon, name, program, registry
        self.folder = home / name
        shutil.copytree(EXAMPLES / name, self.folder)
        self.sections = sections((self.folder / "README.md").read_text())
        self.followed: set[str] = set()
        self.written = dict(ports)
        self.ports = {variable: free_port() for variable in ports}
        self.before = self.images()

    # What the README says

    def follow(self, heading: str) -> str:
        """Do what the README says under the heading; returns all that was printed."""
        self.followed.add(heading)
        return "".join(self.line(line) for line in self.sections[heading])

    def line(self, line: str) -> str:
        for variable, written in self.written.items():
            line = line.replace(f"127.0.0.1:{written}/", f"127.0.0.1:{self.ports[variable]}/")
        line = line.replace("127.0.0.1:5000", self.registry) if self.registry else line
        if line.startswith("curl "):
            return curl(shlex.split(line)[1:])
        if self.program == "stock":
            line = line.replace("boxship compose", shlex.quote(str(STOCK)))
        return self.shell(line)

    def compose(self, *arguments: str, **environment: str) -> str:
        """A command of the compose program."""
        words = [str(STOCK)] if self.program == "stock" else ["boxship", "compose"]
        return self.shell(shlex.join([*words, *arguments]), **environment)

    def shell(self, command: str, **environment: str) -> str:
        done = subprocess.run(
            ["/bin/sh", "-ec", command],
            cwd=self.folder,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            timeout=COMMAND_DEADLINE,
            env={**self.environment(), **environment},
            check=False,
        )
        text = done.stdout.decode(errors="replace")
        assert done.returncode == 0, f"{self.name}: {command}: {done.returncode}\n{text[-6000:]}"
        return text

    def environment(self) -> dict[str, str]:
        programs = Path(sys.executable).parent
        given = {**self.daemon.environment(), "PATH": f"{programs}:{os.environ['PATH']}"}
        for name in [name for name in given if name.startswith("COMPOSE_")]:
            del given[name]
        given |= {"BOXSHIP_HOST": self.daemon.url, "DOCKER_HOST": self.daemon.url}
        given |= {"REGISTRY": self.registry} if self.registry else {}
        return given | {variable: str(port) for variable, port in self.ports.items()}

    # What is there

    def url(self, path: str = "/", port: int = 0) -> str:
        return f"http://127.0.0.1:{port or self.ports['PORT']}{path}"

    def get(self, path: str = "/", port: int = 0) -> Page:
        return fetch(self.url(path, port))

    def post(self, path: str, port: int = 0, **form: str) -> Page:
        return fetch(self.url(path, port), urllib.parse.urlencode(form).encode())

    def containers(self) -> dict[str, str]:
        """The running containers: name within the project ("web-1") → id."""
        labels = '{{.Label "com.docker.compose.service"}}-{{.Label "com.docker.compose.container-number"}}'
        shown = self.daemon.docker(
            "ps", "--no-trunc", "--filter", f"label=com.docker.compose.project={self.name}",
            "--format", f"{labels} {{{{.ID}}}}",
        ).stdout  # fmt: skip
        return dict(line.split() for line in shown.splitlines())  # type: ignore[misc]

    def images(self) -> set[str]:
        """Names of images; builds with changed sources leave nameless ones, which `image prune` takes."""
        form = ("--filter", "dangling=false", "--format", "{{.Repository}}:{{.Tag}}")
        return set(self.daemon.docker("images", *form).stdout.split())

    def changed(self, change: Callable[[], object]) -> set[str]:
        """Which services have other containers after the change than before."""
        before = self.containers()
        change()
        after = self.containers()
        names = before.keys() | after.keys()
        return {name.rpartition("-")[0] for name in names if before.get(name) != after.get(name)}

    def take_down(self) -> None:
        """By the README's last section; nothing of the application is left, and no section was passed over."""
        self.follow("Take down")
        assert self.followed == set(self.sections)
        mine = ("--filter", f"label=com.docker.compose.project={self.name}", "--quiet")
        for kind in (("ps", "--all"), ("volume", "ls"), ("network", "ls")):
            left = self.daemon.docker(*kind, *mine).stdout
            assert not left, f"{kind} left: {left}"
        assert self.images() == self.before
        self.daemon.docker("image", "prune", "--force")


class Visitors:
    """Constant requests from several sides while something happens; what was not answered well is remembered."""

    def __init__(self, address: str, sides: int = 3) -> None:
        self.address = address
        self.pages: list[Page] = []
        self.failures: list[str] = []
        self._over = threading.Event()
        self._threads = [threading.Thread(target=self._visit) for _ in range(sides)]

    def _visit(self) -> None:
        while not self._over.is_set():
            try:
                page = fetch(self.address)
            except OSError as error:
                self.failures.append(repr(error))
                continue
            self.pages.append(page)
            if page.status != 200:
                self.failures.append(f"{page.status} {page.text}")

    def __enter__(self) -> "Visitors":
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._over.set()
        for thread in self._threads:
            thread.join()
