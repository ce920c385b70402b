"""One daemon with a registry for all scenarios, the programs, and a project for each test."""

import itertools
import tempfile
from collections.abc import Iterator
from pathlib import Path

import docker
import pytest
from docker import DockerClient

from compose_kit import Program, Project
from daemons import Daemon, free_port, running_daemon

POOL = ("--address-pool", "10.210.0.0/16:24")  # of its own: many projects beside other tests' daemons
_numbers = itertools.count(1)


@pytest.fixture(scope="session")
def registry_address() -> str:
    return f"127.0.0.1:{free_port()}"


@pytest.fixture(scope="session")
def host(registry_address: str) -> Iterator[Daemon]:
    """The boxshipd that the scenarios run against, with the image busybox:latest."""
    with (
        tempfile.TemporaryDirectory(prefix="bx") as folder,
        running_daemon(Path(folder), *POOL, "--registry", registry_address, image=False) as running,
    ):
        running.boxship("base", "busybox")
        yield running


@pytest.fixture(scope="session")
def engine(host: Daemon) -> Iterator[DockerClient]:
    """docker-py: what the scenarios look at the engine with."""
    connected = docker.DockerClient(base_url=host.url, version="auto", timeout=30)
    yield connected
    connected.close()


@pytest.fixture(scope="session")
def program(request: pytest.FixtureRequest, host: Daemon) -> Program:
    """One of the Compose programs, by name; the test is skipped with the reason where it is not there."""
    found = Program(request.param)
    if why := found.missing(host):
        pytest.skip(why)
    return found


@pytest.fixture
def project(program: Program, host: Daemon, engine: DockerClient, tmp_path: Path) -> Iterator[Project]:
    """A project without files; whatever carries its name goes at the end of the test."""
    name = f"s{next(_numbers)}{program.name}"
    made = Project(program, host, engine, tmp_path / name, name)
    yield made
    made.clean()
