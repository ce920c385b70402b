"""Probes: what is asked, what answers mean, and when."""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable, Sequence
from concurrent import futures
from typing import Any

import grpc
import pytest
from hypothesis import given
from hypothesis import strategies as st
from life_kit import NOW, one

from boxship.cluster.node.life.values import MAIN, Part
from boxship.cluster.node.probes.asking import HOOK_AGENT, Asked, Asker, shown
from boxship.cluster.node.probes.grpc_health import Reply, frame, request
from boxship.cluster.node.probes.judging import Score, early_pause, scored
from boxship.cluster.node.probes.keeping import Probes
from boxship.cluster.node.runtime import RUNNING, ContainerStatus
from boxship.cluster.node.simulated.loop import run
from boxship.cluster.node.simulated.runtime import SimulatedRuntime
from boxship.cluster.objects import Object
from boxship.errors import Conflict

PROBE = {"periodSeconds": 10, "failureThreshold": 3, "successThreshold": 2, "timeoutSeconds": 1}


def test_thresholds() -> None:
    score = Score()
    results = []
    for ok in (True, False, True, True, False, False, True, False, False, False):
        score = scored(score, PROBE, ok)
        results.append(score.result)
    assert results == [None, None, None, True, True, True, True, True, True, False]


@given(st.lists(st.booleans(), max_size=40), st.integers(1, 4), st.integers(1, 4))
def test_a_result_changes_only_after_as_many_answers_in_a_row(answers: list[bool], fails: int, succeeds: int) -> None:
    probe = {"failureThreshold": fails, "successThreshold": succeeds}
    score = Score()
    for number, ok in enumerate(answers, 1):
        before, score = score, scored(score, probe, ok)
        if score.result != before.result:
            needed = succeeds if ok else fails
            assert score.result == ok and answers[number - needed : number] == [ok] * needed


def test_a_port_that_nobody_listens_at_yet_is_tried_again_soon() -> None:
    refused = "dial tcp 10.0.0.1:80: connect: connection refused"
    pauses = [early_pause(Score(), PROBE, refused, number) for number in range(7)]
    assert pauses[0] < 0.1 and pauses[-1] == 0.0 and sum(pauses) < 10
    assert early_pause(Score(), PROBE, "HTTP probe failed with statuscode: 500", 0) == 0.0
    assert early_pause(scored(Score(), PROBE, True), PROBE, refused, 0) == 0.0


class Answers:
    """Answers what it is told, by the kind of probe."""

    def __init__(self) -> None:
        self.ok = {"startup": True, "liveness": True, "readiness": True}
        self.asked: list[tuple[float, str]] = []

    async def ask(self, handler: Object, container: Object, id: str, address: str, *, timeout: float) -> Asked:
        kind = handler["exec"]["command"][0]
        self.asked.append((asyncio.get_running_loop().time(), kind))
        return Asked(self.ok[kind], "says the test", warns=self.ok[kind])


def probe(kind: str, **more: Any) -> Object:
    return {"exec": {"command": [kind]}, "periodSeconds": 5, "failureThreshold": 2, "successThreshold": 1, **more}


def test_startup_comes_first_and_liveness_ends_a_container() -> None:
    async def scenario() -> None:
        loop = asyncio.get_running_loop()
        answers, told = Answers(), []
        answers.ok["startup"] = False

        def now() -> float:
            return NOW + loop.time()

        probes = Probes(answers, now, asyncio.Event(), lambda *words: told.append(words))
        fields = {
            "startupProbe": probe("startup", failureThreshold=10),
            "livenessProbe": probe("liveness", terminationGracePeriodSeconds=7),
            "readinessProbe": probe("readiness", initialDelaySeconds=8),
        }
        running = ContainerStatus("id", "u", "a", 0, RUNNING, int(NOW * 1e9), started_at=int(NOW * 1e9))
        part = Part(MAIN, "a", one(**fields), (running,))
        probes.follow([part], frozenset(), "10.0.0.1")
        await asyncio.sleep(11)
        assert {kind for _, kind in answers.asked} == {"startup"} and not probes.verdicts["id"].started
        answers.ok["startup"] = True
        await asyncio.sleep(5)
        verdict = probes.verdicts["id"]
        assert verdict.started and verdict.ready and {kind for _, kind in answers.asked} == set(answers.ok)
        answers.ok["readiness"] = answers.ok["liveness"] = False
        await asyncio.sleep(11)
        verdict = probes.verdicts["id"]
        assert not verdict.ready and (verdict.failed, verdict.grace) == ("liveness", 7.0)
        assert ("a", "Warning", "Unhealthy", "Liveness probe failed: says the test") in told
        assert ("a", "Warning", "ProbeWarning", "Startup probe warning: says the test") in told
        count = len(answers.asked)
        probes.follow([], frozenset(), "")
        await asyncio.sleep(30)
        assert len(answers.asked) == count and not probes.verdicts
        await probes.close()

    run(scenario)


async def _page(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    head = (await reader.readuntil(b"\r\n\r\n")).decode()
    path = head.split()[1]
    status = {"/ok": "200 OK", **dict.fromkeys(("/moved", "/away", "/torn"), "302 Found"), "/bad": "500 No"}.get(
        path, "404 No"
    )
    extra = {
        "/moved": "Location: /ok\r\n",
        "/away": "Location: http://nowhere.invalid/\r\n",
        "/torn": "Location: http://[\r\n",
    }.get(path, "")
    seen = "yes" if "X-Asked: by test" in head and "kube-probe/" in head else "no"
    body = f"{path} {seen}"
    writer.write(f"HTTP/1.1 {status}\r\n{extra}Content-Length: {len(body)}\r\nConnection: close\r\n\r\n{body}".encode())
    await writer.drain()
    writer.close()


@contextlib.asynccontextmanager
async def listening(serve: Callable[..., Any]) -> AsyncIterator[int]:
    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    try:
        yield server.sockets[0].getsockname()[1]
    finally:
        server.close()


@pytest.fixture
async def asker() -> AsyncIterator[Asker]:
    asker = Asker(SimulatedRuntime(lambda: NOW))
    yield asker
    await asker.close()


async def ask(asker: Asker, handler: Object, **container: Any) -> Asked:
    return await asker.ask(handler, container, "id", "127.0.0.1", timeout=2.0)


async def test_http(asker: Asker) -> None:
    async with listening(_page) as port:
        headers = [{"name": "X-Asked", "value": "by test"}]

        def get(path: str, port: Any = port) -> Object:
            return {"httpGet": {"path": path, "port": port, "scheme": "HTTP", "httpHeaders": headers}}

        assert await ask(asker, get("/ok")) == Asked(True, "/ok yes")
        assert (await ask(asker, get("/moved"))).ok
        away = Asked(True, "Probe terminated redirects, Response body: /away yes", warns=True)
        assert await ask(asker, get("/away")) == away
        assert await ask(asker, get("/bad")) == Asked(False, "HTTP probe failed with statuscode: 500")
        hook = await asker.ask(get("/bad"), {}, "id", "127.0.0.1", timeout=2.0, agent=HOOK_AGENT)
        assert hook.ok  # whom a hook calls need not like it
        assert (await ask(asker, get("/torn"))).ok is False
        assert (await ask(asker, get("/ok", "web"), ports=[{"name": "web", "containerPort": port}])).ok
        assert (await ask(asker, get("/ok", "other"))).ok is None
    refused = await ask(asker, get("/ok"))
    assert refused.ok is False and "connection refused" in refused.text and refused.text.startswith("Get ")


async def test_tcp_and_what_takes_too_long(asker: Asker) -> None:
    async def silent(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read()

    async with listening(silent) as port:
        assert (await ask(asker, {"tcpSocket": {"port": port}})).ok
        handler = {"httpGet": {"path": "/", "port": port, "scheme": "HTTP"}}
        late = await asker.ask(handler, {}, "id", "127.0.0.1", timeout=0.05)
        assert late.ok is False and "context deadline exceeded" in late.text
    assert (await ask(asker, {"tcpSocket": {"port": port}})).text.startswith("dial tcp 127.0.0.1:")


async def test_a_hook_that_sleeps(asker: Asker) -> None:
    for seconds, ok in ((0, True), (60, False)):
        asked = await asker.ask({"sleep": {"seconds": seconds}}, {}, "id", "", timeout=0.01, agent=HOOK_AGENT)
        assert (asked.ok, asked.text) == (ok, "" if ok else "container terminated before sleep hook finished")


async def test_grpc(asker: Asker) -> None:
    """Against the real library."""

    def check(data: bytes, context: grpc.ServicerContext) -> bytes:
        service = data[2:].decode()
        if service == "unknown":
            context.abort(grpc.StatusCode.NOT_FOUND, "unknown service")
        return b"\x08\x01" if service in ("", "good" * 30) else b"\x08\x02"

    server = grpc.server(futures.ThreadPoolExecutor(2))
    handlers = {"Check": grpc.unary_unary_rpc_method_handler(check)}
    server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler("grpc.health.v1.Health", handlers),))
    port = server.add_insecure_port("127.0.0.1:0")
    server.start()
    try:
        assert await ask(asker, {"grpc": {"port": port, "service": ""}}) == Asked(True, "service healthy")
        assert (await ask(asker, {"grpc": {"port": port, "service": "good" * 30}})).ok
        bad = await ask(asker, {"grpc": {"port": port, "service": "bad"}})
        assert bad == Asked(False, 'service unhealthy (responded with "NOT_SERVING")')
        assert (await ask(asker, {"grpc": {"port": port, "service": "unknown"}})).ok is False
    finally:
        server.stop(None)
    async with listening(_page) as page:
        assert (await ask(asker, {"grpc": {"port": page}})).ok is False
    refused = await ask(asker, {"grpc": {"port": page}})
    assert refused.ok is False and shown({"grpc": {"port": page}}, refused, "127.0.0.1", 1.0) == (
        f'timeout: failed to connect service "127.0.0.1:{page}" within 1s: context deadline exceeded'
    )


async def test_what_cannot_be_run_counts_for_nothing() -> None:
    """As the original throws such an answer away: the container may just have ended."""

    class Ended(SimulatedRuntime):
        async def run(self, id: str, command: Sequence[str], *, timeout: float) -> tuple[int, bytes]:
            raise Conflict("container id is not running")

    asker = Asker(Ended(lambda: NOW))
    assert await ask(asker, {"exec": {"command": ["true"]}}) == Asked(None, "container id is not running")
    await asker.close()


@given(st.binary(max_size=200), st.integers(1, 20))
def test_whatever_a_server_says_is_read_to_an_end(data: bytes, size: int) -> None:
    reply = Reply()
    for start in range(0, len(data), size):
        reply.feed(data[start : start + size])
    assert reply.status is None or 0 <= reply.status < 256
    assert request("a", "b").startswith(b"PRI * HTTP/2.0")


def test_a_reply_in_pieces() -> None:
    said = (
        frame(4, 0, 0) + frame(1, 4, 1, b"\x88") + frame(0, 0, 1, b"\x00\x00\x00\x00\x02\x08\x01") + frame(1, 5, 1, b"")
    )
    reply = Reply()
    answers = b"".join(reply.feed(said[start : start + 1]) for start in range(len(said)))
    assert reply.ended and reply.status == 1 and answers == frame(4, 1, 0)


def test_an_answer_without_end_is_not_kept() -> None:
    reply = Reply()
    for _ in range(1000):
        reply.feed(frame(0, 0, 1, bytes(1 << 14)))
        if reply.ended:
            break
    assert reply.ended and reply.status is None and reply.refused == "the answer is too large"
