"""Services and slices for the tests of names, an API of a page, and a server on a free port."""

import asyncio
import contextlib
import socket
from collections.abc import AsyncIterator, Sequence
from typing import Any

import dns.asyncquery
import dns.message
from page_kit import Page

from boxship.cluster.dns.server import ClusterDns
from boxship.cluster.objects import Object
from boxship.errors import Unavailable
from boxship.wire import dns as wire


def service(name: str, address: str = "", *, namespace: str = "default", **spec: Any) -> Object:
    spec = {"type": "ClusterIP", "clusterIP": address, "clusterIPs": [address], **spec}
    spec.setdefault("ports", [{"name": "http", "port": 80, "protocol": "TCP"}])
    return {"metadata": {"name": name, "namespace": namespace}, "spec": spec}


def slice(service: str, *endpoints: Object, namespace: str = "default", port: int = 8080) -> Object:
    labels = {"kubernetes.io/service-name": service}
    metadata = {"name": f"{service}-x", "namespace": namespace, "labels": labels}
    return {
        "metadata": metadata,
        "addressType": "IPv4",
        "endpoints": list(endpoints),
        "ports": [{"name": "http", "port": port, "protocol": "TCP"}],
    }


def endpoint(address: str, hostname: str = "", *, ready: bool = True) -> Object:
    made: Object = {"addresses": [address], "conditions": {"ready": ready}}
    return {**made, "hostname": hostname} if hostname else made


class Others:
    """Nameservers of the world: answers by name, and how often they were asked."""

    def __init__(self, answers: dict[str, dns.message.Message] | None = None) -> None:
        self.answers = answers or {}
        self.asked: list[str] = []
        self.gate = asyncio.Event()
        self.gate.set()

    async def ask(self, question: wire.Question, nameservers: Sequence[str]) -> bytes:
        self.asked.append(question.name)
        await self.gate.wait()
        if question.name not in self.answers:
            raise Unavailable("no nameserver answered")
        query = dns.message.from_wire(question.message)
        reply = dns.message.make_response(query, recursion_available=True)
        known = self.answers[question.name]
        reply.set_rcode(known.rcode())
        reply.answer, reply.authority = known.answer, known.authority
        return bytes(reply.to_wire())


def answer_text(*lines: str, code: str = "NOERROR", authority: Sequence[str] = ()) -> dns.message.Message:
    head = ["id 1", "opcode QUERY", f"rcode {code}", "flags QR"]
    return dns.message.from_text("\n".join([*head, ";ANSWER", *lines, ";AUTHORITY", *authority]))


def free_place() -> tuple[str, int]:
    """A port that is free for TCP and UDP."""
    while True:
        with socket.socket(type=socket.SOCK_STREAM) as stream, socket.socket(type=socket.SOCK_DGRAM) as datagram:
            stream.bind(("127.0.0.1", 0))
            place: tuple[str, int] = stream.getsockname()
            with contextlib.suppress(OSError):
                datagram.bind(place)
                return place


class Asking:
    """A running server and a client of it."""

    def __init__(self, page: Page, server: ClusterDns, place: tuple[str, int], others: Others) -> None:
        self.page, self.server, self.place, self.others = page, server, place, others

    async def ask(self, name: str, kind: str = "A", *, tcp: bool = False, **options: Any) -> dns.message.Message:
        query = dns.message.make_query(name, kind, **options)
        ask = dns.asyncquery.tcp if tcp else dns.asyncquery.udp
        return await ask(query, self.place[0], 5.0, self.place[1])

    async def texts(self, name: str, kind: str = "A") -> list[str]:
        """The records of the answer as text."""
        found = await self.ask(name, kind)
        return sorted(one.to_text() for records in found.answer for one in records)


@contextlib.asynccontextmanager
async def running_names(page: Page, others: Others | None = None, **options: Any) -> AsyncIterator[Asking]:
    place = free_place()
    others = others or Others()
    server = ClusterDns(page, lambda: ["192.0.2.53"], [place], upstream=others, **options)
    task = asyncio.create_task(server.run())
    try:
        await server.ready()
        asking = Asking(page, server, place, others)
        for _ in range(200):
            try:
                _, writer = await asyncio.open_connection(*place)
                writer.close()
                break
            except OSError:
                await asyncio.sleep(0.01)
        yield asking
        assert not task.done()
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
