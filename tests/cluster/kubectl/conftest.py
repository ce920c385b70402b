"""One control plane for the scenarios with stock kubectl, and a namespace for each test."""

import itertools
import re
from collections.abc import Iterator

import pytest
from control_kit import Control, running_control
from kubectl_kit import Kubectl, programs

NUMBERS = itertools.count()


@pytest.fixture(scope="session")
def plane(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Control]:
    with running_control(tmp_path_factory.mktemp("kubectl")) as control:
        yield control


def _in_namespace(plane: Control, program: str, test: str) -> Kubectl:
    word = re.sub(r"[^a-z0-9]+", "-", test.lower()).strip("-")[:30]
    kubectl = Kubectl(plane, program, f"{word.strip('-')}-{next(NUMBERS)}")
    kubectl.begin()
    return kubectl


@pytest.fixture
def k(plane: Control, request: pytest.FixtureRequest) -> Kubectl:
    """The machine's kubectl, in a namespace of its own."""
    return _in_namespace(plane, "", request.node.name)


@pytest.fixture(params=programs(), ids=lambda place: place[0])
def every(plane: Control, request: pytest.FixtureRequest) -> Kubectl:
    """Each kubectl that is there."""
    return _in_namespace(plane, request.param[1], request.node.name)
