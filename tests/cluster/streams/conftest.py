"""One control plane for the module; a node of its own loop for each test."""

import tempfile
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest
from control_kit import Control
from streams_kit import StreamsNode, control_for_streams, streams_node


@pytest.fixture(scope="session")
def streams_control() -> Iterator[Control]:
    with tempfile.TemporaryDirectory(prefix="bx") as home, control_for_streams(Path(home)) as control:
        yield control


@pytest.fixture
async def node(streams_control: Control, tmp_path: Path) -> AsyncIterator[StreamsNode]:
    async with streams_node(streams_control, tmp_path) as node:
        yield node
