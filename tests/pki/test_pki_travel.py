"""Signatures on their way: from one daemon through a registry to another, which demands them at pull."""

import base64
import contextlib
import hashlib
import json
import os
import shutil
import socket
import ssl
import subprocess
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import pytest

from boxship.cli.program import run
from boxship.pki import cosign, keys, payloads
from daemons import Daemon, free_port, running_daemon, until
from registry_peers import debian_registry

pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason="the daemon runs as root")


class Pair:
    """A maker of images and a user of images who trusts one key, with a registry between them."""

    def __init__(self, home: Path, maker: Daemon, user: Daemon, registry: str) -> None:
        self.home = home
        self.maker = maker
        self.user = user
        self.registry = registry

    def make(self, name: str) -> str:
        """A new image, pushed."""
        image = f"{self.registry}/{name}"
        self.maker.docker("import", "-", image, data=self.tar(name))
        self.maker.docker("push", image)
        return image

    def tar(self, name: str) -> bytes:
        (self.home / "tree").mkdir(exist_ok=True)
        (self.home / "tree" / "name").write_text(name)
        shutil.copy("/bin/busybox", self.home / "tree" / "true")
        return subprocess.run(["tar", "-C", str(self.home / "tree"), "-c", "."], capture_output=True, check=True).stdout

    def sign(self, image: str, *more: str, key: str = "release") -> None:
        secret = str(self.home / "secret")
        self.maker.boxship("sign", "--key", f"{self.home / key}.key", "--passphrase-file", secret, *more, image)


@contextlib.contextmanager
def two(home: Path, registry: str, *options: str, maker: tuple[str, ...] = ()) -> Iterator[Pair]:
    (home / "secret").write_text("open sesame\n")
    (home / "secret").chmod(0o600)
    for name in ("release", "other"):
        words = ["pki", "cosign-key", "-o", str(home / name), "--passphrase-file", str(home / "secret")]
        assert run(words, {}) == 0
    (home / "policy.toml").write_text(
        '[keys]\nrelease = "release.pub"\nother = "other.pub"\n'
        f'[[rule]]\nname = "prod"\nrepository = "{registry}/prod/**"\naction = "require"\nkeys = ["release"]\n'
        f'[[rule]]\nrepository = "{registry}/both/**"\naction = "require"\nkeys = ["release", "other"]\ncount = "all"\n'
        f'[[rule]]\nrepository = "{registry}/never/**"\naction = "reject"\n'
    )
    (home / "maker").mkdir()
    (home / "user").mkdir()
    policy = str(home / "policy.toml")
    with (
        running_daemon(home / "maker", *maker, image=False) as first,
        running_daemon(home / "user", "--trust-policy", policy, *options, image=False) as second,
    ):
        yield Pair(home, first, second, registry)


@pytest.fixture(scope="module")
def pair(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Pair]:
    registry = f"127.0.0.1:{free_port()}"
    with two(tmp_path_factory.mktemp("t"), registry, maker=("--registry", registry)) as made:
        yield made


def refused(pair: Pair, image: str) -> str:
    done = pair.user.docker("pull", image, check=False)
    assert done.returncode != 0
    assert pair.user.docker("image", "inspect", image, check=False).returncode != 0  # nothing has the name
    return done.stderr + done.stdout


def test_unsigned_is_refused_at_pull_and_signed_is_taken(pair: Pair) -> None:
    image = pair.make("prod/web")
    told = refused(pair, image)
    for word in (f"prod ({pair.registry}/prod/**)", "no signature by release", "policy.toml"):
        assert word in told, told
    pair.sign(image, "--push")
    pair.user.docker("pull", image)
    pair.user.docker("create", "--name", "web", image, "/true")
    pair.user.docker("rm", "web")
    shown = pair.user.boxship("verify", "--key", str(pair.home / "release.pub"), image).stdout
    assert f"{pair.registry}/prod/web@sha256:" in shown
    assert pair.user.boxship("verify", "--key", str(pair.home / "other.pub"), image, check=False).returncode == 1


def test_a_push_takes_the_signatures_along(pair: Pair) -> None:
    image = pair.make("prod/later")
    refused(pair, image)
    pair.sign(image)
    refused(pair, image)
    pair.maker.docker("push", image)
    pair.user.docker("pull", image)


def test_all_keys_are_needed_where_all_are_asked_for(pair: Pair) -> None:
    image = pair.make("both/web")
    pair.sign(image, "--push", key="other")
    told = refused(pair, image)
    assert "signed by other" in told and "no signature by release" in told
    pair.sign(image, "--push", key="release")
    pair.user.docker("pull", image)


def test_a_rejected_repository_and_a_free_one(pair: Pair) -> None:
    image = pair.make("never/web")
    pair.sign(image, "--push")
    assert "the rule says reject" in refused(pair, image)
    pair.user.docker("pull", pair.make("free/web"))


def test_another_images_signature_does_not_count(pair: Pair) -> None:
    """Somebody who can write to the registry, but has no key, moves a good signature to another image."""
    good, bad = pair.make("prod/good"), pair.make("prod/bad")
    pair.sign(good)
    signature = _signatures(pair.maker, good)["Signatures"][0]
    subject = _signatures(pair.maker, bad)["Digest"]
    _push_referrer(f"http://{pair.registry}/v2/prod/bad", subject, signature)
    assert "a signature is for another image" in refused(pair, bad)


def test_signatures_under_the_older_tag_are_read(pair: Pair) -> None:
    """As cosign wrote them before referrers: a manifest under the tag sha256-HEX.sig, a layer for each signature."""
    image = pair.make("prod/old")
    refused(pair, image)
    digest = _signatures(pair.maker, image)["Digest"]
    payload = payloads.write_payload(digest, f"{pair.registry}/prod/old")
    key = _private(pair.home)
    signature = {"Payload": base64.b64encode(payload).decode(), "Signature": cosign.sign(key, payload)}
    tag = digest.replace(":", "-") + ".sig"
    _push_referrer(f"http://{pair.registry}/v2/prod/old", "", signature, tag)
    pair.user.docker("pull", image)


def test_signatures_go_with_their_image(pair: Pair) -> None:
    image = pair.make("free/gone")
    pair.sign(image)
    digest = _signatures(pair.maker, image)["Signatures"][0]["Payload"]
    blob = hashlib.sha256(base64.b64decode(digest)).hexdigest()
    place = pair.user.data / "content" / "blobs" / "sha256" / blob
    pair.maker.docker("push", image)
    pair.user.docker("pull", image)
    assert place.exists()
    pair.user.docker("rmi", image)
    until(lambda: not place.exists(), 5, "the signature is gone")


def _private(home: Path) -> keys.Key:
    from boxship.pki import sealing

    return sealing.unseal((home / "release.key").read_bytes(), b"open sesame", "release")


def _signatures(daemon: Daemon, image: str) -> dict[str, object]:
    command = ["curl", "-s", "--unix-socket", str(daemon.socket), f"http://x/boxship/images/{image}/signatures"]
    found: dict[str, object] = json.loads(subprocess.run(command, capture_output=True, check=True).stdout)
    return found


def _send(url: str, method: str, data: bytes, kind: str, context: ssl.SSLContext | None = None) -> str:
    request = urllib.request.Request(url, data, {"Content-Type": kind}, method=method)
    with urllib.request.urlopen(request, timeout=20, context=context) as reply:
        return str(reply.headers.get("Location", ""))


def _push_referrer(base: str, subject: str, signature: dict[str, str], tag: str = "") -> None:
    """Put a signature into a registry by hand."""
    host = base.partition("/v2/")[0]

    def blob(data: bytes) -> tuple[str, int]:
        digest = "sha256:" + hashlib.sha256(data).hexdigest()
        place = _send(f"{base}/blobs/uploads/", "POST", b"", "application/octet-stream")
        place = place if place.startswith("http") else host + place
        glue = "&" if "?" in place else "?"
        _send(f"{place}{glue}digest={digest}", "PUT", data, "application/octet-stream")
        return digest, len(data)

    payload = base64.b64decode(signature["Payload"])
    (config, config_size), (layer, layer_size) = blob(b"{}"), blob(payload)
    manifest: dict[str, object] = {
        "schemaVersion": 2,
        "mediaType": "application/vnd.oci.image.manifest.v1+json",
        "config": {"mediaType": payloads.ARTIFACT_TYPE, "digest": config, "size": config_size},
        "layers": [
            {
                "mediaType": payloads.PAYLOAD_TYPE,
                "digest": layer,
                "size": layer_size,
                "annotations": {payloads.SIGNATURE_ANNOTATION: signature["Signature"]},
            }
        ],
    }
    if subject:
        manifest["subject"] = {"mediaType": manifest["mediaType"], "digest": subject, "size": 1}
    data = json.dumps(manifest).encode()
    name = tag or "sha256:" + hashlib.sha256(data).hexdigest()
    _send(f"{base}/manifests/{name}", "PUT", data, str(manifest["mediaType"]))


def test_through_a_registry_that_knows_no_referrers(tmp_path: Path) -> None:
    """Debian's docker-registry: the list of referrers stands under a tag."""
    with debian_registry(tmp_path) as registry, two(tmp_path, registry.address) as pair:
        image = pair.make("prod/web")
        refused(pair, image)
        pair.sign(image, "--push", key="other")
        pair.sign(image, "--push", key="release")
        pair.user.docker("pull", image)
        assert len(_signatures(pair.user, image)["Signatures"]) == 2  # type: ignore[arg-type]


def test_the_registry_has_certificates_of_the_authority(tmp_path: Path) -> None:
    """TLS for the registry from the same authority, renewed while images move."""
    registry, folder = f"localhost:{free_port()}", tmp_path / "pki"
    assert run(["pki", "init", "-d", str(folder)]) == 0
    maker = ("--registry", registry, "--pki", str(folder), "--tls-life", "10s")
    with two(tmp_path, registry, "--registry-ca", str(folder / "ca.pem"), maker=maker) as pair:
        image = pair.make("prod/web")
        refused(pair, image)
        pair.sign(image, "--push")
        pair.user.docker("pull", image)
        context = ssl.create_default_context(cafile=str(folder / "ca.pem"))
        first = _shown(registry, context)
        until(lambda: _shown(registry, context) != first, 30, "another certificate is shown")
        pair.user.docker("rmi", image)
        pair.user.docker("pull", image)


def _shown(registry: str, context: ssl.SSLContext) -> str:
    host, _, port = registry.rpartition(":")
    with (
        socket.create_connection((host, int(port)), timeout=10) as plain,
        context.wrap_socket(plain, server_hostname=host) as wrapped,
    ):
        return str((wrapped.getpeercert() or {})["serialNumber"])


def test_a_registry_may_ask_for_client_certificates(tmp_path: Path) -> None:
    """And refuses a revoked one at once."""
    registry, folder = f"localhost:{free_port()}", tmp_path / "pki"
    assert run(["pki", "init", "-d", str(folder)]) == 0
    assert run(["pki", "issue", "client", "alice", "-d", str(folder)]) == 0

    def ask(name: str) -> int:
        context = ssl.create_default_context(cafile=str(folder / "ca.pem"))
        if name:
            place = folder / "issued" / name
            context.load_cert_chain(place / "cert.pem", place / "key.pem")
        with contextlib.suppress(OSError), urllib.request.urlopen(f"https://{registry}/v2/", context=context) as reply:
            return int(reply.status)
        return 0

    options = ("--registry", registry, "--pki", str(folder), "--registry-tls-clients")
    with running_daemon(tmp_path, *options, image=False):
        assert ask("alice") == 200
        assert ask("") == 0
        assert run(["pki", "revoke", "alice", "-d", str(folder)]) == 0
        assert ask("alice") == 0


def test_a_build_stands_upon_signed_images_alone(pair: Pair) -> None:
    """Also upon one that is here already."""
    image = pair.make("prod/base")
    context = subprocess.run(
        ["tar", "-c", "Dockerfile"], cwd=_dockerfile(pair.home, image), capture_output=True, check=True
    ).stdout
    told = pair.user.docker("build", "-t", "built", "-", data=context, check=False)
    assert told.returncode != 0 and "no signature by release" in told.stderr + told.stdout
    pair.user.docker("import", "-", image, data=pair.tar("here"))
    told = pair.user.docker("build", "-t", "built", "-", data=context, check=False)
    assert told.returncode != 0 and "cannot build upon" in told.stderr + told.stdout
    pair.user.docker("rmi", image)
    pair.sign(image, "--push")
    pair.user.docker("build", "-t", "built", "-", data=context)


def _dockerfile(home: Path, image: str) -> Path:
    folder = home / "context"
    folder.mkdir(exist_ok=True)
    (folder / "Dockerfile").write_text(f"FROM {image}\nLABEL built=yes\n")
    return folder
