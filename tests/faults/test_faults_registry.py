"""The registry when the daemon is killed and when the disk is full: what was acknowledged is there and whole, nothing
half-made shows, uploads go on, and no byte stays that nobody can reach."""

import contextlib
import hashlib
import http.client
import json
import os
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from faults_instance import Instance, Launcher, finish, instance, small_disk
from test_faults_disk import Disk

from daemons import free_port, until
from registry_peers import Caller

MANIFEST = "application/vnd.oci.image.manifest.v1+json"
LAYER = b"some layer " * 30_000
STEPS_LIMIT = 60
NAME = "team/app"
Lost = (http.client.HTTPException, OSError)


def digest_of(data: bytes) -> str:
    return "sha256:" + hashlib.sha256(data).hexdigest()


def image(*layers: bytes) -> bytes:
    def descriptor(data: bytes) -> dict[str, object]:
        return {"mediaType": "application/octet-stream", "digest": digest_of(data), "size": len(data)}

    document = {"config": descriptor(b"{}"), "layers": [descriptor(data) for data in layers]}
    return json.dumps({"schemaVersion": 2, "mediaType": MANIFEST, **document}).encode()


class Remote(Caller):
    """The registry of an instance, with the words of these tests."""

    def status(self, method: str, path: str, data: bytes | None = None, headers: dict[str, str] | None = None) -> int:
        return self.call(method, path, data, headers)[0]

    def push_blob(self, data: bytes, name: str = NAME) -> int:
        status, headers, _ = self.call("POST", f"/v2/{name}/blobs/uploads/")
        if status != 202:
            return status
        return self.status("PUT", f"{headers['location']}?digest={digest_of(data)}", data)

    def push(self, tag: str, *layers: bytes, name: str = NAME) -> int:
        """Push an image; the first status that is no success, else 201."""
        for data in (b"{}", *layers):
            status = self.push_blob(data, name)
            if status != 201:
                return status
        return self.status("PUT", f"/v2/{name}/manifests/{tag}", image(*layers), {"Content-Type": MANIFEST})

    def has(self, tag: str, name: str = NAME) -> bool:
        return self.status("HEAD", f"/v2/{name}/manifests/{tag}") == 200

    def names(self) -> list[str]:
        return list(json.loads(self.call("GET", "/v2/_catalog")[2])["repositories"])


@contextlib.contextmanager
def box_with_registry(launcher: Launcher, *options: str) -> Iterator[tuple[Instance, Remote]]:
    address = f"127.0.0.1:{free_port()}"
    with instance(launcher, "--registry", address, *options, image=False) as box:
        yield box, Remote(address)


def check(box: Instance, remote: Remote) -> None:
    """Everything that shows is whole, and every file of the store is reached from somewhere."""
    reached = set()
    for name in remote.names():
        for tag in json.loads(remote.call("GET", f"/v2/{name}/tags/list")[2])["tags"]:
            status, headers, data = remote.call("GET", f"/v2/{name}/manifests/{tag}")
            assert status == 200 and headers["docker-content-digest"] == digest_of(data)
            reached.add(digest_of(data))
            document = json.loads(data)
            for part in (document["config"], *document["layers"]):
                status, _, blob = remote.call("GET", f"/v2/{name}/blobs/{part['digest']}")
                assert status == 200 and digest_of(blob) == part["digest"]
                reached.add(part["digest"])
    folder = box.data / "content" / "blobs" / "sha256"

    def strangers() -> list[str]:
        left = [f"sha256:{path.name}" for path in folder.iterdir()]
        return [
            digest
            for digest in left
            if digest not in reached
            and all(remote.status("HEAD", f"/v2/{name}/blobs/{digest}") != 200 for name in (NAME, "other"))
        ]

    until(lambda: not strangers(), 5, f"nothing is left that nobody reaches: {strangers()}")
    assert not list((box.data / "content" / "ingest").iterdir())


def chunked(remote: Remote) -> int:
    """A push in chunks."""
    status, headers, _ = remote.call("POST", f"/v2/{NAME}/blobs/uploads/")
    half = len(LAYER) // 2
    for start, piece in ((0, LAYER[:half]), (half, LAYER[half:])):
        sent = {"Content-Range": f"{start}-{start + len(piece) - 1}"}
        status, headers, _ = remote.call("PATCH", headers["location"], piece, sent)
        assert status == 202
    return remote.status("PUT", f"{headers['location']}?digest={digest_of(LAYER)}")


OPERATIONS: dict[str, tuple[Callable[[Remote], object], Callable[[Remote], int], Callable[[Remote], bool]]] = {
    "push": (lambda r: None, lambda r: r.push("one", LAYER), lambda r: r.has("one")),
    "chunks": (
        lambda r: None,
        chunked,
        lambda r: r.status("HEAD", f"/v2/{NAME}/blobs/{digest_of(LAYER)}") == 200,
    ),
    "retag": (
        lambda r: r.push("one", LAYER),
        lambda r: r.push("one", b"other"),
        lambda r: r.call("GET", f"/v2/{NAME}/manifests/one")[2] == image(b"other"),
    ),
    "mount": (
        lambda r: r.push("one", LAYER),
        lambda r: r.status("POST", f"/v2/other/blobs/uploads/?mount={digest_of(LAYER)}&from={NAME}"),
        lambda r: r.status("HEAD", f"/v2/other/blobs/{digest_of(LAYER)}") == 200,
    ),
    "delete tag": (
        lambda r: r.push("one", LAYER),
        lambda r: r.status("DELETE", f"/v2/{NAME}/manifests/one"),
        lambda r: not r.has("one"),
    ),
    "delete digest": (
        lambda r: [r.push("one", LAYER), r.push("two", LAYER)],
        lambda r: r.status("DELETE", f"/v2/{NAME}/manifests/{digest_of(image(LAYER))}"),
        lambda r: not r.has("one") and not r.has("two"),
    ),
}


@pytest.mark.parametrize("operation", OPERATIONS, ids=lambda name: name.replace(" ", "-"))
def test_kill_at_every_step(launcher: Launcher, operation: str) -> None:
    prepare, act, done = OPERATIONS[operation]
    with box_with_registry(launcher) as (box, remote):
        for number in range(1, STEPS_LIMIT):
            prepare(remote)
            box.arm(number)
            status, killed = 0, True
            with contextlib.suppress(*Lost):
                status = act(remote)
                check(box, remote)  # what goes on after the reply is killed too
                killed = False
            steps = box.disarm()
            if killed or (steps and steps[-1].startswith(f"{number} ")):
                killed = True
                box.gone()
                box.start()
            where = f"{operation}, killed at {steps[-1] if steps else '-'}, answered {status}"
            if status in (201, 202):
                assert done(remote), where
            check(box, remote)
            assert act(remote) in (201, 202, 404), where
            assert done(remote), where
            check(box, remote)
            for name in remote.names():
                for tag in ("one", "two"):
                    remote.status("DELETE", f"/v2/{name}/manifests/{tag}")
            for name in (NAME, "other"):
                for data in (b"{}", LAYER, b"other"):
                    remote.status("DELETE", f"/v2/{name}/blobs/{digest_of(data)}")
            if not killed:
                return
    raise AssertionError(f"{operation} takes more than {STEPS_LIMIT} steps")


def test_an_upload_goes_on_after_kill(launcher: Launcher) -> None:
    data = os.urandom(12_000_000)
    with box_with_registry(launcher) as (box, remote):
        location = remote.call("POST", f"/v2/{NAME}/blobs/uploads/")[1]["location"]
        connection = remote.open()
        connection.putrequest("PATCH", location)
        connection.putheader("Content-Length", str(len(data)))
        connection.endheaders()
        connection.send(data[:7_000_000])
        until(lambda: size_of(remote, location) > 3_000_000, 10, "some of it has come")
        box.restart()
        connection.close()
        have = size_of(remote, location)
        assert 3_000_000 < have <= 7_000_000
        sent = {"Content-Range": f"{have}-{len(data) - 1}"}
        assert remote.status("PATCH", location, data[have:], sent) == 202
        box.restart()
        assert size_of(remote, location) == len(data)
        assert remote.status("PUT", f"{location}?digest={digest_of(data)}") == 201
        box.restart()
        assert remote.call("GET", f"/v2/{NAME}/blobs/{digest_of(data)}")[2] == data
        assert not list((box.data / "content" / "partials").iterdir())


def size_of(remote: Remote, location: str) -> int:
    status, headers, _ = remote.call("GET", location)
    assert status == 204
    last = int(headers["range"].partition("-")[2])
    return last + 1 if last else 0


def test_a_full_disk(launcher: Launcher) -> None:
    address = f"127.0.0.1:{free_port()}"
    with tempfile.TemporaryDirectory(prefix="bxr", ignore_cleanup_errors=True) as folder:
        box, remote = Instance(launcher, Path(folder), "--registry", address), Remote(address)
        with small_disk(box, "32m") as data:
            disk = Disk(data)
            try:
                box.start()
                assert remote.push("one", LAYER) == 201
                location = remote.call("POST", f"/v2/{NAME}/blobs/uploads/")[1]["location"]
                assert remote.status("PATCH", location, LAYER) == 202
                disk.fill()
                assert remote.push_blob(os.urandom(1_000_000)) == 507
                assert remote.status("PATCH", location, os.urandom(100_000)) == 507
                assert size_of(remote, location) == len(LAYER)
                assert remote.status("PUT", f"/v2/{NAME}/manifests/two", image(), {"Content-Type": MANIFEST}) in (
                    201,
                    507,
                )
                assert remote.call("GET", f"/v2/{NAME}/blobs/{digest_of(LAYER)}")[2] == LAYER
                disk.free()
                assert remote.push("three", b"more") == 201
                assert remote.status("PUT", f"{location}?digest={digest_of(LAYER)}") == 201
                check(box, remote)
                box.restart()
                assert remote.has("one") and remote.has("three")
                check(box, remote)
            finally:
                with contextlib.suppress(FileNotFoundError):
                    disk.free()
                finish(box)


@pytest.mark.parametrize("tags", [2000, pytest.param(10_000, marks=pytest.mark.slow)])
def test_bytes_are_free_within_a_second_with_many_tags(launcher: Launcher, tags: int) -> None:
    with box_with_registry(launcher) as (box, remote):
        assert remote.push("t0", LAYER) == 201
        connection = remote.open()
        for number in range(1, tags):
            connection.request("PUT", f"/v2/{NAME}/manifests/t{number}", image(LAYER), {"Content-Type": MANIFEST})
            answer = connection.getresponse()
            answer.read()
            assert answer.status == 201
        blob = box.data / "content/blobs/sha256" / digest_of(LAYER)[7:]
        connection.request("DELETE", f"/v2/{NAME}/manifests/{digest_of(image(LAYER))}")
        assert connection.getresponse().status == 202
        until(lambda: not blob.exists(), 5, "the bytes are free")
        assert remote.names() == []
        check(box, remote)
