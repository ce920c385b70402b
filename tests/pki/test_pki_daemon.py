"""The real daemon with an authority: the stock client over TCP, renewal under a stream, revocation; signed images."""

import contextlib
import os
import ssl
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from boxship.cli.program import run
from daemons import Daemon, docker_program, free_port, running_daemon, until

pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason="the daemon runs as root")


class Remote:
    """A daemon that is reached over TCP with certificates of an authority."""

    def __init__(self, daemon: Daemon, folder: Path, port: int) -> None:
        self.daemon = daemon
        self.folder = folder
        self.port = port

    def command(self, client: str, *arguments: str) -> list[str]:
        place = self.folder / "issued" / client
        files = [f"--tls{kind}={place / name}" for kind, name in TLS_FILES.items()]
        return [docker_program(), "-H", f"tcp://127.0.0.1:{self.port}", "--tlsverify", *files, *arguments]

    def docker(self, client: str, *arguments: str) -> "subprocess.CompletedProcess[str]":
        command = self.command(client, *arguments)
        return subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)

    def shown(self) -> str:
        """The certificate that the daemon shows now."""
        return ssl.get_server_certificate(("127.0.0.1", self.port), timeout=20)


TLS_FILES = {"cacert": "ca.pem", "cert": "cert.pem", "key": "key.pem"}


@pytest.fixture(scope="module")
def remote(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Remote]:
    home = tmp_path_factory.mktemp("d")
    folder = home / "pki"
    assert run(["pki", "init", "-d", str(folder)]) == 0
    for name in ("alice", "bob"):
        assert run(["pki", "issue", "client", name, "-d", str(folder)]) == 0
    port = free_port()
    with running_daemon(home, "--host", f"tcp://127.0.0.1:{port}", "--pki", str(folder), "--tls-life", "6s") as daemon:
        yield Remote(daemon, folder, port)


def test_a_stream_goes_on_while_the_certificate_is_renewed(remote: Remote) -> None:
    script = "i=0; while true; do i=$((i+1)); echo line $i; sleep 0.1; done"
    command = remote.command("alice", "run", "--rm", "--name", "ticker", "busybox", "sh", "-c", script)
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as stream:
        assert stream.stdout is not None
        seen: list[str] = []
        deadline = time.monotonic() + 60
        count = 0
        while len(seen) < 3:  # two renewals: the first certificate's life of 6 seconds is long over then
            assert time.monotonic() < deadline, seen
            count += 1
            assert stream.stdout.readline() == f"line {count}\n"
            if count % 5 == 0 and (shown := remote.shown()) not in seen:
                seen.append(shown)
                assert remote.docker("alice", "version").returncode == 0
        remote.docker("alice", "kill", "ticker")
        assert stream.wait(30) != 0


def test_a_revoked_client_is_refused_at_once(remote: Remote) -> None:
    assert remote.docker("bob", "version").returncode == 0
    assert run(["pki", "revoke", "bob", "-d", str(remote.folder), "--reason", "key-compromise"]) == 0
    refused = remote.docker("bob", "version")
    assert refused.returncode != 0 and "certificate" in refused.stderr, refused.stderr
    assert remote.docker("alice", "version").returncode == 0
    place = remote.folder / "issued" / "bob"
    assert run(["pki", "renew", "bob", "--new-key", "-d", str(remote.folder)]) == 0
    assert place.exists() and remote.docker("bob", "version").returncode == 0


def test_a_revoked_clients_stream_is_cut(remote: Remote) -> None:
    assert run(["pki", "issue", "client", "eve", "-d", str(remote.folder)]) == 0
    since = str(int(time.time()))
    command = remote.command("eve", "events", "--since", since, "--filter", "type=volume")
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as stream:
        remote.daemon.docker("volume", "create", "first")
        assert stream.stdout is not None and "first" in stream.stdout.readline()
        assert run(["pki", "revoke", "eve", "-d", str(remote.folder)]) == 0
        # the daemon looks once a second; whatever happens after that is not told to eve
        until(lambda: remote.docker("eve", "version").returncode != 0, 10, "eve is refused")
        remote.daemon.docker("volume", "create", "second")
        rest, _ = stream.communicate(timeout=20)
        assert "second" not in rest
    remote.daemon.docker("volume", "rm", "first", "second")


def test_nobody_without_a_certificate(remote: Remote) -> None:
    bare = [docker_program(), "-H", f"tcp://127.0.0.1:{remote.port}", "--tls", "version"]
    assert subprocess.run(bare, capture_output=True, timeout=60, check=False).returncode != 0
    server = remote.folder / "issued" / "boxshipd"
    assert server.is_dir()
    assert remote.docker("boxshipd", "version").returncode != 0  # a server's certificate is no client's


@contextlib.contextmanager
def signing(home: Path) -> Iterator[tuple[Daemon, Path, Path]]:
    """A daemon whose policy file is at the second place; a key pair at the third (.key and .pub)."""
    policy, key = home / "policy.toml", home / "release"
    (home / "secret").write_text("open sesame\n")
    (home / "secret").chmod(0o600)
    secret = str(home / "secret")
    assert run(["pki", "cosign-key", "-o", str(key), "--passphrase-file", secret], {}) == 0
    policy.write_text(f'[keys]\nrelease = "{key}.pub"\n{RULE}')
    with running_daemon(home, "--trust-policy", str(policy)) as daemon:
        yield daemon, policy, key


RULE = '[[rule]]\nname = "prod"\nrepository = "registry.test/prod/**"\naction = "require"\nkeys = ["release"]\n'


def test_a_policy_demands_signatures_at_run(tmp_path: Path) -> None:
    with signing(tmp_path) as (daemon, policy, key):
        image = "registry.test/prod/web:1"
        daemon.docker("tag", "busybox", image)
        refused = daemon.docker("run", "--rm", image, "true", check=False)
        assert refused.returncode != 0
        for word in ("prod (registry.test/prod/**)", "release", "policy.toml", "signed by 1 of release is required"):
            assert word in refused.stderr, refused.stderr
        assert daemon.boxship("verify", "--policy", str(policy), image, check=False).returncode == 1
        public, secret = f"{key}.pub", str(tmp_path / "secret")
        assert daemon.boxship("verify", "--key", public, image, check=False).returncode == 1
        signed = daemon.boxship("sign", "--key", f"{key}.key", "--passphrase-file", secret, "-a", "stage=prod", image)
        assert "signed registry.test/prod/web@sha256:" in signed.stdout
        assert "is signed by" in daemon.boxship("verify", "--key", public, image).stdout
        assert daemon.boxship("verify", "--key", public, "-a", "stage=test", image, check=False).returncode == 1
        assert "accepted" in daemon.boxship("verify", "--policy", str(policy), image).stdout
        assert "accepted" in daemon.boxship("pki", "policy", "check", str(policy), image).stdout
        daemon.docker("run", "--rm", image, "true")
        # signed as prod/web, it is not signed as prod/other: a signature is for a name
        daemon.docker("tag", image, "registry.test/prod/other")
        other = daemon.docker("run", "--rm", "registry.test/prod/other", "true", check=False)
        assert "was signed as registry.test/prod/web" in other.stderr
        # by its id it must be good under each of its names
        identifier = daemon.docker("image", "inspect", "-f", "{{.Id}}", image).stdout.strip()
        assert daemon.docker("run", "--rm", identifier, "true", check=False).returncode != 0
        daemon.docker("rmi", "registry.test/prod/other")
        daemon.docker("run", "--rm", identifier, "true")
        # changes hold without a restart; a broken file refuses all
        good = policy.read_text()
        policy.write_text(good.replace('"require"', '"reject"').replace('keys = ["release"]\n', ""))
        assert "the rule says reject" in daemon.docker("run", "--rm", image, "true", check=False).stderr
        policy.write_text("nonsense")
        broken = daemon.docker("run", "--rm", "busybox", "true", check=False)
        assert "no image can be trusted" in broken.stderr and "policy.toml" in broken.stderr
        policy.write_text(good)
        daemon.docker("run", "--rm", image, "true")
        Path(public).rename(tmp_path / "away.pub")
        assert "cannot be used" in daemon.docker("run", "--rm", image, "true", check=False).stderr
        (tmp_path / "away.pub").rename(public)
        # the signature outlives kill -9, and goes with its image
        daemon.kill()
        daemon.start()
        daemon.docker("run", "--rm", image, "true")
