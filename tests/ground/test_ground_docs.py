"""The documents say what the code does: endpoints, flags, options, commands, links."""

import re
import subprocess
from pathlib import Path

import pytest

from boxship.cli.verbs import VERBS
from boxship.cli.verbs.run import COMMAND

PROJECT = Path(__file__).parent.parent.parent
DOCUMENTS = sorted([*PROJECT.glob("*.md"), *PROJECT.glob("docs/*.md")])
SCRIPTS = sorted(PROJECT.glob("tools/*.sh"))


def rows(document: str, heading: str) -> list[list[str]]:
    """The cells of all table rows below a heading of the second level, code marks taken away."""
    text = (PROJECT / "docs" / document).read_text()
    section = re.split(r"^## ", text.split(f"\n## {heading}", 1)[1], flags=re.MULTILINE)[0]
    lines = [line for line in section.splitlines() if line.startswith("| ") and not line.startswith("| endpoint")]
    return [
        [cell.strip().replace("`", "") for cell in line.replace("\\|", "/").strip("| ").split(" | ")] for line in lines
    ]


def listed(cell: str) -> tuple[str, ...]:
    return () if cell == "–" else tuple(cell.split(", "))


def test_every_endpoint_is_documented_with_its_parameters() -> None:
    from boxship.doors.docker.door import ROUTES

    documented = {
        cells[0]: (listed(cells[2]), listed(cells[3])) for cells in rows("docker.md", "Endpoints") if len(cells) == 4
    }
    served = {f"{route.method} {route.pattern}": (route.query, route.refused) for route in ROUTES}
    assert documented == served


def test_every_flag_of_run_is_documented() -> None:
    documented = {cells[0].split(",")[0] for cells in rows("docker.md", "Flags of") if cells[0].startswith("--")}
    assert documented == {f"--{flag.name}" for flag in COMMAND.flags}


def test_every_verb_is_documented() -> None:
    text = (PROJECT / "docs" / "cli.md").read_text()
    names = [line[2].split()[-1] for line in VERBS if not line[2].startswith("_")]
    assert [name for name in names if not re.search(rf"`[^`\n]*\b{name}\b", text)] == []


def test_every_flag_of_build_is_documented() -> None:
    from boxship.cli.verbs.build import COMMAND as BUILD

    documented = {cells[0] for cells in rows("build.md", "Flags of") if cells[0].startswith("--")}
    assert documented == {f"--{flag.name}" for flag in BUILD.flags}


def test_every_check_of_a_dockerfile_is_documented() -> None:
    from boxship.builder.checking import WRONG_PLATFORM
    from boxship.builder.dockerfile.checks import RULES

    assert {cells[0] for cells in rows("build.md", "Checks") if cells[0] != "rule"} == {*RULES, WRONG_PLATFORM}


def test_every_option_of_the_daemon_is_documented() -> None:
    from boxship.main.options import Options

    text = (PROJECT / "docs" / "operations.md").read_text()
    section = text.split("## Options", 1)[1].split("\n## ", 1)[0]
    names = re.findall(
        r"`([a-z-]+)`", " ".join(line.split("|")[1] for line in section.splitlines() if line.startswith("| `"))
    )
    assert set(names) == {name.replace("_", "-") for name in Options.__struct_fields__}


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: path.name)
def test_links_and_commands_of_a_document_exist(document: Path) -> None:
    text = document.read_text()
    for link in re.findall(r"\]\(([^)#]+)\)", text):
        assert "://" in link or (document.parent / link).exists(), link
    targets = set(re.findall(r"^([a-z0-9-]+):", (PROJECT / "Makefile").read_text(), flags=re.MULTILINE))
    for target in re.findall(r"(?:^|`|    )make ([a-z][a-z0-9-]*)", text, flags=re.MULTILINE):
        assert target in targets, f"make {target}"
    verbs = {word for line in VERBS for name in line[2:] for word in name.split()[:1]}
    for verb in re.findall(r"(?:^|`|    )boxship ([a-z]+)", text, flags=re.MULTILINE):
        assert verb in verbs, f"boxship {verb}"
    for path in re.findall(r"`((?:src|tests|tools|docs|packaging)/[\w./-]+)`", text):
        assert (PROJECT / path).exists(), path


def test_the_architecture_page_has_the_rooms_of_the_layering_test() -> None:
    import runpy

    layout = runpy.run_path(str(PROJECT / "tests" / "test_layout.py"))
    lines = (PROJECT / "ARCHITECTURE.md").read_text().splitlines()
    cells = [[cell.strip() for cell in line.strip("|").split("|")] for line in lines if re.match(r"\| \d", line)]
    table = {row[1].strip("`"): (int(row[0]), set(row[3].split(", ")) - {"–", "errors"}) for row in cells}
    for room, (floor, allowed) in table.items():
        if room != "main":
            assert (floor, allowed) == layout["FLOORS"][room], room


@pytest.mark.parametrize("script", SCRIPTS, ids=lambda path: path.name)
def test_a_script_is_sound_and_never_asks(script: Path) -> None:
    subprocess.run(["bash", "-n", str(script)], check=True)
    text = script.read_text()
    if text.startswith("#!/bin/bash"):  # else it is a guest's first process, which must go on to the end
        assert "set -euo pipefail" in text
        assert "exec </dev/null" in text
    assert not re.search(r"\| *grep -q", text), "grep -q cuts the pipe, which pipefail takes for a failure"


def test_make_lists_its_targets() -> None:
    done = subprocess.run(
        ["make", "--no-print-directory", "help"], cwd=PROJECT, capture_output=True, text=True, check=True
    )
    for target in ("setup", "demo", "test", "test-slow", "bench", "bench-peers", "install"):
        assert f"make {target} " in done.stdout
