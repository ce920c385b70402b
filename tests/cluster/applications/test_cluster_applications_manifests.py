"""The manifests of examples/kubernetes: each is taken without a warning, and each README takes its application down."""

import re
from collections.abc import Iterator
from pathlib import Path

import pytest
from control_kit import Control, running_control

from daemons import PROJECT, until
from examples_kit import sections

APPLICATIONS = PROJECT / "examples" / "kubernetes"
NAMES = sorted(path.parent.name for path in APPLICATIONS.glob("*/README.md"))


@pytest.fixture(scope="module")
def control(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Control]:
    with running_control(tmp_path_factory.mktemp("applications"), "--role", "api", "--role", "controllers") as running:
        yield running


def test_the_index_names_them_all() -> None:
    assert sorted(re.findall(r"\[(\w+)\]\(\1\)", (APPLICATIONS / "README.md").read_text())) == NAMES
    assert len(NAMES) == 10


@pytest.mark.parametrize("name", NAMES)
def test_the_manifests_are_taken(control: Control, name: str) -> None:
    folder = APPLICATIONS / name
    namespace = "default" if name == "operator" else f"app-{name}"  # its role's binding names the namespace
    if namespace != "default":
        control.kubectl("create", "namespace", namespace)
    account = ("get", "serviceaccount", "default", "-n", namespace)
    until(lambda: control.kubectl(*account, check=False).returncode == 0, 10, namespace)
    files = sorted(folder.glob("*.yaml"), key=lambda path: path.name != "operator.yaml")
    for path in files:
        if path.name == "website.yaml":
            control.kubectl("wait", "--for=condition=established", "crd/websites.example.com")
        done = control.kubectl("apply", "-n", namespace, "--validate=strict", "-f", str(path), check=False)
        assert done.returncode == 0, done.stderr
        assert "Warning" not in done.stderr, done.stderr
        assert "configured" not in done.stdout, done.stdout


@pytest.mark.parametrize("name", NAMES)
def test_the_readme_says_how_to_start_and_to_take_down(name: str) -> None:
    folder = APPLICATIONS / name
    found = sections((folder / "README.md").read_text())
    assert list(found)[-1] == "Take down"
    applied = re.findall(
        r"[\w-]+\.yaml", " ".join(line for lines in found.values() for line in lines if " apply " in line)
    )
    taken = " ".join(found["Take down"])
    for path in folder.glob("*.yaml"):
        assert path.name in applied
        assert path.name in taken or path.name == "website.yaml"


def test_what_the_readmes_name_is_there() -> None:
    for path in APPLICATIONS.glob("*/README.md"):
        for target in re.findall(r"\]\(([^)#:]+)\)", path.read_text()):
            assert (path.parent / target).exists(), f"{path}: {target}"
    assert Path(APPLICATIONS / "voting" / "../../voting").is_dir()
