"""The list of verbs: every line leads to a verb of the one shape, and a call imports no more than it needs."""

import os
import subprocess
import sys
from importlib import import_module
from pathlib import Path

import pytest
from cli_server import FakeDaemon

from boxship.cli.flags import Command, Flag
from boxship.cli.program import GLOBAL_FLAGS, HELP, run
from boxship.cli.verbs import GROUP_FLAGS, GROUPS, VERBS

SLOW = set(
    "aiohttp argparse asyncio dataclasses datetime email http inspect ipaddress logging msgspec pathlib selectors "
    "signal socket ssl subprocess tarfile tempfile threading typing urllib".split()
)
OF_PS = 24  # modules of ours that `ps` may import


@pytest.mark.parametrize("line", VERBS, ids=lambda line: line[2])
def test_a_verb_has_the_shape(line: tuple[str, ...]) -> None:
    module = import_module(f"boxship.cli.verbs.{line[0]}")
    command = module.COMMAND
    assert isinstance(command, Command) and callable(module.run)
    assert module.__doc__ and module.__doc__.lstrip("`").startswith("boxship ")
    names = [flag.name for flag in (*command.flags, HELP)]
    shorts = [flag.short for flag in command.flags if flag.short]
    assert len(set(names)) == len(names) and len(set(shorts)) == len(shorts)
    assert all(isinstance(flag, Flag) and flag.name and not flag.help.endswith(".") for flag in command.flags)
    assert command.most is None or command.least <= command.most


def test_names_are_unique_and_grouped() -> None:
    names = [name for line in VERBS for name in line[2:]]
    assert len(set(names)) == len(names)
    assert {name.partition(" ")[0] for name in names if " " in name} == set(GROUPS)
    assert [line[0] for line in VERBS] == sorted(line[0] for line in VERBS)


def test_every_file_of_a_verb_is_in_the_list() -> None:
    folder = Path(import_module("boxship.cli.verbs").__path__[0])
    assert {path.stem for path in folder.glob("*.py")} - {"__init__"} == {line[0] for line in VERBS}


@pytest.mark.parametrize("line", VERBS, ids=lambda line: line[2])
def test_every_name_has_help(line: tuple[str, ...], capsys: pytest.CaptureFixture[str]) -> None:
    for name in line[2:]:
        assert run([*name.split(), "--help"], {}) == 0
        page = capsys.readouterr().out
        assert page.startswith(f"Usage:  boxship {name}") and line[1] in page


def test_the_pages_of_the_program_and_its_groups(capsys: pytest.CaptureFixture[str]) -> None:
    for words in ([], ["--help"], ["help"]):
        assert run(words, {}) == 0
        page = capsys.readouterr().out
        assert all(f"  {group} " in page for group in GROUPS)
        assert all(f"--{flag.name}" in page for flag in GLOBAL_FLAGS)
    for group in GROUPS:
        assert run([group], {}) == 0
        page = capsys.readouterr().out
        options = "[OPTIONS] " if group in GROUP_FLAGS else ""
        assert page.startswith(f"Usage:  boxship {group} {options}COMMAND")


def test_ps_imports_nothing_slow(tmp_path: Path) -> None:
    fake = FakeDaemon(tmp_path / "d")
    fake.answers["GET /containers/json"] = (200, [])
    script = (
        "import sys; before = set(sys.modules); sys.argv = ['boxship', 'ps']\n"
        "from boxship.cli import main; code = main()\n"
        "print(*(set(sys.modules) - before), sep='\\n', file=sys.stderr); sys.exit(code)"
    )
    environment = {**os.environ, "BOXSHIP_HOST": fake.url}
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, env=environment, check=False)
    fake.stop()
    assert done.returncode == 0, done.stderr
    modules = done.stderr.split()
    assert {module.partition(".")[0] for module in modules} & SLOW == set()
    assert sum(module.startswith("boxship") for module in modules) <= OF_PS


def test_a_reader_that_goes_away_is_no_error() -> None:
    program = Path(sys.executable).parent / "boxship"
    script = f"{program} run --help | true; {program} --help | head -1"
    done = subprocess.run(["sh", "-c", script], capture_output=True, text=True, check=False)
    assert done.stdout == "Usage:  boxship [OPTIONS] COMMAND\n" and done.stderr == ""
