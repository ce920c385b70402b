"""The registry of a real daemon in the hands of its clients: skopeo, docker, oras; with and without TLS and users."""

import base64
import json
import ssl
import subprocess
import sys
import textwrap
from collections.abc import Iterator
from pathlib import Path

import bcrypt
import pytest

from daemons import Daemon, free_port, running_daemon, until
from registry_peers import Caller, make_layout, skopeo

PASSWORD = "correct horse"


class Place:
    """A daemon with a registry: its address, how skopeo has to be told about it, how we call it."""

    def __init__(self, daemon: Daemon, address: str, words: list[str], caller: Caller, authority: Path | None) -> None:
        self.daemon = daemon
        self.address = address
        self.words = words
        self.caller = caller
        self.authority = authority

    @property
    def gives_tokens(self) -> bool:
        return "--registry-token" in self.daemon.options

    def flags(self, side: str, *, user: bool = True) -> list[str]:
        """skopeo's flags for a registry on the side "src" or "dest", or on its only one ("")."""
        lead = f"--{side}-" if side else "--"
        return [lead + word for word in self.words if user or not word.startswith("creds")]


@pytest.fixture(scope="module", params=["plain", "basic", "tokens", "tls", "tls and tokens"])
def place(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Place]:
    folder = tmp_path_factory.mktemp("registry")
    address = f"127.0.0.1:{free_port()}"
    options, words = ["--registry", address], []
    context: ssl.SSLContext | None = None
    authority: Path | None = None
    if "tls" in request.param:
        program, pki = Path(sys.executable).parent / "boxship", folder / "pki"
        for arguments in (["init"], ["issue", "server", "registry", "127.0.0.1", "localhost"]):
            subprocess.run([program, "pki", *arguments, "-d", str(pki)], check=True, capture_output=True)
        issued = pki / "issued" / "registry"
        options += ["--registry-tls-cert", str(issued / "cert.pem"), "--registry-tls-key", str(issued / "key.pem")]
        trusted = folder / "trusted"
        trusted.mkdir()
        authority = trusted / "ca.crt"
        authority.write_bytes((issued / "ca.pem").read_bytes())
        words.append(f"cert-dir={trusted}")
        context = ssl.create_default_context(cafile=str(authority))
    else:
        words.append("tls-verify=false")
    if request.param not in ("plain", "tls"):
        users = folder / "htpasswd"
        users.write_text("alice:" + bcrypt.hashpw(PASSWORD.encode(), bcrypt.gensalt(5)).decode() + "\n")
        options += ["--registry-auth", str(users)] + (["--registry-token"] if "tokens" in request.param else [])
        words.append(f"creds=alice:{PASSWORD}")
    with running_daemon(folder, *options, image="tls" not in request.param) as daemon:
        yield Place(daemon, address, words, Caller(address, context), authority)


def test_skopeo_copies_to_and_from(place: Place, tmp_path: Path) -> None:
    digest = make_layout(tmp_path / "layout", b"one" * 1000, b"two" * 100_000)
    there = f"docker://{place.address}/team/app"
    skopeo("copy", "--preserve-digests", *place.flags("dest"), f"oci:{tmp_path}/layout:x", f"{there}:x", home=tmp_path)
    shown = json.loads(skopeo("inspect", *place.flags(""), f"{there}:x", home=tmp_path).stdout)
    assert shown["Digest"] == digest and shown["RepoTags"] == ["x"]
    skopeo(
        "copy", "--preserve-digests", *place.flags("src"), f"{there}@{digest}", f"oci:{tmp_path}/back:x", home=tmp_path
    )
    for path in (tmp_path / "layout" / "blobs" / "sha256").iterdir():
        assert (tmp_path / "back" / "blobs" / "sha256" / path.name).read_bytes() == path.read_bytes()
    both = [*place.flags("src"), *place.flags("dest")]
    skopeo("copy", *both, f"{there}:x", f"docker://{place.address}/other/copy:y", home=tmp_path)
    tags = json.loads(skopeo("list-tags", *place.flags(""), there, home=tmp_path).stdout)
    assert tags["Tags"] == ["x"]
    for name in ("team/app:x", "other/copy:y"):
        skopeo("delete", *place.flags(""), f"docker://{place.address}/{name}", home=tmp_path)
    until(lambda: not (place.daemon.data / "content/blobs/sha256" / digest[7:]).exists(), 5, "the bytes are free")


def test_who_is_not_known_gets_nothing(place: Place, tmp_path: Path) -> None:
    if not any(word.startswith("creds") for word in place.words):
        pytest.skip("everybody may")
    make_layout(tmp_path / "layout", b"x")
    there = f"docker://{place.address}/team/app:x"
    for creds in ([], ["--dest-creds", "alice:wrong"]):
        words = ["copy", *place.flags("dest", user=False), *creds, f"oci:{tmp_path}/layout:x", there]
        refused = skopeo(*words, check=False, home=tmp_path)
        assert refused.returncode != 0
        assert any(word in refused.stderr for word in ("401", "authentication required", "unauthorized"))


def test_docker_pushes_and_pulls(place: Place) -> None:
    if place.authority is not None or len(place.words) > 1:
        pytest.skip("the engine and the registry are one daemon: this path needs no network")
    name = f"{place.address}/bb:one"
    place.daemon.docker("tag", "busybox", name)
    status, headers, _ = place.caller.call("GET", "/v2/bb/manifests/one")
    assert status == 200  # before any push
    pushed = place.daemon.docker("push", name).stdout
    assert headers["docker-content-digest"] in pushed
    place.daemon.docker("rmi", name)
    place.daemon.docker("pull", name)
    assert place.daemon.docker("run", "--rm", name, "echo", "hello").stdout == "hello\n"
    place.daemon.docker("rmi", name)
    assert place.caller.call("DELETE", "/v2/bb/manifests/one")[0] == 202
    assert "name unknown" in place.daemon.docker("pull", name, check=False).stderr


def test_docker_logs_in(place: Place) -> None:
    if not any(word.startswith("creds") for word in place.words) or place.authority is not None:
        pytest.skip("nobody to log in, or an authority that the client would have to be given")
    wrong = place.daemon.docker("login", "-u", "alice", "-p", "wrong", place.address, check=False)
    assert wrong.returncode != 0 and "unauthorized" in wrong.stderr
    right = place.daemon.docker("login", "-u", "alice", "-p", PASSWORD, place.address)
    assert "Login Succeeded" in right.stdout


def test_the_engine_pushes_to_itself_as_somebody(place: Place) -> None:
    if not any(word.startswith("creds") for word in place.words) or place.authority is not None:
        pytest.skip("everybody may, or an authority that the client would have to be given")
    name = f"{place.address}/own/bb:one"
    place.daemon.docker("tag", "busybox", name)
    place.daemon.docker("logout", place.address)
    refused = place.daemon.docker("push", name, check=False)
    assert refused.returncode != 0 and "no basic auth credentials" in refused.stderr
    place.daemon.docker("login", "-u", "alice", "-p", PASSWORD, place.address)
    assert "digest: sha256:" in place.daemon.docker("push", name).stdout
    place.daemon.docker("rmi", name)
    place.daemon.docker("pull", name)
    place.daemon.docker("logout", place.address)
    place.daemon.docker("rmi", name)
    assert place.daemon.docker("pull", name, check=False).returncode != 0


ORAS = """
    import json, sys
    from oras.provider import Registry
    address, folder, kind, user, password = sys.argv[1:]
    registry = Registry(hostname=address, insecure=True, tls_verify=False, auth_backend=kind)
    if user:
        registry.login(username=user, password=password, hostname=address, tls_verify=False)
    name = f"{address}/artifacts/one:v1"
    registry.push(target=name, files=[folder + "/note.txt"], disable_path_validation=True,
                  manifest_annotations={"team": "delivery"})
    manifest = registry.get_manifest(name)
    assert manifest["annotations"]["team"] == "delivery", manifest
    assert registry.get_tags(f"{address}/artifacts/one") == ["v1"]
    found = registry.pull(target=name, outdir=folder + "/out")
    print(json.dumps({"files": found, "manifest": manifest}))
"""


def test_oras_pushes_and_pulls(place: Place, tmp_path: Path) -> None:
    if place.authority is not None:
        pytest.skip("oras takes no authority of its own in all of its requests")
    (tmp_path / "note.txt").write_text("an artifact\n")
    user, password = ("alice", PASSWORD) if len(place.words) > 1 else ("", "")
    kind = "token" if place.gives_tokens else "basic"
    done = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(ORAS), place.address, str(tmp_path), kind, user, password],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
        cwd=tmp_path,
        env={"HOME": str(tmp_path), "PATH": "/usr/bin:/bin"},
    )
    assert done.returncode == 0, done.stderr
    (pulled,) = json.loads(done.stdout.splitlines()[-1])["files"]
    assert Path(pulled).read_text() == "an artifact\n"


def test_an_artifact_about_an_image(place: Place, tmp_path: Path) -> None:
    subject = make_layout(tmp_path / "layout", b"subject")
    there = f"docker://{place.address}/team/signed:x"
    skopeo("copy", "--preserve-digests", *place.flags("dest"), f"oci:{tmp_path}/layout:x", there, home=tmp_path)
    headers = basic() if len(place.words) > 1 or any("creds" in word for word in place.words) else {}
    empty = b"{}"
    location = place.caller.call("POST", "/v2/team/signed/blobs/uploads/", headers=headers)[1]["location"]
    digest = "sha256:44136fa355b3678a1146ad16f7e8649e94fb4fc21fe77e8310c060f61caaff8a"
    assert place.caller.call("PUT", f"{location}?digest={digest}", empty, headers)[0] == 201
    kind = {"mediaType": "application/vnd.oci.empty.v1+json", "digest": digest, "size": 2}
    document = {
        "schemaVersion": 2,
        "mediaType": "application/vnd.oci.image.manifest.v1+json",
        "artifactType": "application/vnd.example.note",
        "config": kind,
        "layers": [kind],
        "subject": {"mediaType": "application/vnd.oci.image.manifest.v1+json", "digest": subject, "size": 1},
    }
    sent = {**headers, "Content-Type": document["mediaType"]}
    status, answer, _ = place.caller.call("PUT", "/v2/team/signed/manifests/note", json.dumps(document), sent)  # type: ignore[arg-type]
    assert status == 201 and answer["oci-subject"] == subject
    _, _, body = place.caller.call("GET", f"/v2/team/signed/referrers/{subject}", headers=headers)
    (found,) = json.loads(body)["manifests"]
    assert found["artifactType"] == "application/vnd.example.note"


def basic() -> dict[str, str]:
    return {"Authorization": "Basic " + base64.b64encode(f"alice:{PASSWORD}".encode()).decode()}
