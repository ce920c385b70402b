"""What comes back of a build: archives to files, folders and standard output; and what is noted about the image."""

from __future__ import annotations

import os

from boxship.cli.building.options import OutputPlan
from boxship.cli.call import Failure
from boxship.cli.daemon import Object
from boxship.cli.files import unfinished
from boxship.cli.terminal import is_terminal
from boxship.errors import BoxshipError


def check_destinations(plans: list[OutputPlan]) -> None:
    """Refuse what could not be written, before anything is built."""
    for plan in plans:
        if plan.destination == "-" and is_terminal(1):
            raise Failure("cowardly refusing to write an archive to a terminal: use dest=FILE, or redirect")
        if plan.folder and os.path.lexists(plan.destination) and not os.path.isdir(plan.destination):
            raise Failure(f"cannot write {plan.destination}: it is not a directory")
        if plan.destination and plan.destination != "-" and not plan.folder:
            if os.path.isdir(plan.destination):
                raise Failure(f"cannot write {plan.destination}: is a directory")
            parent = os.path.dirname(plan.destination) or "."
            if not os.path.isdir(parent):
                raise Failure(f"cannot write {plan.destination}: {parent}: no such directory")


class FileSink:
    """An archive to a file, which has its name only when it is whole; or to standard output."""

    def __init__(self, destination: str) -> None:
        self._destination = destination
        self._unfinished = ""
        self._descriptor = 1
        if destination != "-":
            special = os.path.exists(destination) and not os.path.isfile(destination)
            self._unfinished = "" if special else unfinished(destination)
            flags = os.O_WRONLY | os.O_CREAT | (os.O_TRUNC if special else os.O_EXCL) | os.O_CLOEXEC
            self._descriptor = os.open(self._unfinished or destination, flags, 0o666)

    def write(self, data: bytes) -> None:
        view = memoryview(data)
        while view:
            view = view[os.write(self._descriptor, view) :]

    def finish(self) -> None:
        if self._descriptor != 1:
            os.close(self._descriptor)
            if self._unfinished:
                os.rename(self._unfinished, self._destination)
        self._unfinished = ""

    def abandon(self) -> None:
        if self._unfinished:
            os.close(self._descriptor)
            os.unlink(self._unfinished)
            self._unfinished = ""


class FolderSink:
    """An archive unpacked in a folder as it comes, by a thread that reads a pipe. The files are the user's."""

    def __init__(self, destination: str) -> None:
        import threading

        os.makedirs(destination, exist_ok=True)
        self._read, self._write = os.pipe2(os.O_CLOEXEC)
        self._failure: BaseException | None = None
        self._thread = threading.Thread(target=self._unpack, args=(os.path.realpath(destination),), daemon=True)
        self._thread.start()

    def _unpack(self, folder: str) -> None:
        from boxship.cli.copying import unpack
        from boxship.cli.files import read_pieces

        try:
            unpack(read_pieces(self._read), folder, "", owners=False)
            for _ in read_pieces(self._read):  # what stands behind the archive's end
                pass
        except (OSError, BoxshipError) as error:
            self._failure = error
        finally:
            os.close(self._read)

    def write(self, data: bytes) -> None:
        view = memoryview(data)
        try:
            while view:
                view = view[os.write(self._write, view) :]
        except BrokenPipeError:
            return  # the thread has failed; `finish` says how

    def finish(self) -> None:
        self.abandon()
        if self._failure is not None:
            raise self._failure

    def abandon(self) -> None:
        if self._write >= 0:
            os.close(self._write)
            self._write = -1
            self._thread.join()


def end_tidily() -> None:
    """Let SIGTERM and SIGHUP end the program as an error does, so that nothing unfinished stays."""
    import signal
    from types import FrameType

    def end(number: int, frame: FrameType | None) -> None:
        raise SystemExit(128 + number)

    for number in (signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, end)


def open_sink(plan: OutputPlan) -> FileSink | FolderSink:
    return FolderSink(plan.destination) if plan.folder else FileSink(plan.destination)


def write_notes(built: Object, iid_file: str, metadata_file: str) -> None:
    """The image's id, and what is known of it as JSON."""
    if iid_file:
        _replace(iid_file, built.get("image") or "")
    if metadata_file:
        import json

        notes = {"containerimage.config.digest": built.get("image"), "containerimage.digest": built.get("manifest")}
        notes["image.name"] = ",".join(built.get("names") or [])
        _replace(metadata_file, json.dumps({key: value for key, value in notes.items() if value}, indent=2) + "\n")


def _replace(path: str, text: str) -> None:
    made = unfinished(path)
    with open(made, "x", encoding="utf-8") as file:
        file.write(text)
    os.rename(made, path)
