"""Lists, filters, texts, streams and the smaller endpoints of the Docker door, in memory."""

import asyncio
import base64
from typing import Any

import msgspec
import pytest
from doors_fake import SECOND, Desk, container_of
from hypothesis import given, settings
from hypothesis import strategies as st

from boxship.doors.docker.call import parse_moment, rfc3339
from boxship.doors.docker.containers import LIST_FILTERS
from boxship.doors.docker.filters import has_label, matches, parse_filters
from boxship.doors.docker.image_json import matches_reference
from boxship.doors.docker.texts import how_long, status_text
from boxship.engine.lives import WaitResult
from boxship.engine.model import Event, Health, MountPoint, Phase
from boxship.errors import Invalid
from boxship.spec.attachment import Endpoint
from boxship.spec.container import ContainerSpec, PublishedPort
from boxship.spec.log import LogRecord
from boxship.wire.stream import FrameReader

NOW = 1_700_000_000 * SECOND
MINUTE = 60 * SECOND


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (0.5, "Less than a second"),
        (1, "1 second"),
        (59, "59 seconds"),
        (60, "About a minute"),
        (119, "About a minute"),
        (120, "2 minutes"),
        (3599, "59 minutes"),
        (3600, "About an hour"),
        (7200, "2 hours"),
        (47 * 3600, "47 hours"),
        (48 * 3600, "2 days"),
        (14 * 86400, "2 weeks"),
        (60 * 86400, "2 months"),
        (730 * 86400, "2 years"),
        (-5, "Less than a second"),
    ],
)
def test_how_long(seconds: float, text: str) -> None:
    assert how_long(int(seconds * SECOND)) == text


def box(**state: Any) -> Any:
    return container_of(ContainerSpec(image="x"), **state)


@pytest.mark.parametrize(
    ("state", "text"),
    [
        ({"phase": Phase.CREATED}, "Created"),
        ({"phase": Phase.RUNNING, "started_at": NOW - 5 * MINUTE}, "Up 5 minutes"),
        (
            {"phase": Phase.RUNNING, "started_at": NOW - MINUTE, "health": Health("healthy")},
            "Up About a minute (healthy)",
        ),
        ({"phase": Phase.RUNNING, "started_at": NOW - SECOND, "health": Health()}, "Up 1 second (health: starting)"),
        ({"phase": Phase.PAUSED, "started_at": NOW - 5 * MINUTE}, "Up 5 minutes (Paused)"),
        ({"phase": Phase.EXITED, "finished_at": NOW - 3 * SECOND, "exit_code": 137}, "Exited (137) 3 seconds ago"),
        ({"phase": Phase.RESTARTING, "finished_at": NOW - 2 * SECOND, "exit_code": 1}, "Restarting (1) 2 seconds ago"),
        ({"phase": Phase.REMOVING}, "Removal In Progress"),
        ({"phase": Phase.DEAD}, "Dead"),
    ],
)
def test_status_texts(state: dict[str, Any], text: str) -> None:
    assert status_text(box(**state), NOW) == text


def test_times() -> None:
    assert rfc3339(0) == "0001-01-01T00:00:00Z"
    assert rfc3339(NOW + 120_000_000) == "2023-11-14T22:13:20.12Z"
    assert rfc3339(NOW, fixed=True) == "2023-11-14T22:13:20.000000000Z"
    assert parse_moment("1700000000.5", "since") == NOW + SECOND // 2
    assert parse_moment("2023-11-14T22:13:20Z", "since") == NOW
    assert parse_moment("", "since") == 0
    with pytest.raises(Invalid):
        parse_moment("yesterday", "since")


def test_filters_in_both_forms() -> None:
    for text in ('{"label":["a=b","c"]}', '{"label":{"a=b":true,"c":true,"d":false}}'):
        assert parse_filters(text, ("label",)).get("label") == ["a=b", "c"]
    for text in ('{"foo":["a"]}', '["a"]', '{"label":"a"}', '{"label":[1]}', "nonsense", '{"label":{"a":1}}'):
        with pytest.raises(Invalid, match="invalid filter"):
            parse_filters(text, ("label",))
    with pytest.raises(Invalid, match="invalid filter 'dangling=maybe'"):
        parse_filters('{"dangling":["maybe"]}', ("dangling",)).flag("dangling")
    assert parse_filters('{"dangling":["TRUE"]}', ("dangling",)).flag("dangling") is True
    assert has_label("a=b", {"a": "b"}) and has_label("a", {"a": ""}) and not has_label("a=c", {"a": "b"})


def test_names_match_as_patterns_within_limits() -> None:
    assert matches("web", "my_web_1") and matches("^/?my_[a-z]+_1$", "my_web_1") and not matches("^web$", "my_web_1")
    assert matches("(a", "x(a)")  # no pattern: as it is
    for slow in ("(a+)+b", "a*a*a*b", "x" * 1000):
        with pytest.raises(Invalid):
            matches(slow, "a" * 60)


def test_image_references_match_as_shell_patterns() -> None:
    assert matches_reference("busy*", "busybox:latest") and matches_reference("*:lat?st", "busybox:latest")
    assert matches_reference("h:5000/a/*", "h:5000/a/b:1") and not matches_reference("*", "h:5000/a/b:1")
    assert matches_reference("[a-c]usy*", "busybox:latest") and not matches_reference("*a" * 40 + "!", "a" * 255)
    with pytest.raises(Invalid):
        matches_reference("[", "busybox:latest")


@settings(max_examples=200, deadline=None)
@given(
    st.dictionaries(
        st.sampled_from(LIST_FILTERS) | st.text(max_size=5),
        st.lists(
            st.text(max_size=8) | st.sampled_from(["true", "0", "running", "healthy", "80/tcp", "^a.*$"]), max_size=3
        )
        | st.dictionaries(st.text(max_size=5), st.booleans(), max_size=3)
        | st.integers(),
        max_size=4,
    )
)
async def test_random_filters_never_fail_inside(filters: Any) -> None:
    async with Desk() as desk:
        desk.engine.containers.add(box(phase=Phase.RUNNING))
        text = msgspec.json.encode(filters).decode()
        for path in ("/containers/json", "/images/json", "/networks", "/volumes", "/events?until=1"):
            mark = "&" if "?" in path else "?"
            answer = await desk.ask("GET", f"{path}{mark}filters={_quoted(text)}")
            assert answer.status in (200, 400, 404), await answer.read()
        for path in ("containers", "images", "networks", "volumes"):
            assert (await desk.ask("POST", f"/{path}/prune?filters={_quoted(text)}")).status in (200, 400)


def _quoted(text: str) -> str:
    return "".join(f"%{byte:02x}" for byte in text.encode("utf-8", "replace"))


async def listed(desk: Desk, query: str) -> list[str]:
    return [entry["Names"][0] for entry in await desk.json("GET", f"/containers/json?{query}")]


async def test_list_and_its_filters() -> None:
    async with Desk() as desk:
        add = desk.engine.containers.add
        for index, (name, phase) in enumerate([("a", Phase.RUNNING), ("b", Phase.EXITED), ("c", Phase.CREATED)]):
            spec = ContainerSpec(image="x", labels={"n": name}, exposed_ports=("80/tcp",), network_mode=f"net{name}")
            made = container_of(
                spec, name, phase=phase, exit_code=index, finished_at=NOW if phase is Phase.EXITED else 0
            )
            mounts = (MountPoint(kind="volume", target=f"/{name}", name=f"vol{name}"),)
            ports = (PublishedPort(80, "tcp", "0.0.0.0", 8080),) if name == "a" else ()
            add(msgspec.structs.replace(made, created_at=index + 1, mounts=mounts, ports=ports))
        assert await listed(desk, "") == ["/a"]
        assert await listed(desk, "all=1") == ["/c", "/b", "/a"]
        assert await listed(desk, "limit=2") == ["/c", "/b"]
        for query, names in (
            ('{"status":["exited","created"]}', ["/c", "/b"]),
            ('{"exited":["1"],"status":["exited"]}', ["/b"]),
            ('{"label":["n=b"],"status":["exited"]}', ["/b"]),
            ('{"name":["^/b$"],"status":["exited"]}', ["/b"]),
            ('{"volume":["vola"]}', ["/a"]),
            ('{"volume":["/a"]}', ["/a"]),
            ('{"network":["neta"]}', ["/a"]),
            ('{"network":["netb"]}', []),
            ('{"publish":["8000-8100"]}', ["/a"]),
            ('{"expose":["80/tcp"]}', ["/a"]),
            ('{"expose":["81"]}', []),
            ('{"before":["b"],"status":["running"]}', ["/a"]),
            ('{"since":["a"],"status":["exited"]}', ["/b"]),
            ('{"health":["none"]}', ["/a"]),
            ('{"is-task":["true"]}', []),
            ('{"ancestor":["none"]}', []),
        ):
            assert await listed(desk, f"filters={_quoted(query)}") == names, query
        for query in (
            '{"status":["odd"]}',
            '{"health":["odd"]}',
            '{"exited":["x"]}',
            '{"publish":["x"]}',
            '{"odd":["x"]}',
        ):
            status, text = await desk.error("GET", f"/containers/json?filters={_quoted(query)}")
            assert status == 400 and text.startswith("invalid filter '")
        assert (await desk.error("GET", '/containers/json?filters={"before":["none"]}'))[0] == 404
        entry = (await desk.json("GET", "/containers/json?size=1"))[0]
        assert entry["Ports"] == [{"IP": "0.0.0.0", "PrivatePort": 80, "PublicPort": 8080, "Type": "tcp"}]
        assert (entry["State"], entry["SizeRw"], entry["SizeRootFs"], entry["Command"]) == ("running", 5, 10, "sh")
        assert entry["HostConfig"] == {"NetworkMode": "neta"}


async def test_inspect_follows_the_clients_version() -> None:
    async with Desk() as desk:
        endpoint = Endpoint(
            "n1", "mine", "e1", "eth0", "02:42:00:00:00:01", "10.0.0.2", 24, "10.0.0.1", ("al",), ("al", "box")
        )
        spec = ContainerSpec(image="x", network_mode="mine", exposed_ports=("80/tcp", "81/tcp"))
        made = container_of(spec, phase=Phase.RUNNING, started_at=NOW, health=Health("healthy"))
        ports = (PublishedPort(80, "tcp", "", 8080),)
        desk.engine.containers.add(
            msgspec.structs.replace(made, endpoints=(endpoint,), ports=ports, namespace="/run/n")
        )
        new = await desk.json("GET", "/v1.51/containers/box/json?size=1")
        assert (new["SizeRw"], new["SizeRootFs"], new["Created"]) == (5, 10, "2023-11-14T22:13:20Z")
        assert new["State"]["Status"] == "running" and new["State"]["Health"]["Status"] == "healthy"
        network = new["NetworkSettings"]["Networks"]["mine"]
        assert (network["Aliases"], network["DNSNames"], network["IPAddress"]) == (["al"], ["al", "box"], "10.0.0.2")
        assert new["NetworkSettings"]["Ports"] == {
            "80/tcp": [{"HostIp": "0.0.0.0", "HostPort": "8080"}],
            "81/tcp": None,
        }
        old = (await desk.json("GET", "/v1.40/containers/box/json"))["NetworkSettings"]["Networks"]["mine"]
        assert old["Aliases"] == ["al", made.id[:12]] and "DNSNames" not in old and "GwPriority" not in old


async def test_verbs_reach_the_engine() -> None:
    async with Desk() as desk:
        desk.engine.containers.add(box())
        assert (await desk.ask("POST", "/containers/box/start", b"{}\n")).status == 204
        assert (await desk.error("POST", "/containers/box/start", b'{"Binds":["/:/x"]}'))[0] == 400
        assert (await desk.ask("POST", "/containers/box/stop?t=3&signal=INT")).status == 204
        assert (await desk.ask("POST", "/containers/box/restart")).status == 204
        assert desk.engine.life.calls == [("start", "box"), ("stop", "box", 3, "INT"), ("stop", "box", None, "")]
        assert (await desk.error("POST", "/containers/box/stop?t=x"))[0] == 400
        assert (await desk.error("POST", "/containers/box/resize?h=1"))[0] == 400
        assert (await desk.error("POST", "/containers/box/resize?h=1&w=99999"))[0] == 400
        assert (await desk.ask("POST", "/containers/box/resize?h=1&w=2")).status == 200
        assert (await desk.ask("DELETE", "/containers/box?v=1&force=1")).status == 204
        desk.engine.containers.add(box(phase=Phase.RUNNING))
        assert await desk.error("POST", "/containers/box/start") == (304, "")


async def test_wait_answers_its_head_before_the_end() -> None:
    async with Desk() as desk:
        desk.engine.containers.add(box())
        answer = await desk.ask("POST", "/containers/box/wait?condition=next-exit")
        assert answer.status == 200
        body = asyncio.ensure_future(answer.read())
        await asyncio.sleep(0)
        assert not body.done() and desk.engine.life.ending is not None
        desk.engine.life.ending.set_result(WaitResult(3))
        assert await body == b'{"StatusCode":3}\n'
        assert await desk.error("POST", "/containers/none/wait") == (404, "No such container: none")


@pytest.mark.parametrize("tty", [False, True])
@pytest.mark.parametrize("upgrade", [False, True])
async def test_attach_carries_both_ways_with_half_close(tty: bool, upgrade: bool) -> None:
    async with Desk() as desk:
        desk.engine.containers.add(container_of(ContainerSpec(image="x", tty=tty), "box"))
        headers = {"Upgrade": "tcp", "Connection": "Upgrade"} if upgrade else {}
        answer = await desk.ask("POST", "/containers/box/attach?stream=1&stdin=1&stdout=1&stderr=1", headers=headers)
        assert answer.status == (101 if upgrade else 200)
        kind = "raw-stream" if tty else "multiplexed-stream"
        assert answer.headers["Content-Type"] == f"application/vnd.docker.{kind}"
        assert "Api-Version" not in answer.headers and answer.raw is not None
        await answer.raw.write(b"input")
        answer.raw.write_eof()
        data = await answer.raw.read_all()
        if tty:
            assert data == b"hello\ninputbye\n"
        else:
            assert list(FrameReader().feed(data)) == [(1, b"hello\n"), (2, b"input"), (1, b"bye\n")]
    assert desk.engine.attachments.streams[0].closed


async def test_attach_ends_when_the_client_goes() -> None:
    async with Desk() as desk:
        desk.engine.containers.add(box())
        answer = await desk.ask("POST", "/containers/box/attach?stream=1&stdout=1")
        assert answer.raw is not None and await answer.raw.read()
    assert desk.engine.attachments.streams[0].closed


async def test_attach_over_websocket_has_no_frames() -> None:
    async with Desk() as desk:
        desk.engine.containers.add(box())
        answer = await desk.ask(
            "GET", "/containers/box/attach/ws?stream=1&stdin=1&stdout=1", headers={"Upgrade": "websocket"}
        )
        assert answer.raw is not None and await answer.raw.read() == b"hello\n"
        await answer.raw.write(b"input")
        assert await answer.raw.read() == b"input"
        assert (await desk.error("GET", "/containers/box/attach/ws"))[0] == 400


async def test_logs_with_all_that_can_stand_in_front() -> None:
    async with Desk() as desk:
        desk.engine.containers.add(box())
        desk.engine.attachments.records = [
            LogRecord(1, NOW, b"par", partial=True),
            LogRecord(1, NOW, b"tial\n"),
            LogRecord(2, NOW + 5, b"error\n"),
        ]
        answer = await desk.ask("GET", "/containers/box/logs?stdout=1&stderr=1&timestamps=1&details=1&tail=5&since=1.5")
        assert answer.headers["Content-Type"] == "application/vnd.docker.multiplexed-stream"
        assert list(FrameReader().feed(await answer.read())) == [
            (1, b"2023-11-14T22:13:20.000000000Z a=1%20x,b=2 par"),
            (1, b"tial\n"),
            (2, b"2023-11-14T22:13:20.000000005Z a=1%20x,b=2 error\n"),
        ]
        options = desk.engine.attachments.options
        assert (options["tail"], options["since"], options["follow"]) == (5, 1_500_000_000, False)
        old = await desk.ask("GET", "/v1.41/containers/box/logs?stdout=1")
        assert old.headers["Content-Type"] == "application/vnd.docker.raw-stream"
        assert await desk.error("GET", "/containers/box/logs") == (
            400,
            "Bad parameters: you must choose at least one stream",
        )
        assert (await desk.error("GET", "/containers/box/logs?stdout=1&since=x"))[0] == 400


async def test_execs_from_create_to_inspect() -> None:
    async with Desk() as desk:
        desk.engine.containers.add(box())
        assert await desk.error("POST", "/containers/box/exec", {"Cmd": []}) == (400, "No exec command specified")
        made = await desk.json("POST", "/containers/box/exec", {"Cmd": ["sh", "-c"], "User": "u", "AttachStdout": True})
        path = f"/exec/{made['Id']}"
        before = await desk.json("GET", f"{path}/json")
        assert before["ExitCode"] is None and before["ProcessConfig"]["arguments"] == ["-c"]
        answer = await desk.ask("POST", f"{path}/start", {"Detach": False}, {"Upgrade": "tcp"})
        assert answer.status == 101 and answer.raw is not None
        assert list(FrameReader().feed(await answer.raw.read())) == [(1, b"hello\n")]
        assert (await desk.json("GET", "/containers/box/json"))["ExecIDs"] == [made["Id"]]
        assert (await desk.error("POST", f"{path}/start", {"Detach": True})) == (
            409,
            f"Error: Exec command {made['Id']} has already run",
        )
        again = await desk.ask("POST", f"{path}/start", {})
        assert again.status == 200 and again.raw is not None
        assert b"has already run" in await again.raw.read_all()
        assert await desk.error("GET", "/exec/none/json") == (404, "No such exec instance: none")
        assert (await desk.error("POST", f"{path}/start", {"ConsoleSize": [1, 2]}))[0] == 400


async def test_stats_once_and_as_a_stream(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("boxship.doors.docker.observing.SAMPLE_SECONDS", 0.001)
    async with Desk() as desk:
        desk.engine.containers.add(box(phase=Phase.RUNNING))
        once = await desk.json("GET", "/containers/box/stats?stream=0")
        assert (once["cpu_stats"]["cpu_usage"]["total_usage"], once["precpu_stats"]["cpu_usage"]["total_usage"]) == (
            2,
            1,
        )
        assert once["networks"]["eth0"]["rx_bytes"] == 1 and once["name"] == "/box"
        shot = await desk.json("GET", "/containers/box/stats?stream=0&one-shot=1")
        assert shot["preread"] == "0001-01-01T00:00:00Z"
        answer = await desk.ask("GET", "/containers/box/stats")
        assert not isinstance(answer.body, bytes)
        samples = [msgspec.json.decode(await anext(answer.body)) for _ in range(3)]
        assert samples[2]["preread"] == samples[1]["read"]
        await desk.ask("DELETE", "/containers/box")
        assert [item async for item in answer.body] == []


async def test_events_with_filters_in_both_shapes() -> None:
    async with Desk() as desk:
        desk.engine.events.events = [
            Event("container", "create", "c1", {"name": "one", "image": "busybox:latest", "l": "v"}, NOW),
            Event("container", "exec_start: sh", "c1", {"name": "one", "image": "busybox:latest"}, NOW),
            Event("network", "create", "n1", {"name": "net"}, NOW),
        ]

        async def asked(filters: str) -> list[str]:
            data = await (await desk.ask("GET", f"/events?until=2&filters={_quoted(filters)}")).read()
            return [msgspec.json.decode(part)["Action"] for part in data.splitlines()]

        assert await asked("{}") == ["create", "exec_start: sh", "create"]
        assert await asked('{"event":["exec_start"]}') == ["exec_start: sh"]
        assert await asked('{"type":["network"]}') == ["create"]
        assert await asked('{"container":{"one":true},"label":["l=v"]}') == ["create"]
        assert await asked('{"image":["busybox"]}') == ["create", "exec_start: sh"]
        assert await asked('{"network":["net"]}') == ["create"]
        answer = await desk.ask("GET", "/events")
        assert not isinstance(answer.body, bytes)
        first = msgspec.json.decode(await anext(answer.body))
        assert (first["status"], first["id"], first["from"]) == ("create", "c1", "busybox:latest")
        assert first["timeNano"] == NOW and first["time"] == NOW // SECOND and first["scope"] == "local"
        assert (await desk.error("GET", "/events?since=5&until=3"))[0] == 400
    assert desk.engine.events.closed


async def test_archives() -> None:
    async with Desk() as desk:
        desk.engine.containers.add(box())
        head = await desk.ask("HEAD", "/containers/box/archive?path=/etc")
        found = msgspec.json.decode(base64.b64decode(head.headers["X-Docker-Container-Path-Stat"]))
        assert found["mode"] == (1 << 31 | 1 << 20 | 0o777) and found["name"] == "etc"
        answer = await desk.ask("GET", "/containers/box/archive?path=/etc")
        assert (answer.headers["Content-Type"], await answer.read()) == ("application/x-tar", b"tar")
        assert (await desk.ask("PUT", "/containers/box/archive?path=/&copyUIDGID=1", b"data")).status == 200
        assert desk.engine.files.put_bytes == b"data" and desk.engine.files.options["copy_uid_gid"] is True
        assert (await desk.error("GET", "/containers/box/archive"))[0] == 400
        assert await (await desk.ask("GET", "/containers/box/export")).read() == b"tar"
        assert await desk.json("GET", "/containers/box/changes") is None


async def test_images_load_import_and_commit() -> None:
    async with Desk() as desk:
        desk.engine.containers.add(box())
        loaded = await (await desk.ask("POST", "/images/load?quiet=1", b"tar")).read()
        assert [msgspec.json.decode(text)["stream"] for text in loaded.split(b"\r\n")[:-1]] == [
            "The image x:latest already exists, renaming the old one with ID sha256:old to empty string\n",
            "Loaded image: x:latest\n",
            "Loaded image ID: sha256:" + "5" * 64 + "\n",
        ]
        verbose = await (await desk.ask("POST", "/images/load", b"tar")).read()
        assert msgspec.json.decode(verbose.split(b"\r\n")[0])["id"] == "4" * 12
        failed = await (await desk.ask("POST", "/images/load", b"garbage")).read()
        assert failed == b'{"errorDetail":{"message":"no archive"},"error":"no archive"}\r\n'
        answer = await desk.ask("POST", "/images/create?fromSrc=-&repo=a/b&tag=1&changes=CMD%20x&message=m", b"tar")
        assert await answer.read() == b'{"status":"sha256:' + b"2" * 64 + b'"}\r\n'
        assert desk.engine.images.imported[1]["reference"] == "a/b:1"
        made = await desk.json(
            "POST", "/commit?container=box&repo=r&tag=t&pause=0&changes=ENV%20A%3D1%0AUSER%20x", {"Cmd": ["x"]}
        )
        assert made["Id"].startswith("sha256:")
        options = desk.engine.committing.options
        assert options["changes"] == ["ENV A=1", "USER x"] and options["config"].Cmd == ("x",) and not options["pause"]
        assert (await desk.error("GET", "/images/get"))[0] == 400
        assert await desk.error("GET", "/images/a/b:c/json") == (404, "No such image: a/b:c")


async def test_networks_and_volumes() -> None:
    async with Desk() as desk:
        body = {"Name": "n", "CheckDuplicate": True, "IPAM": {"Config": [{"Subnet": "10.9.0.0/24"}]}, "Options": None}
        made = await desk.json("POST", "/networks/create", body)
        assert set(made) == {"Id", "Warning"}
        shown = await desk.json("GET", "/networks/n")
        assert shown["IPAM"]["Config"] == [{"Subnet": "10.9.0.0/24"}] and shown["Driver"] == "bridge"
        assert "EnableIPv4" not in await desk.json("GET", "/v1.46/networks/n")
        assert len(await desk.json("GET", '/networks?filters={"type":["custom"]}')) == 1
        assert (await desk.error("POST", "/networks/create", {"Name": ""}))[0] == 400
        assert (await desk.error("POST", "/networks/create", {"Name": "x", "Ingress": True}))[0] == 400
        connect = {"Container": "c", "EndpointConfig": {"IPAMConfig": {"IPv4Address": "10.9.0.5"}}}
        assert (await desk.ask("POST", "/networks/n/connect", connect)).status == 200
        assert desk.engine.networks.joined[0][2].ipv4_address == "10.9.0.5"
        assert await desk.error("GET", "/networks/x") == (404, "network x not found")
        volume = await desk.json("POST", "/volumes/create", {"Name": "v", "Labels": {"a": "b"}})
        assert volume["CreatedAt"] == "1970-01-01T00:00:01Z" and volume["Options"] is None
        assert await desk.json("POST", "/volumes/create", {"Name": "v"}) == volume
        assert (await desk.json("GET", "/volumes"))["Volumes"] == [volume]
        assert (await desk.json("POST", "/volumes/prune"))["VolumesDeleted"] is None
        assert (await desk.json("POST", "/v1.41/volumes/prune"))["VolumesDeleted"] == ["v"]
        assert await desk.error("DELETE", "/volumes/x") == (404, "get x: no such volume")


async def test_info_version_and_df() -> None:
    async with Desk() as desk:
        info = await desk.json("GET", "/info")
        assert info["Runtimes"] == {"crun": {"path": "/usr/bin/crun"}} and info["Swarm"]["LocalNodeState"] == "inactive"
        assert info["OomKillDisable"] is True and info["Warnings"] == ["w"]
        version = await desk.json("GET", "/version")
        assert (version["ApiVersion"], version["MinAPIVersion"], version["Arch"]) == ("1.51", "1.24", "amd64")
        assert version["Components"][0]["Name"] == "Engine"
        assert set(await desk.json("GET", "/system/df")) == {
            "LayersSize", "Images", "Containers", "Volumes", "BuildCache",
        }  # fmt: skip
        assert set(await desk.json("GET", "/system/df?type=volume&type=container")) == {"Containers", "Volumes"}
        assert (await desk.error("GET", "/system/df?type=odd"))[0] == 400
