"""The ground's own work against a real daemon: TCP with certificates, base images that run."""

import os
import socket
import ssl
import subprocess
import sys
import urllib.request
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import pytest

from boxship.pki import authority
from boxship.pki.names import subject_for
from daemons import Daemon, answers, docker_program, free_port, running_daemon, until

pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason="needs root")


class Secured:
    """A daemon that listens on TCP, and the folders of its clients."""

    def __init__(self, daemon: Daemon, port: int, client: Path, stranger: Path) -> None:
        self.daemon = daemon
        self.port = port
        self.client = client
        self.stranger = stranger

    def run(self, program: str, folder: Path, *arguments: str) -> "subprocess.CompletedProcess[str]":
        environment = {**os.environ, "DOCKER_CERT_PATH": str(folder), "DOCKER_TLS_VERIFY": "1"}
        environment.pop("DOCKER_HOST", None)
        command = [program, "-H", f"tcp://127.0.0.1:{self.port}", *arguments]
        return subprocess.run(command, env=environment, capture_output=True, text=True, timeout=60, check=False)


@pytest.fixture(scope="module")
def secured(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Secured]:
    home, now = tmp_path_factory.mktemp("tls"), datetime.now(UTC)
    for name in ("pki", "other"):
        authority.create(home / name, name, now)
    mine, other = authority.open_authority(home / "pki"), authority.open_authority(home / "other")
    server = mine.issue_server(subject_for("here", ("127.0.0.1", "localhost")), now)
    client, stranger = (place.issue_client(subject_for("alice", ()), now) for place in (mine, other))
    (stranger / "ca.pem").write_bytes((client / "ca.pem").read_bytes())  # it trusts the daemon, but not the other way
    port = free_port()
    files = ["--tls-ca", server / "ca.pem", "--tls-cert", server / "cert.pem", "--tls-key", server / "key.pem"]
    options = ["--host", f"tcp://127.0.0.1:{port}", *map(str, files)]
    with running_daemon(home, *options) as daemon:
        yield Secured(daemon, port, client, stranger)


def test_the_stock_client_works_over_tls(secured: Secured) -> None:
    done = secured.run(docker_program(), secured.client, "run", "--rm", "busybox", "echo", "over the wire")
    assert (done.returncode, done.stdout) == (0, "over the wire\n"), done.stderr


def test_our_client_works_over_tls(secured: Secured) -> None:
    program = str(Path(sys.executable).with_name("boxship"))
    done = secured.run(program, secured.client, "run", "--rm", "busybox", "echo", "over the wire")
    assert (done.returncode, done.stdout) == (0, "over the wire\n"), done.stderr


def test_our_client_builds_over_tls(secured: Secured, tmp_path: Path) -> None:
    context = tmp_path / "context"
    (context / "left").mkdir(parents=True)
    (context / "left" / "out").write_text("x" * 3_000_000)
    (context / "big").write_bytes(os.urandom(3_000_000))
    (context / ".dockerignore").write_text("left\nDockerfile\n")
    (context / "Dockerfile").write_text("FROM busybox\nCOPY . /all\nRUN ls -A /all; rm /all/.dockerignore\n")
    program = str(Path(sys.executable).with_name("boxship"))
    words = ("build", "-o", str(tmp_path / "out"), str(context))
    done = secured.run(program, secured.client, *words)
    assert done.returncode == 0, done.stderr
    assert " big\n" in done.stderr and " left\n" not in done.stderr
    assert not (tmp_path / "out" / "all" / "Dockerfile").exists()
    assert (tmp_path / "out" / "all" / "big").read_bytes() == (context / "big").read_bytes()
    assert os.listdir(secured.daemon.data / "builder" / "contexts") == [".trash"]
    refused = secured.run(program, secured.client, "build", "--cache-to", f"type=local,dest={tmp_path}/c", str(context))
    assert refused.returncode == 1 and "unsupported: a cache of type local in a folder of another" in refused.stderr


def test_clients_without_a_certificate_of_the_authority_stay_outside(secured: Secured) -> None:
    done = secured.run(docker_program(), secured.stranger, "version", "--format", "{{.Server.Version}}")
    assert done.returncode != 0
    assert "certificate" in done.stderr
    with socket.create_connection(("127.0.0.1", secured.port), timeout=10) as plain:
        plain.sendall(b"GET /_ping HTTP/1.1\r\nHost: x\r\n\r\n")
        assert b"200 OK" not in plain.recv(1000)
    context = ssl.create_default_context(cafile=str(secured.client / "ca.pem"))
    with pytest.raises((ssl.SSLError, OSError)):
        urllib.request.urlopen(f"https://127.0.0.1:{secured.port}/_ping", context=context, timeout=10)
    assert secured.daemon.docker("version").returncode == 0  # the unix socket goes on


def test_plain_tcp_is_refused_at_start(tmp_path: Path) -> None:
    program = Path(sys.executable).with_name("boxshipd")
    roots = ["--data-root", str(tmp_path / "data"), "--run-root", str(tmp_path / "run")]
    done = subprocess.run(
        [str(program), *roots, "--host", f"tcp://127.0.0.1:{free_port()}"],
        capture_output=True,
        text=True,
        timeout=30,
        check=False,
    )
    assert done.returncode == 1
    assert done.stderr.startswith("boxshipd: unsupported: plain TCP")


def test_the_busybox_base_serves_a_page(tmp_path: Path) -> None:
    with running_daemon(tmp_path, image=False) as daemon:
        said = daemon.boxship("base", "busybox").stdout
        assert said.startswith("busybox:latest sha256:")
        assert daemon.boxship("base", "busybox", "--quiet", "--tag", "second").stdout.startswith("sha256:")
        layers = [
            daemon.boxship("image", "inspect", "--format", "{{json .RootFS.Layers}}", name).stdout
            for name in ("busybox", "second")
        ]
        assert layers[0] == layers[1]
        serve = "echo hello >/var/www/index.html; exec httpd -f -p 80 -h /var/www"
        daemon.boxship("run", "-d", "--name", "web", "-p", "127.0.0.1::80", "busybox", "sh", "-c", serve)
        place = daemon.boxship("port", "web", "80").stdout.split()[0]
        until(lambda: answers(f"{place}/"), 10, "the page")
        assert daemon.boxship("exec", "web", "whoami").stdout == "root\n"
        for code in range(20):  # the code is known as soon as the output ends
            assert daemon.boxship("exec", "web", "sh", "-c", f"exit {code}", check=False).returncode == code


@pytest.mark.slow
def test_a_debian_base_with_nginx_serves_a_page(tmp_path: Path) -> None:
    with running_daemon(tmp_path, image=False) as daemon:
        daemon.boxship("base", "debian", "--include", "nginx-light", "--tag", "web", timeout=600)
        daemon.boxship("run", "-d", "--name", "web", "-p", "127.0.0.1::80", "web", "nginx", "-g", "daemon off;")
        place = daemon.boxship("port", "web", "80").stdout.split()[0]
        until(lambda: answers(f"{place}/"), 20, "the page")
        assert "bookworm" in daemon.boxship("exec", "web", "cat", "/etc/os-release").stdout
        update = daemon.boxship("exec", "web", "apt-get", "update", check=False, timeout=120)
        assert update.returncode == 0, update.stderr


@pytest.mark.slow
def test_the_demo_runs_and_leaves_nothing() -> None:
    script = Path(__file__).parent.parent.parent / "tools" / "demo.sh"
    done = subprocess.run([str(script)], capture_output=True, text=True, timeout=300, check=False)
    assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-3000:]
    assert "nothing of it is left on this machine" in done.stdout
