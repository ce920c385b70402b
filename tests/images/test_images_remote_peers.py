"""Debian's docker-registry, with users and TLS, through the daemon and both clients; and skopeo's view of what came."""

import datetime
import json
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from boxship.pki import authority
from boxship.pki.names import subject_for
from daemons import Daemon, running_daemon
from registry_peers import debian_registry, skopeo

bcrypt = pytest.importorskip("bcrypt")


@pytest.fixture(scope="module")
def box() -> Iterator[Daemon]:
    with tempfile.TemporaryDirectory(prefix="bx") as folder, running_daemon(Path(folder)) as running:
        yield running


@pytest.fixture
def guarded(tmp_path: Path) -> Iterator[str]:
    """The address of a docker-registry behind TLS that knows ann."""
    now = datetime.datetime.now(datetime.UTC)
    authority.create(tmp_path / "pki", "Test", now)
    ours = authority.open_authority(tmp_path / "pki").issue_server(subject_for("registry", ("127.0.0.1",)), now)
    secret = bcrypt.hashpw(b"secret", bcrypt.gensalt(4)).decode().replace("$2b$", "$2y$", 1)
    (tmp_path / "users").write_text(f"ann:{secret}\n")
    users = {"htpasswd": {"realm": "test", "path": f"{tmp_path}/users"}}
    tls = {"certificate": f"{ours}/cert.pem", "key": f"{ours}/key.pem"}
    with debian_registry(tmp_path, auth=users, http={"tls": tls}) as running:
        yield running.address


def test_users_and_tls(box: Daemon, guarded: str, tmp_path: Path) -> None:
    name = f"{guarded}/team/app:1"
    box.docker("tag", "busybox:latest", name)
    refused = box.docker("push", name, check=False)
    assert refused.returncode == 1 and "no basic auth credentials" in refused.stderr
    box.docker("login", "-u", "ann", "--password-stdin", guarded, data=b"secret")
    pushed = box.docker("push", name).stdout
    digest = pushed.rpartition("digest: ")[2].split()[0]
    identifier = box.docker("image", "inspect", "-f", "{{.Id}}", name).stdout
    box.docker("rmi", name)
    box.docker("pull", f"{guarded}/team/app@{digest}")
    box.docker("pull", name)
    assert box.docker("image", "inspect", "-f", "{{.Id}}", name).stdout == identifier
    other = f"{guarded}/team/copy:1"
    box.docker("tag", name, other)
    assert "Mounted from team/app" in box.docker("push", other).stdout
    skopeo("login", "--tls-verify=false", "-u", "ann", "-p", "secret", guarded, home=tmp_path)
    shown = skopeo("inspect", "--tls-verify=false", f"docker://{other}", home=tmp_path).stdout
    assert json.loads(shown)["Digest"] == digest
    layout = tmp_path / "layout"
    skopeo("copy", "--src-tls-verify=false", f"docker://{name}", f"oci:{layout}:x", home=tmp_path)
    # Layers that another tool has compressed come in as well, with the same files.
    skopeo("copy", "--dest-tls-verify=false", f"oci:{layout}:x", f"docker://{guarded}/packed:2", home=tmp_path)
    box.docker("rmi", "-f", identifier.strip())
    box.docker("pull", f"{guarded}/packed:2")
    assert box.docker("run", "--rm", f"{guarded}/packed:2", "echo", "hello").stdout == "hello\n"
    box.docker("tag", f"{guarded}/packed:2", "busybox:latest")
    box.docker("logout", guarded)
