"""From a Dockerfile to a running container by way of registries, with the stock client, as a user would do it."""

import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from daemons import Daemon, free_port, running_daemon
from registry_peers import debian_registry

DOCKERFILE = """FROM busybox
ARG GREETING=hello
LABEL story=delivery
WORKDIR /srv
COPY --chown=web:staff --chmod=640 page.txt .
RUN echo "$GREETING from $(pwd)" >>page.txt && ln page.txt twin && mkdir -p deep/er && echo x >deep/er/file
USER web
CMD ["cat", "page.txt"]
"""


@pytest.fixture(scope="module")
def machine(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Daemon, str]]:
    """A daemon with a registry of its own, and the registry's address."""
    address = f"127.0.0.1:{free_port()}"
    with running_daemon(tmp_path_factory.mktemp("delivery"), "--registry", address) as daemon:
        yield daemon, address


@pytest.fixture(scope="module")
def distribution(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The address of Debian's docker-registry."""
    with debian_registry(tmp_path_factory.mktemp("distribution")) as running:
        yield running.address


@pytest.fixture
def context(tmp_path: Path) -> Path:
    (tmp_path / "Dockerfile").write_text(DOCKERFILE)
    (tmp_path / "page.txt").write_text("a page\n")
    return tmp_path


def identity(daemon: Daemon, name: str) -> tuple[str, str]:
    """The image's id and the digests of its layers."""
    shown = daemon.docker("image", "inspect", "--format", "{{.Id}} {{.RootFS.Layers}}", name).stdout
    identifier, _, layers = shown.strip().partition(" ")
    return identifier, layers


def pushed_digest(output: str) -> str:
    found = re.search(r"digest: (sha256:[0-9a-f]{64}) size: \d+", output)
    assert found, output
    return found[1]


@pytest.mark.parametrize("target", ["own", "docker-registry"])
def test_build_tag_push_delete_pull_run(
    machine: tuple[Daemon, str], distribution: str, context: Path, target: str
) -> None:
    daemon, own = machine
    address = own if target == "own" else distribution
    name = f"{address}/story/page:v1"
    daemon.docker("build", "-t", "page", "--build-arg", "GREETING=hi", str(context))
    before = identity(daemon, "page")
    daemon.docker("tag", "page", name)
    digest = pushed_digest(daemon.docker("push", name).stdout)

    daemon.docker("rmi", "-f", before[0])
    daemon.docker("builder", "prune", "-af")
    assert daemon.docker("image", "inspect", name, check=False).returncode != 0

    pulled = daemon.docker("pull", name).stdout
    assert f"Digest: {digest}" in pulled
    assert identity(daemon, name) == before
    assert f"{address}/story/page@{digest}" in daemon.docker("image", "inspect", name).stdout
    assert daemon.docker("run", "--rm", name).stdout == "a page\nhi from /srv\n"
    shown = daemon.docker("run", "--rm", name, "stat", "-c", "%a %U %G %h", "/srv/page.txt").stdout
    assert shown == "640 web staff 2\n"
    again = daemon.docker("pull", f"{address}/story/page@{digest}").stdout
    assert "Image is up to date" in again
    daemon.docker("rmi", "-f", before[0])


def test_the_digest_is_the_same_in_both_registries(
    machine: tuple[Daemon, str], distribution: str, context: Path
) -> None:
    daemon, own = machine
    daemon.docker("build", "-t", "page", str(context))
    digests = set()
    for address in (own, distribution):
        daemon.docker("tag", "page", f"{address}/same/page")
        digests.add(pushed_digest(daemon.docker("push", f"{address}/same/page").stdout))
    assert len(digests) == 1
    daemon.docker("rmi", "-f", identity(daemon, "page")[0])


def test_pushing_to_the_own_registry_moves_and_copies_nothing(machine: tuple[Daemon, str], context: Path) -> None:
    daemon, own = machine
    with (context / "big").open("wb") as big:
        big.write(b"0123456789abcdef" * (1 << 18))
    (context / "Dockerfile").write_text("FROM busybox\nCOPY big /big\n")
    daemon.docker("build", "-t", f"{own}/big", str(context))
    blobs = daemon.data / "content" / "blobs"
    before = {path: path.stat().st_ino for path in blobs.rglob("*") if path.is_file()}
    daemon.docker("push", f"{own}/big")
    after = {path: path.stat().st_ino for path in blobs.rglob("*") if path.is_file()}
    assert {path: after.get(path) for path in before} == before
    assert sum(path.stat().st_size for path in set(after) - set(before)) < 16_384  # documents at most
    daemon.docker("rmi", "-f", f"{own}/big")


def test_another_machine_pulls_what_was_just_built(
    machine: tuple[Daemon, str], context: Path, tmp_path_factory: pytest.TempPathFactory
) -> None:
    daemon, own = machine
    daemon.docker("build", "-t", f"{own}/fresh", str(context))
    built = identity(daemon, f"{own}/fresh")
    with running_daemon(tmp_path_factory.mktemp("other"), image=False) as other:
        other.docker("pull", f"{own}/fresh")
        assert identity(other, f"{own}/fresh") == built
        assert other.docker("run", "--rm", f"{own}/fresh").stdout == "a page\nhello from /srv\n"
    daemon.docker("rmi", "-f", built[0])
