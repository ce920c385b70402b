"""Looking after a cluster's store: by the API server that has it open, or by boxship-control where nobody has."""

from __future__ import annotations

import json
import subprocess
import sys

from boxship.cli.call import Call, Failure
from boxship.cli.flags import Flag
from boxship.cli.kube.config import CONFIG_FLAGS

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

STORE_FLAGS = (
    Flag("--store string", "The store itself, sqlite:PATH or etcd:URL,URL…, instead of a cluster that is up"),
    Flag("--store-ca string", "Authority that etcd's certificates come from", completes="files"),
    Flag("--store-cert string", "Our certificate for etcd", completes="files"),
    Flag("--store-key string", "Its key", completes="files"),
)
FLAGS = (*CONFIG_FLAGS, *STORE_FLAGS)
ROOT = "/boxship/store"


def offline(call: Call) -> bool:
    """Whether the store itself is named."""
    if call.options.text("store"):
        return True
    for flag in STORE_FLAGS[1:]:
        if call.options.text(flag.name):
            raise Failure(f"--{flag.name} goes with --store")
    return False


def by_program(call: Call, *words: str) -> dict[str, Any]:
    """What `boxship-control store` answers. Raises Failure."""
    from boxship.cli.cluster.processes import program

    named = [
        word for flag in STORE_FLAGS if (text := call.options.text(flag.name)) for word in (f"--{flag.name}", text)
    ]
    command = [program("boxship-control"), "store", *words, *named]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        said = done.stderr.strip().splitlines() or [f"boxship-control ended with {done.returncode}"]
        sys.stderr.writelines(f"{line}\n" for line in said[:-1])
        raise Failure(said[-1].removeprefix("boxship-control: "))
    told: dict[str, Any] = json.loads(done.stdout)
    return told


def by_server(call: Call, method: str, path: str, query: dict[str, object] | None = None) -> dict[str, Any]:
    """What the API server answers. Raises Failure."""
    from boxship.cli.kube.server import Server

    return Server(call).ask(method, f"{ROOT}/{path}", query)


def told(call: Call, status: dict[str, Any]) -> None:
    """The status for people, or as JSON."""
    from boxship.cli.flags import UsageError
    from boxship.cli.table import align

    form = call.options.text("format")
    if form not in ("table", "json"):
        raise UsageError(f"unknown format {form!r}: it must be table or json", 1)
    if form == "json":
        call.line(json.dumps(status))
        return
    rows = [("Store:", f"{status['kind']}:{status['place']}"), ("Revision:", str(status["revision"]))]
    rows += [("History from:", str(status["oldest"])), ("Entries:", str(status["entries"]))]
    rows += [("Content:", bytes_text(status["content"]))]
    rows += [("On the disk:", bytes_text(status["size"]))] if status["size"] else []
    for member in status["members"]:
        parts = [f"etcd {member['version']}", bytes_text(member["size"]), f"{bytes_text(member['used'])} in use"]
        parts += ["leader"] if member["leader"] else []
        said = ", ".join(parts) if member["version"] else "does not answer"
        rows.append(("Member:", f"{member['place']}: {'; '.join([said, *member['errors']])}"))
    call.write(align(rows))


def bytes_text(count: int) -> str:
    """ "1.5MB", in powers of ten as all listings."""
    size = float(count)
    for unit in ("B", "kB", "MB"):
        if size < 1000:
            return f"{size:.3g}{unit}"
        size /= 1000
    return f"{size:.3g}GB"


FORMAT = Flag("--format string", "Format output: table or json", "table")


def receive_backup(call: Call, path: str) -> dict[str, Any]:
    """Write what the server sends into the file, whole or not at all, for its owner alone. Raises Failure."""
    import os

    from boxship.cli.kube.server import Server

    half = f"{path}.new"
    try:
        with open(os.open(half, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600), "wb") as file:
            for piece in Server(call).open("POST", f"{ROOT}/backup", accept="*/*").pieces():
                file.write(piece)
            file.flush()
            os.fsync(file.fileno())
        told = _check(half)
        os.replace(half, path)
    except OSError as error:
        _remove(half)
        raise Failure(f"cannot write {path}: {error.strerror}") from None
    except BaseException:
        _remove(half)
        raise
    return told


def _remove(path: str) -> None:
    import contextlib
    import os

    with contextlib.suppress(OSError):
        os.unlink(path)


def _check(path: str) -> dict[str, Any]:
    """What its first and last line say, where all of it has come. Raises Failure."""
    import gzip
    import hashlib
    import zlib

    first = last = b""
    sums = hashlib.sha256()
    try:
        with gzip.open(path) as file:
            for line in file:
                first = first or line
                sums.update(last)
                last = line
        end = json.loads(last)
        fine = end["sha256"] == sums.hexdigest()
    except (OSError, EOFError, zlib.error, ValueError, KeyError, TypeError):
        fine = False
    if not fine:
        raise Failure("the backup that came is not whole: try again")
    return {"entries": end["entries"], "revision": json.loads(first)["revision"]}
