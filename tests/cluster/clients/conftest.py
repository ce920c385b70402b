"""One control plane for the client libraries."""

from collections.abc import Iterator

import pytest
from control_kit import Control, running_control


@pytest.fixture(scope="session")
def control(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Control]:
    with running_control(tmp_path_factory.mktemp("clients")) as control:
        yield control
