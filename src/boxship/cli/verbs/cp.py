"""boxship cp: files between a container and here, both ways, or as a tar stream on "-"."""

from __future__ import annotations

import os
import posixpath
import sys
from collections.abc import Iterator

from boxship.cli.call import Call, Failure
from boxship.cli.copying import (
    PathState,
    choose_target,
    decode_state,
    pack,
    split_argument,
    unpack,
    wants_contents,
)
from boxship.cli.daemon import DaemonError
from boxship.cli.escape import escape
from boxship.cli.files import read_pieces
from boxship.cli.flags import Command, Flag
from boxship.cli.terminal import is_terminal
from boxship.spec.quantity import format_decimal_bytes

COMMAND = Command(
    "CONTAINER:SRC_PATH DEST_PATH|-  |  SRC_PATH|- CONTAINER:DEST_PATH",
    (
        Flag("-a, --archive", "Archive mode (copy all uid/gid information)"),
        Flag("-L, --follow-link", "Always follow symbol link in SRC_PATH"),
        Flag("-q, --quiet", "Suppress progress output during copy"),
    ),
    least=2,
    most=2,
    completes=("copies",),
    details="Use '-' as the source to read a tar archive from stdin and unpack it in a directory of the container,\n"
    "'-' as the destination to write a tar archive of the container's files to stdout.",
)
STATE_HEADER = "x-docker-container-path-stat"


def run(call: Call) -> int:
    source, destination = call.arguments
    source_container, source_path = split_argument(source)
    container, path = split_argument(destination)
    if source_container and container:
        raise Failure("copying between containers is not supported")
    if not source_container and not container:
        raise Failure("must specify at least one container source")
    if source_container:
        total = copy_out(call, source_container, source_path, path)
    else:
        total = copy_in(call, source_path, container, path)
    if total is not None and not call.options.on("quiet") and is_terminal(2):
        call.warn(f"Successfully copied {format_decimal_bytes(total, 3)} to {destination}")
    return 0


def _absolute(path: str) -> str:
    """Paths in a container are relative to its root."""
    whole = path if path.startswith("/") else f"/{path}"
    kept = "/." if wants_contents(whole) else "/" if whole.endswith("/") and whole != "/" else ""
    return posixpath.normpath(whole).replace("//", "/") + kept if whole != "/" else whole


def _state(call: Call, container: str, path: str) -> PathState | None:
    """What stands at a path in the container; None for nothing."""
    try:
        response = call.daemon.request("HEAD", f"/containers/{escape(container)}/archive", {"path": path})
    except DaemonError as error:
        if error.status != 404:
            raise
        # A HEAD has no text: ask again for what is missing, the path or the container.
        call.daemon.get(f"/containers/{escape(container)}/json")
        return None
    response.read()
    return decode_state(response.headers.get(STATE_HEADER, ""))


def _followed(call: Call, container: str, path: str) -> tuple[str, PathState | None]:
    """The path behind a link, and what stands there."""
    state = _state(call, container, path)
    if state is None or not state.target:
        return path, state
    target = posixpath.join(posixpath.dirname(path), state.target)
    return target, _state(call, container, target)


def copy_out(call: Call, container: str, source: str, destination: str) -> int | None:
    source = _absolute(source)
    if call.options.on("follow-link"):
        source, _ = _followed(call, container, source)
    if destination == "-" and is_terminal(1):
        raise Failure("cowardly refusing to copy to a terminal. Redirect the output")
    response = call.daemon.request("GET", f"/containers/{escape(container)}/archive", {"path": source})
    if destination == "-":
        for piece in response.pieces():
            sys.stdout.buffer.write(piece)
        sys.stdout.buffer.flush()
        return None
    state = decode_state(response.headers.get(STATE_HEADER, ""))
    present = PathState(os.path.isdir(destination)) if os.path.lexists(destination) else None
    folder, name = choose_target(source, state.folder, destination, present)
    if not os.path.isdir(folder):
        raise Failure(f"cannot copy to {destination}: {folder}: no such directory")
    return unpack(response.pieces(), folder, name, owners=call.options.on("archive"))


def copy_in(call: Call, source: str, container: str, destination: str) -> int | None:
    destination = _absolute(destination)
    path, state = _followed(call, container, destination)
    query = {
        "noOverwriteDirNonDir": True,
        "copyUIDGID": call.options.on("archive") or None,
    }
    target = f"/containers/{escape(container)}/archive"
    if source == "-":
        if state is None or not state.folder:
            raise Failure(f'destination "{container}:{destination}" must be a directory')
        call.daemon.request("PUT", target, {"path": path, **query}, stream=read_pieces(0)).read()
        return None
    follow = call.options.on("follow-link")
    if not os.path.lexists(source):
        raise Failure(f"cannot copy {source}: no such file or directory")
    is_folder = os.path.isdir(source) and (follow or source.endswith(("/", "/.")) or not os.path.islink(source))
    folder, name = choose_target(source, is_folder, path, state)
    if not name:
        name = "." if wants_contents(source) else os.path.basename(os.path.abspath(source))
    total = 0

    def counted() -> Iterator[bytes]:
        nonlocal total
        for piece in pack(source, name, follow=follow):
            total += len(piece)
            yield piece

    call.daemon.request("PUT", target, {"path": folder, **query}, stream=counted()).read()
    return total
