"""The registry's options, all set in the TOML file of a real daemon, by what its clients get and do not get."""

import base64
import json
import os
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import bcrypt
import pytest

from boxship.errors import Invalid
from boxship.main.own_registry import RemoteUpstream
from boxship.registry.policy import read_policy
from daemons import Daemon, running_daemon, until
from registry_peers import Caller, free_port, make_layout, skopeo

PASSWORDS = {"alice": "correct horse", "bob": "battery staple"}
POLICY = """
[[repository]]
match = ["team/**"]
pull = ["*"]
push = ["alice"]
delete = ["alice"]
immutable = ["v*"]
protected = ["stable"]

[[repository]]
match = ["small/**"]
quota = "100k"

[[repository]]
match = ["public/**"]
pull = ["anonymous"]
"""


def own_address() -> str:
    """An address of this machine that is not loopback."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        probe.connect(("192.0.2.1", 9))
        return str(probe.getsockname()[0])


def toml(home: Path, **values: Any) -> tuple[str, str]:
    """The options that name a file with these values."""
    path = home / "boxshipd.toml"
    path.write_text("".join(f"{name.replace('_', '-')} = {json.dumps(value)}\n" for name, value in values.items()))
    return "--config", str(path)


def users_file(folder: Path) -> str:
    path = folder / "htpasswd"
    lines = [f"{user}:{bcrypt.hashpw(word.encode(), bcrypt.gensalt(5)).decode()}\n" for user, word in PASSWORDS.items()]
    path.write_text("".join(lines))
    return str(path)


def basic(user: str) -> dict[str, str]:
    return {"Authorization": "Basic " + base64.b64encode(f"{user}:{PASSWORDS[user]}".encode()).decode()}


@pytest.fixture(scope="module")
def guarded(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Daemon, str]]:
    """A daemon whose registry serves the network without TLS, with users, tokens and a policy; and its name."""
    folder = tmp_path_factory.mktemp("options")
    (folder / "policy.toml").write_text(POLICY)
    name = f"{own_address()}:{free_port()}"
    options = toml(
        folder,
        registry=f"0.0.0.0:{name.rpartition(':')[2]}",
        registry_plain_http=True,
        registry_name=[name],
        registry_auth=users_file(folder),
        registry_token=True,
        registry_policy=str(folder / "policy.toml"),
        registry_metrics=True,
        insecure_registry=[own_address()],
    )
    with running_daemon(folder, *options) as daemon:
        yield daemon, name


def log_in(daemon: Daemon, name: str, user: str) -> None:
    daemon.docker("login", "-u", user, "--password-stdin", name, data=PASSWORDS[user].encode())


def test_tokens_and_metrics(guarded: tuple[Daemon, str]) -> None:
    _, name = guarded
    caller = Caller(name)
    status, headers, _ = caller.call("GET", "/v2/")
    assert status == 401 and f'Bearer realm="http://{name}/token"' in headers["www-authenticate"]
    assert caller.call("GET", "/metrics")[0] == 401
    nobody = json.loads(caller.call("GET", "/token?service=x")[2])["token"]
    assert caller.call("GET", "/v2/", headers={"Authorization": f"Bearer {nobody}"})[0] == 200
    assert caller.call("GET", "/metrics", headers={"Authorization": f"Bearer {nobody}"})[0] == 401
    status, _, body = caller.call("GET", "/metrics", headers=basic("bob"))
    assert status == 200 and b"boxship_registry_requests_total" in body


def test_rights_of_users_of_the_stock_client(guarded: tuple[Daemon, str]) -> None:
    daemon, name = guarded
    image = f"{name}/team/app:1"
    daemon.docker("tag", "busybox", image)
    daemon.docker("logout", name)
    refused = daemon.docker("push", image, check=False)
    assert refused.returncode == 1 and "no basic auth credentials" in refused.stderr
    log_in(daemon, name, "bob")
    refused = daemon.docker("push", image, check=False)
    assert refused.returncode == 1 and "denied: bob may not push to team/app" in refused.stderr
    log_in(daemon, name, "alice")
    blobs = daemon.data / "content" / "blobs" / "sha256"
    before = set(blobs.iterdir())
    assert "digest: sha256:" in daemon.docker("push", image).stdout
    assert sum(path.stat().st_size for path in set(blobs.iterdir()) - before) < 16_384  # no layer came anew
    daemon.docker("rmi", image)
    log_in(daemon, name, "bob")
    daemon.docker("pull", image)
    daemon.docker("rmi", image)
    daemon.docker("logout", name)
    refused = daemon.docker("pull", image, check=False)
    assert refused.returncode == 1 and "pull access denied for" in refused.stderr, refused.stderr
    log_in(daemon, name, "alice")
    public = f"{name}/public/app:1"
    daemon.docker("tag", "busybox", public)
    daemon.docker("push", public)
    daemon.docker("rmi", public)
    daemon.docker("logout", name)
    daemon.docker("pull", public)
    daemon.docker("rmi", public)


def test_tags_that_do_not_change_or_go(guarded: tuple[Daemon, str], tmp_path: Path) -> None:
    daemon, name = guarded
    log_in(daemon, name, "alice")
    image = f"{name}/team/fixed:v1"
    daemon.docker("tag", "busybox", image)
    daemon.docker("push", image)
    daemon.docker("push", image)  # the same again
    other = daemon.docker("import", "-c", "LABEL a=b", "-", image, data=b"\0" * 10240).stdout.strip()
    refused = daemon.docker("push", image, check=False)
    assert refused.returncode == 1 and "cannot push tag v1 of repository team/fixed: it is immutable" in refused.stderr
    make_layout(tmp_path / "layout", b"other")
    words = ["copy", "--dest-tls-verify=false", "--dest-creds", f"alice:{PASSWORDS['alice']}"]
    told = skopeo(*words, f"oci:{tmp_path}/layout:x", f"docker://{image}", check=False, home=tmp_path).stderr
    assert "immutable" in told
    skopeo(*words, f"oci:{tmp_path}/layout:x", f"docker://{name}/team/fixed:stable", home=tmp_path)
    caller = Caller(name)
    status, _, body = caller.call("DELETE", "/v2/team/fixed/manifests/stable", headers=basic("alice"))
    assert status >= 400 and b"protected" in body
    assert caller.call("DELETE", "/v2/team/fixed/manifests/stable", headers=basic("bob"))[0] == 403
    assert caller.call("HEAD", "/v2/team/fixed/manifests/stable", headers=basic("bob"))[0] == 200
    daemon.docker("rmi", "-f", other)


def test_a_quota(guarded: tuple[Daemon, str], tmp_path: Path) -> None:
    daemon, name = guarded
    log_in(daemon, name, "alice")
    daemon.docker("tag", "busybox", f"{name}/small/app:1")
    refused = daemon.docker("push", f"{name}/small/app:1", check=False)
    assert refused.returncode == 1 and "quota of 102400 bytes" in refused.stderr
    make_layout(tmp_path / "layout", os.urandom(200_000))  # skopeo compresses
    make_layout(tmp_path / "little", b"x")
    words = ["copy", "--dest-tls-verify=false", "--dest-creds", f"alice:{PASSWORDS['alice']}"]
    told = skopeo(*words, f"oci:{tmp_path}/layout:x", f"docker://{name}/small/app:1", check=False, home=tmp_path)
    assert told.returncode != 0 and ("quota" in told.stderr or "denied" in told.stderr)
    skopeo(*words, f"oci:{tmp_path}/little:x", f"docker://{name}/small/app:1", home=tmp_path)
    daemon.docker("rmi", f"{name}/small/app:1")


def test_without_the_option_the_network_is_not_served(tmp_path: Path) -> None:
    program = str(Path(sys.executable).parent / "boxshipd")
    roots = ("--data-root", str(tmp_path / "data"), "--run-root", str(tmp_path / "run"))
    done = subprocess.run(
        [program, *roots, "--host", f"unix://{tmp_path}/d.sock", *toml(tmp_path, registry=f"0.0.0.0:{free_port()}")],
        capture_output=True,
        text=True,
        timeout=30,
        check=False,
    )
    assert done.returncode == 1 and "without TLS only addresses of this machine serve" in done.stderr


def test_a_cache_of_a_registry_that_asks_who_we_are(tmp_path: Path) -> None:
    """Pulled through by the stock client, and served while the other registry is away."""
    for name in ("there", "here"):
        (tmp_path / name).mkdir()
    upstream, own = f"127.0.0.1:{free_port()}", f"127.0.0.1:{free_port()}"
    (tmp_path / "password").write_text(PASSWORDS["alice"] + "\n")
    (tmp_path / "policy.toml").write_text(
        f'[[cache]]\nprefix = "hub"\nupstream = "{upstream}"\nrefresh = "0s"\n'
        f'username = "alice"\npassword-file = "{tmp_path}/password"\n'
    )
    first = toml(tmp_path / "there", registry=upstream, registry_auth=users_file(tmp_path), registry_token=True)
    second = toml(tmp_path / "here", registry=own, registry_policy=str(tmp_path / "policy.toml"))
    with (
        running_daemon(tmp_path / "there", *first) as other,
        running_daemon(tmp_path / "here", *second, image=False) as daemon,
    ):
        log_in(other, upstream, "alice")
        other.docker("tag", "busybox", f"{upstream}/lib/box:1")
        pushed = other.docker("push", f"{upstream}/lib/box:1").stdout
        image = f"{own}/hub/lib/box:1"
        assert pushed.rpartition("digest: ")[2].split()[0] in daemon.docker("pull", image).stdout
        assert daemon.docker("run", "--rm", image, "echo", "hello").stdout == "hello\n"
        other.stop()
        daemon.docker("rmi", image)
        daemon.docker("pull", image)
        assert daemon.docker("run", "--rm", image, "echo", "again").stdout == "again\n"
        refused = daemon.docker("push", image, check=False)
        assert refused.returncode == 1 and f"it comes from {upstream}" in refused.stderr
        daemon.docker("rmi", image)
        assert Caller(own).call("DELETE", "/v2/hub/lib/box/manifests/1")[0] == 202
        until(lambda: not list((daemon.data / "content/blobs/sha256").iterdir()), 5, "the cache is empty")
        other.start()


@pytest.mark.parametrize(
    ("policy", "named"),
    [
        ('[[cache]]\nprefix = "hub"\nupstream = "http://reg.example"\n', "cannot use upstream http://reg.example"),
        ('[[cache]]\nprefix = "hub"\nupstream = "r.example"\nusername = "a"\npassword-file = "/none"\n', "/none"),
        ('catalog = ["alice"]\n', "catalog"),
        ('[[repository]]\nmatch = ["a"]\nquotas = "1g"\n', "quotas"),
        ("[[repository]]\nmatch = []\n", "at least one pattern"),
    ],
)
def test_a_policy_that_cannot_be_meant_is_named_at_the_start(policy: str, named: str) -> None:
    with pytest.raises(Invalid, match=named):
        for cache in read_policy(policy, "policy.toml").caches:
            RemoteUpstream(cache, lambda: pytest.fail("not asked"))


def test_what_was_pushed_outlives_a_daemon_without_the_registry(tmp_path: Path) -> None:
    address = f"127.0.0.1:{free_port()}"
    digest = make_layout(tmp_path / "layout", b"kept" * 10_000)
    there = f"docker://{address}/team/app:x"
    with running_daemon(tmp_path, "--registry", address, image=False) as daemon:
        words = ["copy", "--preserve-digests", "--dest-tls-verify=false", f"oci:{tmp_path}/layout:x", there]
        skopeo(*words, home=tmp_path)
        blobs = daemon.data / "content" / "blobs" / "sha256"
        before = sorted(path.name for path in blobs.iterdir())
        assert len(before) == 3
        daemon.stop()
        daemon.options = ()
        daemon.start()
        archive = subprocess.run(["tar", "-c", "-T", "/dev/null"], capture_output=True, check=True).stdout
        daemon.docker("import", "-", "other", data=archive)
        daemon.docker("rmi", "other")  # the collector has run
        assert sorted(path.name for path in blobs.iterdir()) == before
        assert daemon.boxship("system", "check").stdout == "Everything is as it should be.\n"
        assert "blobs: registry" in daemon.boxship("system", "df", "--all").stdout
        daemon.stop()
        daemon.options = ("--registry", address)
        daemon.start()
        shown = json.loads(skopeo("inspect", "--tls-verify=false", there, home=tmp_path).stdout)
        assert shown["Digest"] == digest
        skopeo("copy", "--src-tls-verify=false", there, f"oci:{tmp_path}/back:x", home=tmp_path)
        skopeo("delete", "--tls-verify=false", there, home=tmp_path)
        until(lambda: not list(blobs.iterdir()), 5, "the bytes are free")


def test_every_byte_has_a_name(guarded: tuple[Daemon, str], tmp_path: Path) -> None:
    """Of a daemon that does all it can: registry, tokens, builds with caches, containers, volumes."""
    daemon, name = guarded
    make_layout(tmp_path / "layout", b"of the registry alone")
    words = ["--dest-tls-verify=false", "--dest-creds", f"alice:{PASSWORDS['alice']}"]
    skopeo("copy", *words, f"oci:{tmp_path}/layout:x", f"docker://{name}/named/app:1", home=tmp_path)
    caller = Caller(name)
    location = caller.call("POST", "/v2/named/app/blobs/uploads/", headers=basic("alice"))[1]["location"]
    assert caller.call("PATCH", location, b"half", basic("alice"))[0] == 202
    (tmp_path / "file").write_text("x")
    (tmp_path / "Dockerfile").write_text(
        "FROM busybox\nCOPY file /\nRUN --mount=type=cache,target=/cache date >/cache/date && date >/date\n"
    )
    daemon.boxship("build", "-t", "named", str(tmp_path))
    daemon.docker("build", "-q", str(tmp_path))
    daemon.docker("run", "-d", "--name", "named", "-v", "named:/data", "named", "sh", "-c", "echo x; sleep 1000")

    def names() -> set[str]:
        rows = daemon.boxship("system", "df", "-a", "--format", "json").stdout.splitlines()
        return {json.loads(row)["Name"] for row in rows}

    wanted = {"blobs: registry", "partial uploads", "keys", "volumes", "build cache: volumes", "containers: logs"}
    until(lambda: wanted <= names(), 5, f"all of {wanted}")
    until(lambda: not [found for found in names() if found.startswith("other") or "unclaimed" in found], 5, "names")
    assert caller.call("DELETE", location, headers=basic("alice"))[0] == 204
    daemon.docker("rm", "-fv", "named")
    daemon.docker("rmi", "named")
