"""Builds cases through both doors of one daemon, several at a time, and reads back what came out."""

import functools
import http.client
import http.server
import io
import json
import os
import socket
import subprocess
import tarfile
import threading
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from cases.shape import Case, Entry, File, Folder, Link

from daemons import Daemon

AT_ONCE = 4  # builds
PROGRESS = ("--progress", "plain")


@dataclass
class Outcome:
    """What one door said and made."""

    code: int
    output: str
    image: dict[str, Any] = field(default_factory=dict)
    history: list[dict[str, Any]] = field(default_factory=list)
    entries: dict[str, tarfile.TarInfo] = field(default_factory=dict)
    contents: dict[str, bytes] = field(default_factory=dict)

    def listing(self) -> dict[str, tuple[Any, ...]]:
        """Everything but times, to compare two images."""
        return {
            name: (entry.type, entry.mode, entry.uid, entry.gid, entry.linkname, xattrs(entry), self.contents[name])
            for name, entry in self.entries.items()
        }

    def config(self) -> dict[str, Any]:
        return {key: value for key, value in self.image["Config"].items() if value not in (None, "", False, [], {})}


def xattrs(entry: tarfile.TarInfo) -> dict[str, str]:
    return {key: value for key, value in entry.pax_headers.items() if key.startswith("SCHILY.xattr.")}


class _Connection(http.client.HTTPConnection):
    def __init__(self, path: Path) -> None:
        super().__init__("localhost", timeout=60)
        self._path = str(path)

    def connect(self) -> None:
        self.sock = socket.socket(socket.AF_UNIX)
        self.sock.settimeout(60)
        self.sock.connect(self._path)


class _Files(http.server.SimpleHTTPRequestHandler):
    def log_message(self, format: str, *args: Any) -> None:
        pass


class Workshop:
    """One daemon, a web server for ADD, and the cases in work."""

    def __init__(self, daemon: Daemon, folder: Path) -> None:
        self._daemon = daemon
        self._folder = folder
        self._pool = ThreadPoolExecutor(AT_ONCE)
        self._waiting: dict[str, Future[dict[str, Outcome]]] = {}
        self._names: list[str] = []
        self.served = folder / "served"
        self.served.mkdir()
        handler = functools.partial(_Files, directory=str(self.served))
        self._server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler)
        threading.Thread(target=self._server.serve_forever, daemon=True).start()
        self.address = f"http://127.0.0.1:{self._server.server_port}"

    def begin(self, cases: list[Case]) -> None:
        """Start building; `outcome` waits for one."""
        for case in cases:
            self._waiting[case.name] = self._pool.submit(self._both, case)

    def outcome(self, case: Case) -> dict[str, Outcome]:
        return self._waiting[case.name].result()

    def close(self) -> None:
        self._pool.shutdown(cancel_futures=True)
        self._server.shutdown()
        self._server.server_close()
        for name in self._names:
            self._ask("DELETE", f"/images/{name}?force=1")
        self._ask("POST", "/build/prune?all=1")

    def _ask(self, method: str, path: str, body: Any = None) -> tuple[int, bytes]:
        connection = _Connection(self._daemon.socket)
        headers = {"Content-Type": "application/json"} if body is not None else {}
        try:
            connection.request(method, path, None if body is None else json.dumps(body), headers)
            reply = connection.getresponse()
            return reply.status, reply.read()
        finally:
            connection.close()

    def _filled(self, text: str, case: Case) -> str:
        return text.replace("@HTTP@", self.address).replace("@BEFORE@", f"case-{case.name}-before")

    def _both(self, case: Case) -> dict[str, Outcome]:
        folder = self._folder / case.name
        folder.mkdir()
        for path, entry in case.context.items():
            write_entry(folder / path, entry)
        if case.filename is not None:
            (folder / case.filename).write_bytes(self._filled(case.dockerfile, case).encode("utf-8", "surrogateescape"))
        if case.before:
            done = self._daemon.docker("build", "-t", f"case-{case.name}-before", "-", data=case.before.encode())
            self._names.append(f"case-{case.name}-before")
            assert done.returncode == 0
        return {door: self._build(case, door, folder, door != case.doors[0]) for door in case.doors}

    def _build(self, case: Case, door: str, folder: Path, second: bool) -> Outcome:
        name = f"case-{case.name}-{door}"
        words = [self._filled(option, case).replace("@FOLDER@", str(folder)) for option in case.options]
        words += ["--no-cache"] if second and case.again else []
        if door == "docker":
            done = self._daemon.docker("build", *words, "-t", name, str(folder), check=False, timeout=120)
        else:
            progress = () if "-q" in words else PROGRESS
            done = self._daemon.boxship("build", *progress, *words, "-t", name, str(folder), check=False, timeout=120)
        outcome = Outcome(done.returncode, done.stdout + done.stderr)
        if done.returncode == 0 and not case.error:
            self._names.append(name)
            self._read(name, outcome)
        return outcome

    def build_folder(self, folder: Path, name: str, *words: str) -> Outcome:
        """Build a folder as it is, through our own client."""
        done = self._daemon.boxship("build", *PROGRESS, *words, "-t", name, str(folder), check=False, timeout=120)
        outcome = Outcome(done.returncode, done.stdout + done.stderr)
        self._names.append(name)
        if done.returncode == 0:
            self._read(name, outcome)
        return outcome

    def _read(self, name: str, outcome: Outcome) -> None:
        """The image's description, its history, its files."""
        status, data = self._ask("GET", f"/images/{name}/json")
        if status == 404:
            return  # a build that leaves no image
        outcome.image = json.loads(data)
        outcome.history = json.loads(self._ask("GET", f"/images/{name}/history")[1])
        status, data = self._ask("POST", "/containers/create", {"Image": name, "Cmd": ["x"], "Entrypoint": ["x"]})
        assert status == 201, data
        container = json.loads(data)["Id"]
        status, data = self._ask("GET", f"/containers/{container}/export")
        assert status == 200, data
        self._ask("DELETE", f"/containers/{container}?force=1&v=1")
        with tarfile.open(fileobj=io.BytesIO(data)) as tar:
            for member in tar:
                path = "/" + member.name.strip("/").removeprefix("./")
                file = tar.extractfile(member) if member.isfile() else None
                outcome.entries[path] = member
                outcome.contents[path] = file.read() if file else b""


def write_entry(path: Path, entry: Entry) -> None:
    """Make a part of a context."""
    path.parent.mkdir(parents=True, exist_ok=True)
    if isinstance(entry, Folder):
        path.mkdir(exist_ok=True)
        path.chmod(entry.mode or 0o755)
    elif isinstance(entry, Link):
        path.symlink_to(entry.target)
    else:
        file = entry if isinstance(entry, File) else File(entry)
        data = file.content.encode() if isinstance(file.content, str) else file.content or b""
        path.write_bytes(data)
        path.chmod(file.mode or 0o644)
        for key, value in (file.xattrs or {}).items():
            os.setxattr(path, key, value.encode())
        if file.seconds is not None:
            os.utime(path, (file.seconds, file.seconds))


def differences(path: str, expected: Entry, outcome: Outcome) -> list[str]:
    """In what an entry of the image is not as expected."""
    found = outcome.entries.get(path)
    if found is None:
        near = [name for name in outcome.entries if name.rpartition("/")[2] == path.rpartition("/")[2]]
        return [f"{path} is missing; there is {near}"]
    wrong = []
    if isinstance(expected, Link):
        if found.linkname != expected.target or not found.issym():
            wrong.append(f"{path} is no link to {expected.target}: {found.type!r} {found.linkname!r}")
        if expected.owner not in (None, f"{found.uid}:{found.gid}"):
            wrong.append(f"{path} belongs to {found.uid}:{found.gid}, not {expected.owner}")
        return wrong
    wanted = expected if isinstance(expected, File | Folder) else File(expected)
    if found.isdir() != isinstance(wanted, Folder):
        wrong.append(f"{path} is a {'folder' if found.isdir() else 'file'}")
    if wanted.mode not in (None, found.mode & 0o7777):
        wrong.append(f"{path} has mode {found.mode:o}, not {wanted.mode:o}")
    if wanted.owner not in (None, f"{found.uid}:{found.gid}"):
        wrong.append(f"{path} belongs to {found.uid}:{found.gid}, not {wanted.owner}")
    if wanted.seconds not in (None, int(found.mtime)):
        wrong.append(f"{path} was changed at {found.mtime}, not {wanted.seconds}")
    if isinstance(wanted, File) and wanted.content is not None:
        content = wanted.content.encode() if isinstance(wanted.content, str) else wanted.content
        if outcome.contents[path] != content:
            wrong.append(f"{path} has {outcome.contents[path][:500]!r}, not {content[:500]!r}")
    return wrong


def own_history(outcome: Outcome) -> tuple[str, ...]:
    """What the build's own steps are called, oldest first."""
    return tuple(
        entry["CreatedBy"] for entry in reversed(outcome.history) if entry["Comment"].startswith("buildkit.dockerfile")
    )


def run_git(folder: Path, *words: str) -> str:
    """git without the machine's own settings."""
    names = {f"GIT_{who}_{what}": "x@example" for who in ("AUTHOR", "COMMITTER") for what in ("NAME", "EMAIL")}
    dates = {"GIT_AUTHOR_DATE": "2001-09-09T01:46:40Z", "GIT_COMMITTER_DATE": "2001-09-09T01:46:40Z"}
    environment = {"PATH": os.environ["PATH"], "HOME": str(folder), **names, **dates}
    done = subprocess.run(["git", *words], cwd=folder, env=environment, capture_output=True, text=True, check=True)
    return done.stdout.strip()


def serve_repository(folder: Path) -> None:
    """A git repository that a plain web server can serve: `project.git` with branches, a tag and a folder."""
    work = folder / "work"
    files = {"file": "main\n", "sub/one": "1\n", "tool": "#!/bin/sh\n"}
    for name, text in files.items():
        write_entry(work / name, File(text, 0o700 if name == "tool" else 0o600))
    run_git(work, "init", "-q", "-b", "main")
    run_git(work, "add", ".")
    run_git(work, "commit", "-q", "-m", "first")
    run_git(work, "tag", "v1")
    run_git(work, "checkout", "-q", "-b", "side")
    (work / "file").write_text("side\n")
    run_git(work, "commit", "-q", "-a", "-m", "second")
    run_git(work, "checkout", "-q", "main")
    run_git(folder, "clone", "-q", "--bare", str(work), "project.git")
    run_git(folder / "project.git", "update-server-info")
