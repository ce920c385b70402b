"""`POST /boxship/build`: folders by path and as archives, events, output archives, agents, and clients that go."""

import asyncio
import base64
from pathlib import Path
from typing import Any

import msgspec
import pytest
from doors_building import BuildDesk

from archives import tar_of
from boxship.builder.dockerfile.syntax import Location
from boxship.builder.failures import BuildFailed
from boxship.builder.model import Built, Output, OutputData, StepFinished, StepOutput
from boxship.doors.docker.build_order import SECRET_BYTES
from boxship.doors.docker.build_session import AGENTS, DONE, EVENT, FAILED, ORDER, OUTPUTS, WANT
from boxship.errors import Unavailable
from boxship.spec.container import Resources, Ulimit
from boxship.transport.memory import MemoryCarrier
from boxship.wire.channels import DATA, END, MESSAGE, OPEN, ChannelReader, frame
from fake_builder import IMAGE, contents, finding, planned, steps


class Speaker:
    """The client's end of one build."""

    def __init__(self, raw: Any) -> None:
        self.raw = raw
        self.reader = ChannelReader()
        self.ready: list[tuple[int, int, bytes]] = []

    async def send(self, kind: int, number: int, data: bytes = b"") -> None:
        await self.raw.write(frame(kind, number, data))

    async def order(self, **fields: Any) -> None:
        await self.send(MESSAGE, ORDER, msgspec.json.encode(fields))

    async def next(self) -> tuple[int, int, Any]:
        """The next frame; a message's data are decoded. (0, 0, None) at the end."""
        while not self.ready:
            data = await asyncio.wait_for(self.raw.read(), 20.0)
            if not data:
                return 0, 0, None
            self.ready = list(self.reader.feed(data))
        kind, number, payload = self.ready.pop(0)
        return kind, number, msgspec.json.decode(payload) if kind == MESSAGE else payload

    async def all(self) -> list[tuple[int, int, Any]]:
        found = []
        while (one := await self.next())[0]:
            found.append(one)
        return found


async def speak(desk: BuildDesk) -> Speaker:
    answer = await desk.call("POST", "/v1.51/boxship/build", headers={"Upgrade": "boxship-build"})
    assert answer.status == 101 and answer.headers["Upgrade"] == "boxship-build"
    return Speaker(answer.raw)


def place(folder: Path, **more: Any) -> dict[str, Any]:
    info = folder.stat()
    return {"path": str(folder), "device": info.st_dev, "inode": info.st_ino, "stream": 1, **more}


@pytest.fixture
def context(tmp_path: Path) -> Path:
    folder = tmp_path / "context"
    folder.mkdir()
    (folder / "file").write_text("content")
    return folder


async def test_a_folder_on_this_machine_is_not_sent(tmp_path: Path, context: Path) -> None:
    async with BuildDesk(tmp_path) as desk:
        client = await speak(desk)
        await client.order(context=place(context, patterns=["*.o", "!a.o"]), dockerfile="Df")
        assert await client.next() == (MESSAGE, WANT, [])
        assert await client.next() == (MESSAGE, EVENT, {"type": "Built", "image": IMAGE, **NOTHING_BUILT})
        assert await client.next() == (MESSAGE, DONE, {})
        assert await client.next() == (0, 0, None)
        (request,) = desk.builder.requests
        assert request.context is not None and request.context.path == context
        assert request.context.patterns == ("*.o", "!a.o") and request.dockerfile == "Df"
        assert desk.left() == []
    assert (context / "file").exists()


NOTHING_BUILT = {"manifest": "", "names": [], "steps": 0, "cached": 0}


@pytest.mark.parametrize("wrong", [{"inode": 1}, {"device": 1}, {"path": "relative"}, {"path": "/no/such/folder"}])
async def test_a_folder_that_the_daemon_does_not_see_is_sent(
    tmp_path: Path, context: Path, wrong: dict[str, Any]
) -> None:
    async with BuildDesk(tmp_path) as desk:
        client = await speak(desk)
        await client.order(context={**place(context), **wrong})
        assert await client.next() == (MESSAGE, WANT, [1])
        data = tar_of({"Dockerfile": "FROM scratch\n"})
        await client.send(DATA, 1, data[:700])
        await client.send(DATA, 1, data[700:])
        await client.send(END, 1)
        assert [number for _, number, _ in await client.all()] == [EVENT, DONE]
        assert desk.builder.files == {"Dockerfile": b"FROM scratch\n"}
    assert desk.left() == []


async def test_a_client_elsewhere_sends_every_folder(
    tmp_path: Path, context: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(MemoryCarrier, "local", False)
    async with BuildDesk(tmp_path) as desk:
        client = await speak(desk)
        named = {"other": place(context, stream=7), "base": "docker-image://busybox"}
        await client.order(context=place(context, stream=3), contexts=named)
        assert await client.next() == (MESSAGE, WANT, [3, 7])
        for number, name in ((3, "main"), (7, "other")):
            await client.send(DATA, number, tar_of({name: name}))
            await client.send(END, number)
        assert [number for _, number, _ in await client.all()] == [EVENT, DONE]
        assert desk.builder.files == {"main": b"main"}
        assert desk.builder.named_files == {"other": {"other": b"other"}}
        assert desk.builder.requests[0].contexts["base"] == "docker-image://busybox"
    assert desk.left() == []


async def test_a_cache_in_a_folder_of_another_machine_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(MemoryCarrier, "local", False)
    async with BuildDesk(tmp_path) as desk:
        client = await speak(desk)
        await client.order(cache_to=[{"kind": "local", "attributes": {"dest": "/x"}}])
        ((kind, number, value),) = await client.all()
        assert (kind, number) == (MESSAGE, FAILED) and value["message"].startswith("unsupported: a cache of type local")


async def test_every_option_arrives(tmp_path: Path) -> None:
    async with BuildDesk(tmp_path) as desk:
        client = await speak(desk)
        fields: dict[str, Any] = {
            "remote": "https://example.com/a.git",
            "dockerfile_text": base64.b64encode(b"FROM x").decode(),
            "tags": ["a:1"],
            "target": "web",
            "arguments": {"A": "1", "B": None},
            "labels": {"l": "v"},
            "annotations": {"n": "w"},
            "no_cache": True,
            "no_cache_stages": ["web"],
            "pull": True,
            "network": "none",
            "extra_hosts": ["a:1.2.3.4"],
            "shm_size": 4096,
            "ulimits": [{"name": "nofile", "soft": 1, "hard": 2}],
            "resources": {"memory": 5, "nano_cpus": 7},
            "cgroup_parent": "/p",
            "secrets": {"s": base64.b64encode(b"\0secret").decode()},
            "insecure": True,
            "host_network": True,
            "host_ca": True,
            "epoch": 12,
            "outputs": [{"kind": "tar", "attributes": {"a": "b"}}],
            "cache_from": [{"kind": "registry", "attributes": {"ref": "x"}}],
            "cache_to": [{"kind": "local", "attributes": {"dest": "/x"}}],
            "credentials": {"r": {"username": "u"}},
        }
        await client.order(**fields, platform="linux/arm64")
        assert [number for _, number, _ in await client.all()] == [WANT, EVENT, DONE]
        (request,) = desk.builder.requests
    assert request.dockerfile_text == b"FROM x" and request.secrets == {"s": b"\0secret"}
    assert request.ulimits == (Ulimit("nofile", 1, 2),) and request.resources == Resources(memory=5, nano_cpus=7)
    assert request.outputs == (Output(kind="tar", attributes={"a": "b"}),) and request.platform is not None
    assert request.platform.architecture == "arm64"
    shown = msgspec.json.decode(msgspec.json.encode(request))
    for name, value in fields.items():
        if name not in ("dockerfile_text", "secrets", "resources"):
            assert shown[name] == value, name


async def test_pieces_of_a_context_are_small(tmp_path: Path) -> None:
    async with BuildDesk(tmp_path) as desk:
        client = await speak(desk)
        await client.order(context={"stream": 1})
        assert (await client.next())[1:] == (WANT, [1])
        await client.send(DATA, 1, bytes(8 << 20))
        kind, number, value = (await client.all())[-1]
    assert (kind, number) == (MESSAGE, FAILED) and "a piece of" in value["message"]


async def test_news_and_archives_come_down(tmp_path: Path) -> None:
    async with BuildDesk(tmp_path) as desk:
        (step,) = steps("RUN x")
        desk.builder.script = [
            planned("RUN x"),
            step,
            StepOutput("s1", 1, b"\xffhi"),
            StepFinished("s1", reason="the command is new"),
            OutputData(1, b"x" * 600_000),
            OutputData(0, b"abc"),
            OutputData(1, b""),
            OutputData(0, b""),
            Built(image=IMAGE),
        ]
        client = await speak(desk)
        await client.order(outputs=[{"kind": "tar"}, {"kind": "local"}])
        found = await client.all()
    archives = {0: b"", 1: b""}
    for kind, number, data in found:
        if kind == DATA:
            archives[number - OUTPUTS] += data
    assert archives == {0: b"abc", 1: b"x" * 600_000}
    assert [number - OUTPUTS for kind, number, _ in found if kind == END] == [1, 0]
    events = [value for kind, number, value in found if (kind, number) == (MESSAGE, EVENT)]
    assert [event["type"] for event in events] == ["Planned", "StepStarted", "StepOutput", "StepFinished", "Built"]
    assert base64.b64decode(events[2]["data"]) == b"\xffhi" and events[3]["reason"] == "the command is new"


async def test_a_failure_comes_with_its_place(tmp_path: Path) -> None:
    async with BuildDesk(tmp_path) as desk:
        desk.builder.script = [
            BuildFailed(
                "no",
                step="s1",
                code=3,
                command="/bin/sh -c x",
                location=Location("Df", 2, 2),
                lines=("FROM a", "RUN x"),
            )
        ]
        client = await speak(desk)
        await client.order()
        found = await client.all()
    assert [number for _, number, _ in found] == [WANT, FAILED]
    failed = found[1][2]
    assert failed["message"] == "no" and failed["step"] == "s1" and failed["code"] == 3
    assert failed["excerpt"].startswith("Df:2\n") and failed["command"] == "/bin/sh -c x"


async def test_an_unforeseen_error_is_told(tmp_path: Path) -> None:
    async with BuildDesk(tmp_path) as desk:
        desk.builder.script = [RuntimeError("nobody foresaw this")]
        client = await speak(desk)
        await client.order()
        assert (await client.all())[-1][1:] == (FAILED, {"message": "internal error: nobody foresaw this"})


async def test_a_check_tells_findings_and_builds_nothing(tmp_path: Path) -> None:
    async with BuildDesk(tmp_path) as desk:
        desk.builder.findings = (finding("JSONArgsRecommended", 3),)
        client = await speak(desk)
        await client.order(check=True)
        found = await client.all()
        assert [number for _, number, _ in found] == [WANT, EVENT, DONE]
        assert found[1][2]["finding"]["rule"] == "JSONArgsRecommended" and found[1][2]["type"] == "Noticed"
        assert desk.builder.requests[0].checks_only and not desk.builder.ended.is_set()


async def test_agents_speak_both_ways(tmp_path: Path) -> None:
    talked: list[bytes] = []

    async def talk(agents: Any) -> None:
        assert agents.offers("default") and not agents.offers("other")
        one, two = await agents.connect("default"), await agents.connect("github")
        await one.write(b"ask one")
        await two.write(b"ask two")
        talked.append(await two.read(100))
        talked.append(await one.read(3))
        talked.append(await one.read(100))
        talked.append(await one.read(100))
        await one.close()
        await two.close()

    async with BuildDesk(tmp_path) as desk:
        desk.builder.talk = talk
        client = await speak(desk)
        await client.order(agents=["default", "github"])
        opened = {}
        asked = {}
        assert await client.next() == (MESSAGE, WANT, [])
        while len(asked) < 2:
            kind, number, data = await client.next()
            (opened if kind == OPEN else asked)[number] = data
        assert opened == {AGENTS: b"default", AGENTS + 1: b"github"}
        assert asked == {AGENTS: b"ask one", AGENTS + 1: b"ask two"}
        await client.send(DATA, AGENTS, b"answer")
        await client.send(END, AGENTS)
        await client.send(DATA, AGENTS + 1, b"second")
        found = await client.all()
        assert talked == [b"second", b"ans", b"wer", b""]
        assert [(kind, number) for kind, number, _ in found] == [
            (END, AGENTS),
            (END, AGENTS + 1),
            (MESSAGE, EVENT),
            (MESSAGE, DONE),
        ]


@pytest.mark.parametrize(
    ("data", "text"),
    [
        (frame(MESSAGE, ORDER, b"{"), "cannot read the build's options"),
        (frame(MESSAGE, ORDER, b'{"unknown":1}'), "unknown field `unknown`"),
        (frame(MESSAGE, ORDER, b'{"tags":1}'), "$.tags"),
        (frame(MESSAGE, ORDER, b'{"platform":"a/b/c/d"}'), "cannot parse platform"),
        (frame(MESSAGE, EVENT, b"{}"), "the options have to come first"),
        (frame(DATA, 1, b"x"), "the options have to come first"),
        (b"GET / HTTP/1.1\r\n\r\n", "cannot read the client's frames"),
        (
            frame(MESSAGE, ORDER, msgspec.json.encode({"secrets": {"s": bytes(SECRET_BYTES + 1)}})),
            f"cannot use secret s: longer than {SECRET_BYTES} bytes",
        ),
        (
            frame(MESSAGE, ORDER, b'{"context":{"stream":1},"contexts":{"a":{"stream":1}}}'),
            "two folders share a stream",
        ),
    ],
)
async def test_what_is_no_order_is_refused(tmp_path: Path, data: bytes, text: str) -> None:
    async with BuildDesk(tmp_path) as desk:
        client = await speak(desk)
        await client.raw.write(data)
        kind, number, value = (await client.all())[-1]
        assert (kind, number) == (MESSAGE, FAILED) and text in value["message"]
        assert desk.builder.requests == []


async def test_a_broken_archive_is_refused(tmp_path: Path) -> None:
    async with BuildDesk(tmp_path) as desk:
        client = await speak(desk)
        await client.order(context={"stream": 1})
        await client.send(DATA, 1, tar_of({"a": "b" * 5000})[:3000])
        await client.send(END, 1)
        kind, number, value = (await client.all())[-1]
        assert (kind, number) == (MESSAGE, FAILED) and "too early" in value["message"]
    assert desk.left() == []


@pytest.mark.parametrize("moment", ["context", "build"])
async def test_a_client_that_goes_ends_its_build(tmp_path: Path, context: Path, moment: str) -> None:
    async with BuildDesk(tmp_path) as desk:
        desk.builder.script = [planned("RUN x"), asyncio.Event()]
        client = await speak(desk)
        await client.order(context={"stream": 1} if moment == "context" else place(context))
        await client.next()
        if moment == "context":
            await client.send(DATA, 1, tar_of({"a": "b"})[:600])
        else:
            await client.next()
        await client.raw.close()
    assert desk.left() == []
    assert desk.builder.was_cancelled is (moment == "build")
    assert contents(context) == {"file": b"content"}


async def test_more_agents_than_the_limit_are_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("boxship.doors.docker.build_session.AGENT_CONNECTIONS", 1)

    async def talk(agents: Any) -> None:
        await (await agents.connect("default")).close()
        await agents.connect("default")

    async with BuildDesk(tmp_path) as desk:
        desk.builder.talk = talk
        client = await speak(desk)
        await client.order(agents=["default"])
        assert "more than 1 connections" in (await client.all())[-1][2]["message"]


async def test_the_daemon_tells_an_error_that_the_builder_raises(tmp_path: Path) -> None:
    async with BuildDesk(tmp_path) as desk:
        desk.builder.script = [Unavailable("cannot reach registry x")]
        client = await speak(desk)
        await client.order()
        assert (await client.all())[-1] == (MESSAGE, FAILED, {"message": "cannot reach registry x"})
    assert desk.left() == []


async def test_a_request_without_upgrade_is_refused(tmp_path: Path) -> None:
    async with BuildDesk(tmp_path) as desk:
        answer = await desk.call("POST", "/boxship/build")
        assert answer.status == 400 and b"upgraded to boxship-build" in await answer.read()
