"""The Compose files of `cases/`: how each is loaded here and by the stock program, and where its expected model is.

A file's first line may name more arguments ("# arguments: --profile debug"). This file as a program stores what the
stock program says of every case; those in `newer/` use fields that it does not know yet, their expected
models are written by hand.
"""

import json
import shlex
import subprocess
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from boxship.compose.hashing import service_hash
from boxship.compose.load import Options, load
from boxship.compose.loading import LoadRequest
from boxship.compose.model import Project
from boxship.compose.normal import used
from boxship.compose.printing import config_json, config_yaml, hashes_text
from boxship.errors import Invalid, NotFound

CASES = Path(__file__).parent / "cases"
NEWER = CASES / "newer"
STOCK = Path(__file__).parent.parent.parent / "build/compose/v2/docker-compose"
CURRENT = Path(__file__).parent.parent.parent / "build/compose/v2-current/docker-compose"
PLACE = "/place/of/the/cases"  # stands for the folder in stored models
ENVIRONMENT = {
    "HOME": "/home/user",
    "PATH": "/usr/bin:/bin",
    "CASE_TAG": "1.2",
    "CASE_EMPTY": "",
    "CASE_TRUE": "true",
    "CASE_NUMBER": "7",
    "CASE_CPUS": "1.5",
    "CASE_SIZE": "64m",
    "CASE_SPAN": "3s",
    "TOKEN": "t0k",
}


class Disk:
    """The real files."""

    def read(self, path: str) -> bytes:
        try:
            return Path(path).read_bytes()
        except FileNotFoundError:
            raise NotFound(f"there is no file {path}") from None
        except OSError as error:
            raise Invalid(f"cannot read {path}: {error.strerror}") from None

    def exists(self, path: str) -> bool:
        return Path(path).exists()

    def is_folder(self, path: str) -> bool:
        return Path(path).is_dir()


class Memory(Disk):
    """Files in a dict, by absolute path."""

    def __init__(self, files: dict[str, str]) -> None:
        self.files = {path: text.encode() for path, text in files.items()}

    def read(self, path: str) -> bytes:
        if path not in self.files:
            raise NotFound(f"there is no file {path}")
        return self.files[path]

    def exists(self, path: str) -> bool:
        return path in self.files or self.is_folder(path)

    def is_folder(self, path: str) -> bool:
        return any(each.startswith(path.rstrip("/") + "/") for each in self.files)


def loaded(
    text: str,
    environment: dict[str, str] | None = None,
    options: Options | None = None,
    more: dict[str, str] | None = None,
) -> Project:
    """A project from one text, which is /p/compose.yaml; `more` are further files by their paths."""
    files = {"/p/compose.yaml": text, **(more or {})}
    request = LoadRequest(start="/p", environment={"HOME": "/root", **(environment or {})})
    return load(request, Memory(files), options)


def names(folder: Path = CASES) -> list[str]:
    return sorted(path.stem for path in folder.glob("*.yaml"))


def arguments(name: str, folder: Path = CASES) -> list[str]:
    """The global flags that both programs are given for a case."""
    first = (folder / f"{name}.yaml").read_text().partition("\n")[0]
    given = shlex.split(first.removeprefix("# arguments:")) if first.startswith("# arguments:") else []
    given = given if "-f" in given else ["-f", f"{name}.yaml", *given]
    return given if "-p" in given or name == "name-in-file" else ["-p", "case", *given]


def project(name: str, folder: Path = CASES) -> Project:
    """The case as we load it, without what it does not use."""
    flags: dict[str, list[str]] = {"-f": [], "-p": [], "--profile": []}
    given = arguments(name, folder)
    for flag, value in zip(given[::2], given[1::2], strict=True):
        flags[flag].append(value)
    request = LoadRequest(
        start=str(folder),
        files=tuple(flags["-f"]),
        name="".join(flags["-p"]),
        profiles=tuple(flags["--profile"]),
        environment=ENVIRONMENT,
    )
    return used(load(request, Disk()))


def ours(name: str, form: str, folder: Path = CASES) -> str:
    """What we print: "json", "yaml" or "hash"."""
    found = project(name, folder)
    if form == "hash":
        return hashes_text(found, (), service_hash)
    return config_json(found) if form == "json" else config_yaml(found)


def stock(name: str, form: str, folder: Path = CASES, program: Path = STOCK) -> str:
    """What the stock program prints."""
    flags: Sequence[str] = ["--hash", "*"] if form == "hash" else ["--format", form]
    command = [str(program), *arguments(name, folder), "config", *flags]
    done = subprocess.run(command, cwd=folder, env=ENVIRONMENT, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, f"{name}: {done.stderr}"
    return done.stdout


def wrong_files() -> list[tuple[str, str]]:
    """Files that are wrong, each with its error; the file is /p/compose.yaml."""
    found = []
    for block in (CASES / "wrong.txt").read_text().rstrip("\n").split("\n\n"):
        text, *message = block.split("\n=> ")
        found.append((text + "\n", "\n".join(message)))
    return found


def expected_path(name: str, folder: Path = CASES) -> Path:
    return folder / "expected" / f"{name}.json"


def placed(text: str) -> Any:
    """A printed JSON model that no longer depends on where the repository is."""
    return json.loads(text.replace(str(CASES.parent), f"{PLACE}/above").replace(f"{PLACE}/above/cases", PLACE))


def write(name: str, text: str, folder: Path = CASES) -> None:
    path = expected_path(name, folder)
    path.parent.mkdir(exist_ok=True)
    path.write_text(json.dumps(placed(text), indent=1, ensure_ascii=False) + "\n")


if __name__ == "__main__":
    for each in names():
        write(each, stock(each, "json"))
