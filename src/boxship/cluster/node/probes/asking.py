"""One question to a container: by exec, HTTP, TCP or gRPC. The answer is a value; nothing here decides what it means.

Source: documentation "Configure Liveness, Readiness and Startup Probes", "Container Lifecycle Hooks".
"""

import asyncio
import contextlib
from collections.abc import Mapping, Sequence
from urllib.parse import urljoin, urlsplit

import msgspec

from boxship.cluster.node.probes import grpc_health
from boxship.cluster.node.probes.judging import NOT_LISTENING
from boxship.cluster.node.runtime import Runtime
from boxship.cluster.objects import Object
from boxship.errors import BoxshipError, Timeout
from boxship.transport.client import HttpClient, Trust
from boxship.transport.dialing import dial

BODY_BYTES = 10 * 1024  # of an answer, of which people are told
REDIRECTS = 10
TRUST = Trust(verify=False)
PROBE_AGENT, HOOK_AGENT = "kube-probe/1.36", "kube-lifecycle/1.36"


class Asked(msgspec.Struct, frozen=True):
    """`ok` None: it could not be asked at all, which counts for nothing. `text`: what people are told. `warns`: they
    are told of it though it is well."""

    ok: bool | None
    text: str = ""
    warns: bool = False


class Asker:
    """One for the node: keeps no connection. `close` at the end."""

    def __init__(self, runtime: Runtime) -> None:
        self._runtime = runtime
        self._http = HttpClient(connections_per_host=1000)

    async def close(self) -> None:
        await self._http.close()

    async def ask(
        self, handler: Object, container: Object, id: str, address: str, *, timeout: float, agent: str = PROBE_AGENT
    ) -> Asked:
        """`handler` is a probe or a hook; `address` the pod's."""
        try:
            async with asyncio.timeout(timeout):
                if handler.get("exec") is not None:
                    return await self._exec(id, handler["exec"].get("command") or (), timeout)
                if handler.get("httpGet") is not None:
                    return await self._get(handler["httpGet"], container, address, agent)
                if handler.get("tcpSocket") is not None:
                    return await self._dial(handler["tcpSocket"], container, address)
                if handler.get("grpc") is not None:
                    return await self._check(handler["grpc"], address)
                await asyncio.sleep(float((handler.get("sleep") or {}).get("seconds") or 0))
                return Asked(True)
        except (TimeoutError, Timeout):
            if handler.get("exec") is not None:
                return Asked(
                    False,
                    f'command timed out: "{" ".join(handler["exec"].get("command") or ())}" '
                    f"timed out after {timeout:g}s",
                )
            return Asked(False, _late(handler, container, address, timeout))
        except PortUnknown as error:
            return Asked(None, str(error))
        except BoxshipError as error:
            if handler.get("exec") is not None:  # nothing was run: the container has just ended, or has no such program
                return Asked(None, str(error))
            return Asked(False, _told(handler, container, address, error))

    async def _exec(self, id: str, command: Sequence[str], timeout: float) -> Asked:
        code, output = await self._runtime.run(id, command, timeout=timeout)
        return Asked(code == 0, output[:BODY_BYTES].decode(errors="replace"))

    async def _get(self, action: Object, container: Object, address: str, agent: str) -> Asked:
        url = url_of(action, container, address)
        headers = headers_of(action, agent)
        for _ in range(REDIRECTS):
            async with self._http.request("GET", url, headers=headers, trust=TRUST) as answer:
                body = b""
                with contextlib.suppress(BoxshipError):
                    body = await answer.read(BODY_BYTES)
                target = answer.headers.get("Location") if answer.status in (301, 302, 303, 307, 308) else None
                status = answer.status
            if target is None:
                if 200 <= status < 400 or agent == HOOK_AGENT:  # a hook is called; what it is told is not looked at
                    return Asked(True, body.decode(errors="replace"))
                return Asked(False, f"HTTP probe failed with statuscode: {status}")
            try:
                follow = urljoin(url, target)
                elsewhere = urlsplit(follow).hostname != urlsplit(url).hostname
            except ValueError as error:  # the container says where to
                return Asked(False, f'Get "{url}": failed to parse Location header {target!r}: {error}')
            if elsewhere:
                text = f"Probe terminated redirects, Response body: {body.decode(errors='replace')}"
                return Asked(True, text, warns=True)
            url = follow
        return Asked(False, f'Get "{url}": stopped after {REDIRECTS} redirects')

    async def _dial(self, action: Object, container: Object, address: str) -> Asked:
        host = action.get("host") or address
        _, writer = await dial(host, port_of(action.get("port"), container))
        writer.close()
        return Asked(True)

    async def _check(self, action: Object, address: str) -> Asked:
        port, service = int(action["port"]), action.get("service") or ""
        reader, writer = await dial(address, port)
        try:
            writer.write(grpc_health.request(f"{address}:{port}", service))
            reply = grpc_health.Reply()
            while not reply.ended:
                data = await reader.read(64 * 1024)
                if not data:
                    break
                answer = reply.feed(data)
                if answer:
                    writer.write(answer)
                    await writer.drain()
        except OSError as error:
            return Asked(False, f'error: failed to connect service at "{address}:{port}": {error}')
        finally:
            writer.close()
        if reply.status == grpc_health.SERVING:
            return Asked(True, "service healthy")
        if reply.status is None:
            why = reply.refused or "no answer of the health protocol"
            return Asked(False, f"error: health rpc probe failed: {why}")
        name = grpc_health.NAMES.get(reply.status, str(reply.status))
        return Asked(False, f'service unhealthy (responded with "{name}")')


class PortUnknown(BoxshipError):
    """A port's name that the container does not have."""


def port_of(port: int | str | None, container: Object) -> int:
    """Raises PortUnknown."""
    if isinstance(port, int):
        return port
    for one in container.get("ports") or ():
        if one.get("name") == port:
            return int(one["containerPort"])
    with contextlib.suppress(ValueError, TypeError):
        return int(port or "")
    raise PortUnknown(f'strconv.Atoi: parsing "{port}": invalid syntax')


def url_of(action: Object, container: Object, address: str) -> str:
    host = action.get("host") or address
    shown = f"[{host}]" if ":" in host else host
    path = action.get("path") or "/"
    scheme = (action.get("scheme") or "HTTP").lower()
    return f"{scheme}://{shown}:{port_of(action.get('port'), container)}{path if path[0] == '/' else '/' + path}"


def headers_of(action: Object, agent: str) -> Mapping[str, str | list[str]]:
    found: dict[str, str | list[str]] = {"User-Agent": agent, "Accept": "*/*", "Connection": "close"}
    for header in action.get("httpHeaders") or ():
        name, value = header["name"], header.get("value") or ""
        known = next((key for key in found if key.lower() == name.lower()), None)
        if known in ("User-Agent", "Accept"):
            found.pop(known)
            known = None
        if known is None:
            found[name] = value
        else:
            before = found[known]
            found[known] = [*([before] if isinstance(before, str) else before), value]
    return {name: value for name, value in found.items() if value != ""}


def _late(handler: Object, container: Object, address: str, timeout: float) -> str:
    if handler.get("httpGet") is not None:
        return (
            f'Get "{url_of(handler["httpGet"], container, address)}": context deadline exceeded '
            "(Client.Timeout exceeded while awaiting headers)"
        )
    if handler.get("tcpSocket") is not None:
        port = port_of(handler["tcpSocket"].get("port"), container)
        return f"dial tcp {handler['tcpSocket'].get('host') or address}:{port}: i/o timeout"
    if handler.get("grpc") is not None:
        return _no_service(handler["grpc"], address, timeout)
    return "container terminated before sleep hook finished"


def shown(handler: Object, asked: Asked, address: str, timeout: float) -> str:
    """What people are told of an answer. A gRPC client tries again until its time is over, so nobody hears from the
    original that the port has refused."""
    if handler.get("grpc") is not None and NOT_LISTENING in asked.text:
        return _no_service(handler["grpc"], address, timeout)
    return asked.text


def _no_service(action: Object, address: str, timeout: float) -> str:
    where = f"{address}:{action.get('port')}"
    return f'timeout: failed to connect service "{where}" within {timeout:g}s: context deadline exceeded'


def _told(handler: Object, container: Object, address: str, error: BoxshipError) -> str:
    if handler.get("httpGet") is not None and not str(error).startswith("Get "):
        return f'Get "{url_of(handler["httpGet"], container, address)}": {error}'
    return str(error)
