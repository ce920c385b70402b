"""The facts that the questions read, and the finding that each of them gives back."""

import os
import shutil
import subprocess
from collections.abc import Callable, Sequence
from pathlib import Path

GOOD, WARNING, MISSING = "good", "warning", "missing"
PROGRAM_SECONDS = 20  # a program that takes longer counts as failed
SEARCH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"


class Finding:
    """An answer: what was asked, "good", "warning" or "missing", what was found, and what to do about it."""

    __slots__ = ("name", "remedy", "state", "text")

    def __init__(self, name: str, state: str, text: str, remedy: str = "") -> None:
        self.name = name
        self.state = state
        self.text = text
        self.remedy = remedy


class Machine:
    """This machine. Everything that the questions know comes through these methods."""

    def __init__(self, data_root: str) -> None:
        self.data_root = data_root

    def read(self, path: str) -> str:
        """A file's text, "" where it cannot be read."""
        try:
            return Path(path).read_text(errors="replace")
        except OSError:
            return ""

    def exists(self, path: str) -> bool:
        return os.path.exists(path)

    def find(self, program: str) -> str:
        """A program's path, "" where it is not installed."""
        return shutil.which(program, path=f"{SEARCH}:{os.environ.get('PATH', '')}") or ""

    def run(self, command: Sequence[str], text: str = "") -> tuple[int, str]:
        """A program's exit code and its output (both streams together); -1 where it cannot be run."""
        program = self.find(command[0])
        if not program:
            return -1, f"{command[0]}: not installed"
        try:
            done = subprocess.run(
                [program, *command[1:]],
                input=text,
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                text=True,
                errors="replace",
                timeout=PROGRAM_SECONDS,
                env={**os.environ, "LC_ALL": "C", "PATH": f"{SEARCH}:{os.environ.get('PATH', '')}"},
                check=False,
            )
        except (OSError, subprocess.TimeoutExpired) as error:
            return -1, str(error)
        return done.returncode, done.stdout

    def nearest_folder(self) -> str:
        """The data root, or the nearest folder above it that exists."""
        folder = Path(self.data_root)
        while not folder.is_dir():
            folder = folder.parent
        return str(folder)

    def free_space(self) -> tuple[int, int]:
        """Free bytes and free inodes where the data root lies."""
        status = os.statvfs(self.nearest_folder())
        return status.f_bavail * status.f_frsize, status.f_favail


Question = Callable[[Machine], list[Finding]]
