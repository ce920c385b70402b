"""Fixtures of the fault tests."""

import itertools
import os
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

import docker
import pytest
from docker import DockerClient
from faults_compose import Victim
from faults_instance import Instance, Launcher, instance

from daemons import Daemon, running_daemon

_numbers = itertools.count(1)


@pytest.fixture(scope="session")
def launcher() -> Iterator[Launcher]:
    """One process that has imported the daemon, and forks it."""
    made = Launcher()
    yield made
    made.close()


@pytest.fixture
def box(launcher: Launcher) -> Iterator[Instance]:
    """An instance of its own for a test, with the image busybox."""
    with instance(launcher) as made:
        yield made


@pytest.fixture(scope="session")
def host() -> Iterator[Daemon]:
    """A daemon for the faults of Compose, with networks of its own: it may be killed, and is started again."""
    worker = int(os.environ.get("PYTEST_XDIST_WORKER", "gw0").removeprefix("gw"))
    pool = ("--address-pool", f"10.{212 + worker}.0.0/16:24")
    with tempfile.TemporaryDirectory(prefix="bx") as folder, running_daemon(Path(folder), *pool) as running:
        yield running


@pytest.fixture(scope="session")
def engine(host: Daemon) -> Iterator[DockerClient]:
    """docker-py: what is looked at, past the clients that are killed."""
    connected = docker.DockerClient(base_url=host.url, version="auto", timeout=30)
    yield connected
    connected.close()


@pytest.fixture
def victims(host: Daemon, engine: DockerClient, tmp_path: Path) -> Iterator[Callable[[], Victim]]:
    """Makes projects whose clients are killed; all of them go at the end of the test."""
    made: list[Victim] = []

    def new() -> Victim:
        name = f"k{next(_numbers)}"
        made.append(Victim(host, engine, tmp_path / name, name))
        return made[-1]

    yield new
    for project in made:
        project.clean()


@pytest.fixture
def victim(victims: Callable[[], Victim]) -> Victim:
    """A project without files."""
    return victims()
