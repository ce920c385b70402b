"""What the tests through the stock clients share."""

from collections.abc import Iterator
from pathlib import Path

import docker
import pytest
from clients_box import Box
from docker import DockerClient

from daemons import Daemon


@pytest.fixture
def box(daemon: Daemon, tmp_path: Path) -> Iterator[Box]:
    """What one test makes in the shared daemon; removed at its end."""
    made = Box(daemon, tmp_path)
    yield made
    made.clean()


@pytest.fixture(scope="session")
def client(daemon: Daemon) -> Iterator[DockerClient]:
    """docker-py, at the version that it and the daemon agree on."""
    connected = docker.DockerClient(base_url=daemon.url, version="auto", timeout=30)
    yield connected
    connected.close()
