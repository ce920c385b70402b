"""What is decided without any connection: whose log is read, what is said where there is none, what clients say."""

import asyncio
import base64
from typing import Any, ClassVar

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as some

from boxship.cluster.api.connecting.options import container_of, node_query, options_of
from boxship.cluster.api.connecting.places import agent_of, endpoints_of, service_port, split_name
from boxship.cluster.api.usage.samples import NANO, Point, read_sample, used
from boxship.cluster.node.runtime import CREATED, EXITED, RUNNING, ContainerStatus
from boxship.cluster.node.server import channels, spdy
from boxship.cluster.node.server.channels import Channels, Sent
from boxship.cluster.node.server.idle import Idle, until_idle
from boxship.cluster.node.server.logs import container_to_read, stamp_of
from boxship.cluster.node.server.sessions import ended, failed, read_size
from boxship.cluster.objects.failure import Failure
from boxship.cluster.objects.log_options import read_log_options
from boxship.transport.upgrading import Upgraded, read_body


def container(id: str, phase: str, attempt: int = 0, name: str = "c") -> ContainerStatus:
    return ContainerStatus(id, "u", name, attempt, phase, attempt, 0 if phase == CREATED else 1)


def pod(status: dict[str, Any] | None = None) -> dict[str, Any]:
    spec = {"containers": [{"name": "c"}], "initContainers": [{"name": "i"}]}
    statuses = [{"name": "c", **status}] if status is not None else []
    return {"metadata": {"name": "p"}, "spec": spec, "status": {"containerStatuses": statuses}}


def test_whose_log_is_read() -> None:
    old, new = container("old", EXITED, 0), container("new", RUNNING, 1)
    assert container_to_read(pod(), "c", previous=False, containers=[new, old]) is new
    assert container_to_read(pod(), "c", previous=True, containers=[old, new]) is old
    told = pod({"lastState": {"terminated": {"containerID": "boxship://old"}}})
    assert container_to_read(told, "c", previous=True, containers=[old, container("x", EXITED, 1), new]) is old
    made = container("made", CREATED, 2)
    assert container_to_read(pod(), "c", previous=False, containers=[new, made]) is new


@pytest.mark.parametrize(
    ("status", "why"),
    [
        (None, 'container "c" in pod "p" is not available'),
        ({"state": {}}, 'container "c" in pod "p" is waiting to start - no logs yet'),
        (
            {"state": {"waiting": {"reason": "PodInitializing"}}},
            'container "c" in pod "p" is waiting to start: PodInitializing',
        ),
        (
            {"state": {"waiting": {"reason": "ErrImagePull"}}},
            'container "c" in pod "p" is waiting to start: image can\'t be pulled',
        ),
        (
            {"state": {"waiting": {"reason": "ImagePullBackOff"}}},
            'container "c" in pod "p" is waiting to start: trying and failing to pull image',
        ),
        ({"state": {"terminated": {"exitCode": 1}}}, 'container "c" in pod "p" is terminated'),
    ],
)
def test_why_there_is_no_log(status: dict[str, Any] | None, why: str) -> None:
    with pytest.raises(Failure) as refused:
        container_to_read(pod(status), "c", previous=False, containers=[container("m", CREATED)])
    assert (refused.value.code, str(refused.value)) == (400, why)
    with pytest.raises(Failure, match='previous terminated container "c" in pod "p" not found'):
        container_to_read(pod(status), "c", previous=True, containers=[])
    with pytest.raises(Failure, match='container "x" not found in pod "p"'):
        container_to_read(pod(status), "x", previous=False, containers=[])


def test_options_of_logs() -> None:
    found = read_log_options({"follow": ["true"], "previous": ["false"], "sinceSeconds": ["5"]}, 10 * NANO)
    assert (found.follow, found.previous, found.since, found.tail) == (True, False, 5 * NANO, None)
    found = read_log_options({"sinceTime": ["2026-01-01T00:00:00.5Z"], "tailLines": ["0"], "stream": ["All"]}, 0)
    assert (found.since, found.tail) == (1767225600 * NANO + NANO // 2, 0)
    assert stamp_of(found.since) == b"2026-01-01T00:00:00.500000000Z "
    for wrong in ({"sinceTime": ["yesterday"]}, {"stream": ["Both"]}, {"tailLines": ["many"]}):
        with pytest.raises(Failure):
            read_log_options(wrong, 0)


@given(some.integers(0, 2**63 - 1))
def test_every_moment_has_a_stamp(moment: int) -> None:
    stamp = stamp_of(moment).decode()
    assert (stamp[10], stamp[-2:]) == ("T", "Z ")


def test_what_a_client_asks_of_a_process() -> None:
    query = {"stdin": ["true"], "tty": ["0"], "stdout": ["1"], "command": ["a b", "c&d"], "container": ["x"]}
    options = options_of("exec", "PodExecOptions", query, "")
    assert options["command"] == ["a b", "c&d"] and "tty" not in options and options["container"] == "x"
    assert node_query("exec", options) == "?input=1&output=1&command=a+b&command=c%26d"
    assert (
        node_query("portforward", options_of("portforward", "K", {"ports": ["80,90", "1"]}, "")) == "?port=80%2C90%2C1"
    )
    with pytest.raises(Failure):
        options_of("portforward", "K", {"ports": ["http"]}, "")


def test_which_container_is_meant() -> None:
    many = {
        "metadata": {"name": "p", "annotations": {"kubectl.kubernetes.io/default-container": "b"}},
        "spec": {"containers": [{"name": "a"}, {"name": "b"}], "initContainers": [{"name": "i"}]},
    }
    assert container_of(many, "") == "b"
    assert container_of(many, "i") == "i"
    with pytest.raises(Failure, match=r"choose one of: \[a b\] or one of the init containers: \[i\]"):
        container_of(many, "", logs=True)


def test_where_things_are() -> None:
    node: dict[str, Any] = {"metadata": {"annotations": {"boxship.io/agent-address": "10.0.0.1:7"}}, "status": {}}
    assert agent_of(node) == ("10.0.0.1", 7)
    addresses = [{"type": "Hostname", "address": "n"}, {"type": "InternalIP", "address": "10.0.0.2"}]
    ports = {"kubeletEndpoint": {"Port": 10251}}
    assert agent_of({"metadata": {}, "status": {"addresses": addresses, "daemonEndpoints": ports}}) == (
        "10.0.0.2",
        10251,
    )
    with pytest.raises(Failure, match="no preferred addresses"):
        agent_of({"metadata": {}})
    assert split_name("web") == ("", "web", "")
    assert split_name("https:web:443") == ("https", "web", "443")
    for wrong in ("a:b:c", "x:y:z:1", ":80", ""):
        with pytest.raises(Failure):
            split_name(wrong)
    service = {"metadata": {"name": "s"}, "spec": {"ports": [{"name": "a", "port": 80}, {"name": "b", "port": 81}]}}
    assert service_port(service, "81") == "b"
    endpoints = [{"addresses": ["1.1.1.1"]}, {"addresses": ["2.2.2.2"], "conditions": {"ready": False}}]
    assert endpoints_of([{"ports": [{"name": "b", "port": 8081}], "endpoints": endpoints}], "b") == [("1.1.1.1", 8081)]


def test_ends_of_processes() -> None:
    assert ended(0) == {"metadata": {}, "status": "Success"}
    assert ended(3)["details"]["causes"] == [{"reason": "ExitCode", "message": "3"}]
    assert failed("no such file")["message"] == "Internal error occurred: no such file"
    assert read_size(b'{"Width":80,"Height":24}\n{"Width":120,"Height":40}') == (40, 120)
    for wrong in (
        b"",
        b"x",
        b"[]",
        b'{"Width":0,"Height":1}',
        b'{"Width":"a","Height":1}',
        b'{"Width":70000,"Height":1}',
    ):
        assert read_size(wrong) is None


class Spoken:
    """A WebSocket of given messages."""

    def __init__(self, *messages: bytes) -> None:
        self.messages = list(messages)
        self.sent: list[bytes] = []

    async def receive(self) -> bytes | None:
        return self.messages.pop(0) if self.messages else None

    async def send(self, data: bytes) -> None:
        self.sent.append(data)

    async def send_text(self, data: bytes) -> None:
        self.sent.append(b"text " + data)

    async def close(self) -> None:
        self.messages.clear()


async def test_channels_of_messages() -> None:
    socket = Spoken(b"", b"\0hello", b"\xff\0", b"\xff", b'\4{"Width":1,"Height":2}')
    client = Channels(socket, "v5.channel.k8s.io")
    assert await client.receive() == Sent(0, b"hello")
    assert await client.receive() == Sent(0, ends=True)
    assert await client.receive() == Sent(4, b'{"Width":1,"Height":2}')
    assert await client.receive() is None
    await client.send(1, bytes(channels.PIECE_BYTES + 1))
    assert [len(piece) for piece in socket.sent] == [channels.PIECE_BYTES + 1, 2]
    old = Spoken(b"0" + base64.b64encode(b"words"), b"0?")
    client = Channels(old, "v4.base64.channel.k8s.io")
    assert await client.receive() == Sent(0, b"words")
    assert await client.receive() is None
    await client.send(2, b"x")
    assert old.sent == [b"text 2" + base64.b64encode(b"x")]
    assert channels.choose("nothing, v4.channel.k8s.io") == "v4.channel.k8s.io"
    assert channels.choose("") == "" and channels.choose("nothing") is None
    assert spdy.choose("v2.channel.k8s.io, v4.channel.k8s.io") == "v4.channel.k8s.io"
    assert spdy.choose("") == "channel.k8s.io" and spdy.choose("v9") is None


@pytest.mark.parametrize(
    ("protocol", "heard"),
    [("v4.channel.k8s.io", [b"\1"]), ("base64.channel.k8s.io", [b"text 1"]), ("v5.channel.k8s.io", [])],
)
async def test_who_is_told_that_the_streams_are_open(protocol: str, heard: list[bytes]) -> None:
    """kubectl 1.30 to 1.33 prints an error for a message that comes before it has made its streams."""
    socket = Spoken()
    await Channels(socket, protocol).greet(stdout=True, stderr=True)
    assert socket.sent == heard


async def test_silence_ends_a_connection() -> None:
    idle = Idle(0.05)
    work = asyncio.ensure_future(asyncio.Event().wait())
    async with asyncio.timeout(5):
        await until_idle(work, idle)  # type: ignore[arg-type]
    assert work.cancelled()


def test_two_looks_make_a_rate() -> None:
    text = (
        'container_cpu_usage_seconds_total{container="c",namespace="n",pod="p"} 12.5 2000\n'
        'container_memory_working_set_bytes{container="c",namespace="n",pod="p"} 1024 2000\n'
        'container_start_time_seconds{container="c",namespace="n",pod="p"} 1\n'
        "node_cpu_usage_seconds_total 100 2000\n# TYPE x\nnode_memory_working_set_bytes 4096 2000\nnonsense\n"
    )
    key = ("n", "p", "c")
    newest = read_sample(text, 0)
    assert newest[key] == Point(2 * NANO, 12_500_000_000, 1024, NANO)
    assert newest["", "", ""].memory == 4096
    older = {key: Point(NANO, 12 * NANO, 0, NANO)}
    found = used(key, newest, [older])
    assert found is not None and (found.cpu, found.window, found.memory) == (NANO // 2, NANO, 1024)
    fresh = used(key, newest, [])
    assert fresh is not None and (fresh.cpu, fresh.window) == (12_500_000_000, NANO)  # since its start
    begun_anew = {key: Point(NANO, 13 * NANO, 0, NANO // 2)}
    assert used(key, newest, [begun_anew]) == fresh
    assert used(("n", "p", "x"), newest, []) is None
    assert used(("", "", ""), newest, []) is None


@pytest.mark.parametrize("figure", ["NaN", "-Inf", "+Inf", "1e400", "1e300", "-1", "x"])
def test_no_figure_breaks_a_look(figure: str) -> None:
    lines = (f"node_{what} {figure} 2000" for what in ("cpu_usage_seconds_total", "memory_working_set_bytes"))
    assert read_sample("\n".join(lines) + "\n", 0) == {}


async def test_a_refusal_that_is_packed_wrongly_has_an_end() -> None:
    class Said:
        gone = asyncio.Event()
        pieces: ClassVar = [b"-2\r\n" * 10_000 + b"0\r\n\r\n", b""]

        async def read(self, limit: int = 0) -> bytes:
            return self.pieces.pop(0)

    fields = (("Transfer-Encoding", "chunked"),)
    assert await read_body(Upgraded(400, "", fields, Said()), 1 << 16) == b""  # type: ignore[arg-type]


@given(some.text(max_size=300))
def test_no_text_breaks_a_look(text: str) -> None:
    assert isinstance(read_sample(text, 0), dict)


def test_the_status_is_json() -> None:
    assert msgspec.json.decode(msgspec.json.encode(ended(1)))["reason"] == "NonZeroExitCode"
