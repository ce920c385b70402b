"""`boxship compose` on one file, in the test's own process (which is quicker by far than a new one) or in one that it
starts."""

import contextlib
import os
import subprocess
import sys
import tempfile
from pathlib import Path

from boxship.cli.program import run
from daemons import Daemon

PROGRAM = str(Path(sys.executable).parent / "boxship")


class Compose:
    """The program on one file."""

    def __init__(self, daemon: Daemon, folder: Path, text: str = "") -> None:
        self.daemon = daemon
        self.file = folder / "compose.yaml"
        if text:
            self.file.write_text(text)
        self.environment = {**daemon.environment(), "BOXSHIP_HOST": daemon.url, "FACES_WORD": "secret"}
        self.said = ""

    def words(self, *words: str) -> list[str]:
        return [PROGRAM, "compose", "-f", str(self.file), *words]

    def __call__(self, *words: str, code: int | None = 0, data: str = "", file: bool = True) -> str:
        """Run it in this process, which is quicker by far than a new one."""
        with tempfile.TemporaryFile() as out, tempfile.TemporaryFile() as err, tempfile.TemporaryFile() as typed:
            typed.write(data.encode())
            typed.seek(0)
            saved = [os.dup(number) for number in range(3)]
            before = sys.stdout, sys.stderr
            sys.stdout, sys.stderr = open(1, "w", closefd=False), open(2, "w", closefd=False)  # noqa: SIM115
            for number, target in enumerate((typed, out, err)):
                os.dup2(target.fileno(), number)
            try:
                found = run(["compose", *(("-f", str(self.file)) if file else ()), *words], self.environment)
            finally:
                sys.stdout.flush()
                sys.stderr.flush()
                sys.stdout, sys.stderr = before
                for number, kept in enumerate(saved):
                    os.dup2(kept, number)
                    os.close(kept)
            out.seek(0)
            err.seek(0)
            shown, self.said = out.read().decode(), err.read().decode()
        assert code in (None, found), f"{words}: {found}\n{shown}{self.said}"
        return shown

    def start(self, *words: str, log: Path | None = None) -> "subprocess.Popen[str]":
        """A process of its own, whose output goes to pipes, or together to a file."""
        with log.open("wb") if log else contextlib.nullcontext(subprocess.PIPE) as target:
            return subprocess.Popen(
                self.words(*words),
                stdin=subprocess.DEVNULL,
                stdout=target,
                stderr=target,
                text=True,
                env=self.environment,
            )
