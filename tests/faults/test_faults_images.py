"""kill -9 in pull, push, build, prune and the build cache's prune, and a full disk in each.

The registry that images come from and go to is another instance, which lives on. What was acknowledged is there after
the next start, nothing half-made shows or stays, and the same request made again leads to its end.
"""

import contextlib
import gzip
import hashlib
import http.client
import json
import os
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

import invariants
import pytest
from faults_client import Client, Lost, Refused
from faults_instance import Instance, Launcher, eventually, finish, instance, small_disk
from test_faults_chosen import STEPS_LIMIT, STRIDE, Scenario, _again, _killed, archive
from test_faults_disk import Disk

from archives import tar_of
from daemons import free_port

DOCKERFILE = b"""FROM busybox
COPY data /data
RUN echo made > /made && mkdir -p /etc/more && echo x > /etc/more/file
WORKDIR /work
COPY data/one /data/two
"""
DISK = "64m"


@dataclass
class Peer:
    """A registry elsewhere, with one image of three layers; and names that nobody used yet."""

    address: str
    count: int = 0
    pushed: str = field(default="")

    def ask(self, method: str, path: str, data: bytes | None = None, kind: str = "") -> tuple[int, str]:
        connection = http.client.HTTPConnection(self.address, timeout=30)
        try:
            connection.request(method, path, data, {"Content-Type": kind} if kind else {})
            response = connection.getresponse()
            response.read()
            return response.status, response.headers.get("Location", "")
        finally:
            connection.close()

    def put(self, name: str, data: bytes) -> dict[str, object]:
        digest = "sha256:" + hashlib.sha256(data).hexdigest()
        _, place = self.ask("POST", f"/v2/{name}/blobs/uploads/")
        path = "/" + place.partition("//")[2].partition("/")[2] if "//" in place else place
        status, _ = self.ask("PUT", f"{path}?digest={digest}", data)
        assert status == 201
        return {"mediaType": "application/vnd.oci.image.layer.v1.tar+gzip", "digest": digest, "size": len(data)}

    def fill(self) -> None:
        """One image to pull."""
        layers = [tar_of({f"file{number}": os.urandom(200_000)}) for number in range(3)]
        config = {
            "architecture": "amd64",
            "os": "linux",
            "config": {},
            "rootfs": {"type": "layers", "diff_ids": ["sha256:" + hashlib.sha256(x).hexdigest() for x in layers]},
        }
        described = self.put("app", json.dumps(config).encode())
        manifest = {
            "schemaVersion": 2,
            "mediaType": "application/vnd.oci.image.manifest.v1+json",
            "config": described | {"mediaType": "application/vnd.oci.image.config.v1+json"},
            "layers": [self.put("app", gzip.compress(layer, 1)) for layer in layers],
        }
        status, _ = self.ask("PUT", "/v2/app/manifests/1", json.dumps(manifest).encode(), str(manifest["mediaType"]))
        assert status == 201

    def next_push(self, client: Client) -> None:
        self.count += 1
        self.pushed = f"pushed{self.count}"
        client.call("POST", "/images/load", archive("loaded:1"))
        client.post("/images/loaded:1/tag", repo=f"{self.address}/{self.pushed}", tag="1")

    def has_pushed(self, _client: Client) -> bool:
        return self.ask("HEAD", f"/v2/{self.pushed}/manifests/1")[0] == 200


def streamed(answer: object) -> None:
    """Raise Refused where a progress stream told of an error."""
    for line in answer if isinstance(answer, list) else [answer]:
        if isinstance(line, dict) and ("error" in line or "errorDetail" in line):
            raise Refused(500, str(line))


def build(client: Client) -> None:
    context = tar_of({"Dockerfile": DOCKERFILE, "data/one": b"1" * 50_000, "data/other": b"2"})
    streamed(client.call("POST", "/build", context, t="built:1"))


def has(name: str) -> Callable[[Client], bool]:
    def look(client: Client) -> bool:
        try:
            client.get(f"/images/{name}/json")
        except Refused as error:
            assert error.status == 404, error
            return False
        return True

    return look


def load_nameless(client: Client) -> None:
    for text in ("loaded:1", "loaded:2"):
        client.call("POST", "/images/load", archive(text))
        client.post(f"/images/{text}/tag", repo="moving", tag="1")
    client.delete("/images/loaded:1")


def nameless(client: Client) -> list[object]:
    return list(client.get("/images/json", filters=json.dumps({"dangling": ["true"]})))


def scenarios(peer: Peer) -> tuple[Scenario, ...]:
    def nothing(_client: Client) -> None:
        pass

    def pull(client: Client) -> None:
        streamed(client.post("/images/create", fromImage=f"{peer.address}/app", tag="1"))

    def push(client: Client) -> None:
        streamed(client.post(f"/images/{peer.address}/{peer.pushed}/push", tag="1"))

    return (
        Scenario("pull", nothing, pull, has(f"{peer.address}/app:1")),
        Scenario("push", peer.next_push, push, peer.has_pushed),
        Scenario("build", nothing, build, has("built:1")),
        Scenario("prune images", load_nameless, lambda c: c.post("/images/prune"), lambda client: not nameless(client)),
        Scenario(
            "prune builds",
            build,
            lambda c: c.post("/build/prune", all=1),
            lambda client: not client.get("/system/df")["BuildCache"],
        ),
    )


NAMES = ("pull", "push", "build", "prune images", "prune builds")


@pytest.fixture(scope="module")
def peer(launcher: Launcher) -> Iterator[Peer]:
    address = f"127.0.0.1:{free_port()}"
    with instance(launcher, "--registry", address, image=False):
        made = Peer(address)
        made.fill()
        yield made


def clean(box: Instance) -> None:
    client = box.client
    for row in client.get("/images/json", all=1):
        for name in set(row["RepoTags"] or [row["Id"]]) - {"busybox:latest"}:
            with contextlib.suppress(Refused):  # it went with another
                client.delete(f"/images/{name}", force=1)
    client.post("/build/prune", all=1)
    invariants.check(box)


def kill_through(box: Instance, scenario: Scenario, numbers: range) -> None:
    """Kill the operation at each of those steps, until it comes through without a kill."""
    for number in numbers:
        scenario.prepare(box.client)
        acknowledged, killed = _killed(box, scenario, number)
        steps = box.disarm()
        try:
            if killed:
                box.start()
            invariants.check(box)
            if acknowledged:
                assert scenario.done(box.client), "what was acknowledged is not there"
            if killed:
                _again(box, scenario)
                assert scenario.done(box.client), "the request made again did not lead to its end"
                invariants.check(box)
            clean(box)
        except (AssertionError, Refused) as error:
            where = f"{scenario.name}, killed at step {steps[-1] if steps else '-'}, acknowledged: {acknowledged}"
            raise AssertionError(f"{where}\n{error}\n{box.log_end()}") from error
        if not killed:
            return
    raise AssertionError(f"{scenario.name} takes more than {STEPS_LIMIT} steps")


@pytest.mark.parametrize("name", NAMES)
def test_kill_at_some_steps(launcher: Launcher, peer: Peer, name: str) -> None:
    scenario = next(one for one in scenarios(peer) if one.name == name)
    with instance(launcher) as box:
        kill_through(box, scenario, range(2 + NAMES.index(name), STEPS_LIMIT * 4, STRIDE))


@pytest.mark.slow
@pytest.mark.parametrize("name", NAMES)
def test_kill_at_every_step(launcher: Launcher, peer: Peer, name: str) -> None:
    scenario = next(one for one in scenarios(peer) if one.name == name)
    first = int(os.environ.get("FAULT_STEP", "1"))
    with instance(launcher) as box:
        kill_through(box, scenario, range(first, STEPS_LIMIT * 4))


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize(
    "rooms",
    [
        pytest.param((0, 128 << 10, 1 << 20), id="some"),
        pytest.param((16 << 10, 64 << 10, 256 << 10, 512 << 10), id="more", marks=pytest.mark.slow),
    ],
)
def test_a_full_disk(launcher: Launcher, peer: Peer, name: str, rooms: tuple[int, ...]) -> None:
    """With less and less room, each phase meets the full disk once; with room it goes on."""
    scenario = next(one for one in scenarios(peer) if one.name == name)
    with tempfile.TemporaryDirectory(prefix="bxi", ignore_cleanup_errors=True) as folder:
        box = Instance(launcher, Path(folder))
        with small_disk(box, DISK) as data:
            disk = Disk(data)
            try:
                box.start()
                box.load_busybox()
                for room in rooms:
                    scenario.prepare(box.client)
                    disk.fill()
                    with disk.pinhole(room), contextlib.suppress(Refused):
                        scenario.act(box.client)
                    assert box.alive()
                    disk.free()
                    invariants.check(box)
                    _again(box, scenario)
                    assert scenario.done(box.client)
                    clean(box)
            finally:
                with contextlib.suppress(FileNotFoundError):
                    disk.free()
                finish(box)


def test_an_interrupted_pull_goes_on(launcher: Launcher, peer: Peer) -> None:
    """What was fetched before the kill is not fetched again."""
    pull = scenarios(peer)[0]
    with instance(launcher) as box:
        box.arm(6)
        with contextlib.suppress(Exception):
            pull.act(box.client)
        eventually(lambda: not box.alive(), 20, "it is killed")
        box.gone()
        box.disarm()
        box.start()
        pull.act(box.client)
        assert pull.done(box.client)
        invariants.check(box)


BUDGET = {"budget.LOOK_SECONDS": 0.1, "budget.FRESH_SECONDS": 0.0}


def removals(client: Client) -> set[str]:
    """What the events of images tell of names and images that went."""
    filters = json.dumps({"type": ["image"], "event": ["untag", "delete"]})
    told = client.stream("GET", "/events", since="1", until=f"{time.time():.9f}", filters=filters)
    return {json.loads(line)["Action"] for line in b"".join(told).splitlines()}


def test_unused_images_go_by_themselves(launcher: Launcher, peer: Peer) -> None:
    """What came from a registry goes, the image of a stopped container and what was loaded here stay; also when the
    daemon is killed at any step of it."""
    name = f"{peer.address}/app:1"
    pull = scenarios(peer)[0]
    with instance(launcher, "--unused-image-limit", "1", **BUDGET) as box:
        pull.act(box.client)
        eventually(lambda: not has(name)(box.client), 10, "it goes")
        eventually(lambda: {"untag", "delete"} <= removals(box.client), 10, "each removal is an event")
        assert has("busybox")(box.client)
        invariants.check(box)
        for number in range(3, STEPS_LIMIT, STRIDE):
            box.arm(number)
            killed = True
            try:
                pull.act(box.client)
                eventually(lambda: not box.alive() or not has(name)(box.client), 10, "it goes or is killed")
                invariants.check(box)
                killed = False
            except (Lost, OSError):
                box.gone()
            box.disarm()
            if killed:
                box.start()
            eventually(lambda: not has(name)(box.client), 10, "it goes")
            invariants.check(box)
            if not killed:
                break
    with instance(launcher) as box:
        pull.act(box.client)
        box.client.create("keeps", ["true"], image=name)
        box.stop()
        limited = Instance(launcher, box.home, "--unused-image-limit", "1", **BUDGET)
        limited.start()
        box.pid = limited.pid
        box.client.call("POST", "/images/load", archive("loaded:1"))
        invariants.check(limited)
        assert has(name)(box.client) and has("loaded:1")(box.client)
        box.client.remove("keeps")
        eventually(lambda: not has(name)(box.client), 10, "nobody uses it any more")
        assert has("loaded:1")(box.client)
        invariants.check(limited)
