"""The stock clients that are here: what a case asks of kubectl is asked of each of them, the oldest and the newest."""

import shutil

import pytest
from control_kit import KUBECTLS

from daemons import kubectl_program

VERSIONS = [
    *([""] if shutil.which("kubectl") else []),  # the machine's own
    *sorted(place.parent.name for place in KUBECTLS.glob("*/kubectl")),
]
EVERY = pytest.mark.parametrize("version", VERSIONS, ids=lambda version: version or "own")


def program_of(version: str = "") -> str:
    """The path of a client."""
    return str(KUBECTLS / version / "kubectl") if version else kubectl_program()
