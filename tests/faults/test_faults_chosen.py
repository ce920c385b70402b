"""kill -9 at chosen points: every durable step of every operation, one after the other.

For each N the operation runs with the daemon set to die at its N-th step (see `faults_launcher`), is started again, and
must be found either not begun or done: all invariants hold, what was acknowledged is there, and the same request made
once more leads to the same end.
"""

import contextlib
import io
import json
import os
import tarfile
from collections.abc import Callable
from dataclasses import dataclass

import invariants
import pytest
from faults_client import Client, Lost, Refused
from faults_instance import Instance, Launcher, eventually, instance

STEPS_LIMIT = 200  # an operation with more steps than this is a mistake of the test
LONG = ["sh", "-c", "trap 'exit 7' TERM; echo ready; sleep 1000 & wait $!"]
STRIDE = 16  # of the steps at which the quick test kills
GROUP_PORT = 20000 + os.getpid() % 10000
PARTS = 4  # of that test, so that one sees how far it is
WITH_RUNC = ("start", "stop", "remove", "exec")


@dataclass(frozen=True)
class Scenario:
    """`prepare` brings the world into its state before, `act` is what gets killed, `done` tells whether it happened."""

    name: str
    prepare: Callable[[Client], object]
    act: Callable[[Client], object]
    done: Callable[[Client], object]


def _nothing(_client: Client) -> None:
    pass


def _exists(path: str) -> Callable[[Client], bool]:
    def look(client: Client) -> bool:
        try:
            client.get(path)
        except Refused as error:
            assert error.status == 404, error
            return False
        return True

    return look


def _gone(path: str) -> Callable[[Client], bool]:
    return lambda client: not _exists(path)(client)


def _has_status(*wanted: str) -> Callable[[Client], bool]:
    return lambda client: client.state("one")["Status"] in wanted


def _create(client: Client) -> None:
    client.create(
        "one",
        LONG,
        Volumes={"/etc": {}},
        HostConfig={
            "Binds": ["named:/www", "/anonymous"],
            "PortBindings": {"80/tcp": [{"HostPort": ""}]},
            "NetworkMode": "net",
        },
    )


def _prepare_network(client: Client) -> None:
    client.post("/networks/create", {"Name": "net"})


def _prepare_created(client: Client) -> None:
    _prepare_network(client)
    _create(client)


def _prepare_running(client: Client) -> None:
    _prepare_created(client)
    client.post("/containers/one/start")


def _prepare_paused(client: Client) -> None:
    _prepare_running(client)
    client.post("/containers/one/pause")


def _prepare_plain(client: Client) -> None:
    client.run("one", LONG)
    _prepare_network(client)


def _prepare_joined(client: Client) -> None:
    _prepare_plain(client)
    client.post("/networks/net/connect", {"Container": "one"})


def _joined(client: Client) -> bool:
    return "net" in client.inspect("one")["NetworkSettings"]["Networks"]


def _make_exec(client: Client, *, detach: bool) -> None:
    made = client.post(
        "/containers/one/exec", {"Cmd": ["sh", "-c", "echo out; echo x > /ran; exit 5"], "AttachStdout": True}
    )
    client.post(f"/exec/{made['Id']}/start", {"Detach": detach})
    ended = eventually(lambda: _ended(client, made["Id"]), 10, "the exec ends")
    assert ended["ExitCode"] == 5, ended


def _ended(client: Client, run: str) -> dict[str, object] | None:
    state = dict(client.get(f"/exec/{run}/json"))
    return None if state["Running"] else state


def archive(name: str) -> bytes:
    """A Docker archive with one small layer and the name."""
    layer = io.BytesIO()
    with tarfile.open(fileobj=layer, mode="w") as tar:
        content = f"layer of {name}\n".encode() * 50
        entry = tarfile.TarInfo("file")
        entry.size = len(content)
        tar.addfile(entry, io.BytesIO(content))
    digest = __import__("hashlib").sha256(layer.getvalue()).hexdigest()
    config = {
        "architecture": "amd64",
        "os": "linux",
        "config": {},
        "rootfs": {"type": "layers", "diff_ids": [f"sha256:{digest}"]},
    }
    manifest = [{"Config": "config.json", "RepoTags": [name], "Layers": ["layer.tar"]}]
    whole = io.BytesIO()
    with tarfile.open(fileobj=whole, mode="w") as tar:
        parts = {
            "config.json": json.dumps(config).encode(),
            "layer.tar": layer.getvalue(),
            "manifest.json": json.dumps(manifest).encode(),
        }
        for path, data in parts.items():
            entry = tarfile.TarInfo(path)
            entry.size = len(data)
            tar.addfile(entry, io.BytesIO(data))
    return whole.getvalue()


def _load(client: Client) -> None:
    lines = client.call("POST", "/images/load", archive("loaded:1"))
    assert "Loaded image" in str(lines), lines


def _import(client: Client) -> None:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as tar:
        entry = tarfile.TarInfo("file")
        entry.size = 3
        tar.addfile(entry, io.BytesIO(b"new"))
    client.call("POST", "/images/create", buffer.getvalue(), fromSrc="-", repo="loaded", tag="1")


def _run_and_remove(client: Client) -> None:
    with contextlib.suppress(Refused):
        client.remove("one")  # what an earlier try left
    client.create("one", ["true"], Volumes={"/x": {}}, HostConfig={"AutoRemove": True, "NetworkMode": "net"}, Tty=True)
    client.post("/containers/one/start")
    eventually(lambda: _gone("/containers/one/json")(client), 10, "it is removed")


def _prepare_restarting(client: Client) -> None:
    script = "while ! [ -e /go ]; do sleep 0.02; done; rm /go; exit 3"
    client.run("one", ["sh", "-c", script], HostConfig={"RestartPolicy": {"Name": "always"}})


def _end_once(client: Client) -> None:
    """Let the container end; it comes back by its policy."""
    count = client.inspect("one")["RestartCount"]
    pid = eventually(lambda: client.state("one")["Pid"], 10, "it runs")
    client.exec("one", ["touch", "/go"])

    def back() -> bool:
        seen = client.inspect("one")
        return seen["RestartCount"] > count and seen["State"]["Pid"] not in (0, pid)

    eventually(back, 10, "it is restarted")


def _upload(client: Client) -> None:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as tar:
        entry = tarfile.TarInfo("new")
        entry.size = 3
        tar.addfile(entry, io.BytesIO(b"new"))
    client.call("PUT", "/containers/one/archive", buffer.getvalue(), path="/tmp")


SCENARIOS = (
    Scenario("create", _prepare_network, _create, _exists("/containers/one/json")),
    Scenario("start", _prepare_created, lambda c: c.post("/containers/one/start"), _has_status("running")),
    Scenario("stop", _prepare_running, lambda c: c.post("/containers/one/stop", t=20), _has_status("exited")),
    Scenario("kill", _prepare_running, lambda c: c.post("/containers/one/kill"), _has_status("exited")),
    Scenario("restart", _prepare_running, lambda c: c.post("/containers/one/restart", t=20), _has_status("running")),
    Scenario("pause", _prepare_running, lambda c: c.post("/containers/one/pause"), _has_status("paused")),
    Scenario("unpause", _prepare_paused, lambda c: c.post("/containers/one/unpause"), _has_status("running")),
    Scenario("remove", _prepare_running, lambda c: c.remove("one"), _gone("/containers/one/json")),
    Scenario("remove created", _prepare_created, lambda c: c.remove("one"), _gone("/containers/one/json")),
    Scenario(
        "rename",
        _prepare_running,
        lambda c: c.post("/containers/one/rename", name="two"),
        _exists("/containers/two/json"),
    ),
    Scenario(
        "update",
        _prepare_running,
        lambda c: c.post("/containers/one/update", {"PidsLimit": 77}),
        lambda c: c.inspect("one")["HostConfig"]["PidsLimit"] == 77,
    ),
    Scenario("exec", _prepare_plain, lambda c: _make_exec(c, detach=False), _has_status("running")),
    Scenario("exec detached", _prepare_plain, lambda c: _make_exec(c, detach=True), _has_status("running")),
    Scenario("connect", _prepare_plain, lambda c: c.post("/networks/net/connect", {"Container": "one"}), _joined),
    Scenario(
        "disconnect",
        _prepare_joined,
        lambda c: c.post("/networks/net/disconnect", {"Container": "one"}),
        lambda c: not _joined(c),
    ),
    Scenario(
        "create network", _nothing, lambda c: c.post("/networks/create", {"Name": "net"}), _exists("/networks/net")
    ),
    Scenario("remove network", _prepare_network, lambda c: c.delete("/networks/net"), _gone("/networks/net")),
    Scenario("create volume", _nothing, lambda c: c.post("/volumes/create", {"Name": "vol"}), _exists("/volumes/vol")),
    Scenario(
        "remove volume",
        lambda c: c.post("/volumes/create", {"Name": "vol"}),
        lambda c: c.delete("/volumes/vol"),
        _gone("/volumes/vol"),
    ),
    Scenario(
        "commit",
        _prepare_plain,
        lambda c: c.post("/commit", {}, container="one", repo="loaded", tag="1"),
        _exists("/images/loaded:1/json"),
    ),
    Scenario("import", _nothing, _import, _exists("/images/loaded:1/json")),
    Scenario(
        "tag",
        _nothing,
        lambda c: c.post("/images/busybox/tag", repo="loaded", tag="1"),
        _exists("/images/loaded:1/json"),
    ),
    Scenario(
        "prune", lambda c: c.create("one", LONG), lambda c: c.post("/containers/prune"), _gone("/containers/one/json")
    ),
    Scenario("run and remove", _prepare_network, _run_and_remove, _gone("/containers/one/json")),
    Scenario("restart policy", _prepare_restarting, _end_once, lambda c: c.inspect("one")["RestartCount"] > 0),
    Scenario("upload", _prepare_running, _upload, lambda c: c.exec("one", ["cat", "/tmp/new"]) == (0, "new")),
    Scenario("load", _nothing, _load, _exists("/images/loaded:1/json")),
    Scenario("remove image", _load, lambda c: c.delete("/images/loaded:1"), _gone("/images/loaded:1/json")),
)


def _create_member(client: Client, name: str) -> None:
    client.create(
        name,
        LONG,
        StopTimeout=2,
        Labels={"boxship.group": "shop/web", "boxship.virtual-address": "shop"},
        HostConfig={
            "PortBindings": {"80/tcp": [{"HostIp": "127.0.0.1", "HostPort": str(GROUP_PORT)}]},
            "NetworkMode": "net",
        },
    )


def _prepare_member(client: Client) -> None:
    _prepare_network(client)
    for name in ("peer", "one"):
        _create_member(client, name)
    client.post("/containers/peer/start")


def _prepare_members(client: Client) -> None:
    _prepare_member(client)
    client.post("/containers/one/start")


def _remove_members(client: Client) -> None:
    for name in ("one", "peer"):
        with contextlib.suppress(Refused):
            client.remove(name)


def _no_members(client: Client) -> bool:
    return not client.get("/containers/json", all=1)


GROUP_SCENARIOS = (
    Scenario("start member", _prepare_member, lambda c: c.post("/containers/one/start"), _has_status("running")),
    Scenario("stop member", _prepare_members, lambda c: c.post("/containers/one/stop"), _has_status("exited")),
    Scenario("pause member", _prepare_members, lambda c: c.post("/containers/one/pause"), _has_status("paused")),
    Scenario("remove members", _prepare_members, _remove_members, _no_members),
)


def _clean(box: Instance) -> None:
    """Back to an instance that has nothing but busybox."""
    client = box.client
    for container in client.get("/containers/json", all=1):
        client.remove(container["Id"])
    client.post("/networks/prune")
    for volume in client.get("/volumes")["Volumes"] or ():
        client.delete(f"/volumes/{volume['Name']}")
    for image in client.get("/images/json"):
        for name in set(image["RepoTags"] or [image["Id"]]) - {"busybox:latest"}:
            client.delete(f"/images/{name}", force=1)


def _killed(box: Instance, scenario: Scenario, number: int) -> tuple[bool, bool]:
    """Run the operation with the daemon dying at step `number`: (acknowledged, killed)."""
    box.arm(number)
    acknowledged = False
    try:
        scenario.act(box.client)
        acknowledged = True
        invariants.check(box)  # what goes on after the reply is killed too
    except (Lost, OSError):
        box.gone()
        return acknowledged, True
    return acknowledged, False


def _again(box: Instance, scenario: Scenario) -> None:
    """The same request once more: it works, or is refused because it has been done."""
    with contextlib.suppress(Refused) if scenario.done(box.client) else contextlib.nullcontext():
        scenario.act(box.client)


def _kill_through(box: Instance, scenario: Scenario, numbers: range) -> None:
    """Kill the operation at each of those steps, until it comes through without a kill."""
    for number in numbers:
        scenario.prepare(box.client)
        invariants.check(box)
        acknowledged, killed = _killed(box, scenario, number)
        steps = box.disarm()
        where = f"{scenario.name}, killed at step {steps[-1] if steps else '-'}, acknowledged: {acknowledged}"
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
        except (AssertionError, Refused, Lost) as error:
            raise AssertionError(f"{where}\n{error}\n{box.log_end()}") from error
        _clean(box)
        if not killed:
            return
    raise AssertionError(f"{scenario.name} takes more than {STEPS_LIMIT} steps")


def _name(scenario: Scenario) -> str:
    return scenario.name.replace(" ", "-")


@pytest.mark.parametrize("part", range(PARTS))
def test_kill_at_some_steps(launcher: Launcher, part: int) -> None:
    """Every operation, at every sixteenth of its steps; the first of them differ."""
    with instance(launcher) as box:
        for number, scenario in list(enumerate(SCENARIOS))[part::PARTS]:
            _kill_through(box, scenario, range(1 + number * 5 % STRIDE, STEPS_LIMIT, STRIDE))


@pytest.mark.slow
@pytest.mark.parametrize("scenario", [*SCENARIOS, *GROUP_SCENARIOS], ids=_name)
def test_kill_at_every_step(launcher: Launcher, scenario: Scenario) -> None:
    first = int(os.environ.get("FAULT_STEP", "1"))
    with instance(launcher) as box:
        _kill_through(box, scenario, range(first, STEPS_LIMIT))


@pytest.mark.slow
@pytest.mark.parametrize("scenario", [one for one in SCENARIOS if one.name in WITH_RUNC], ids=_name)
def test_kill_at_every_step_with_runc(launcher: Launcher, scenario: Scenario) -> None:
    with instance(launcher, "--runtime", "runc") as box:
        _kill_through(box, scenario, range(1, STEPS_LIMIT))
