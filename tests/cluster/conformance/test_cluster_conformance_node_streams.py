"""Exec and logs over WebSockets, as a page in a browser asks for them: the client is not kubectl."""

import asyncio
import ssl
from urllib.parse import urlencode

import aiohttp
import pytest
from conformance_kit import Space

pytestmark = pytest.mark.slow

TALKER = """
    apiVersion: v1
    kind: Pod
    metadata: {name: talker}
    spec:
      terminationGracePeriodSeconds: 0
      containers:
      - name: c
        image: busybox
        imagePullPolicy: IfNotPresent
        command: [sh, -c, "echo container is alive; exec sleep 600"]
"""


def messages(space: Space, path: str, protocol: str) -> list[bytes]:
    """All that comes on a WebSocket, until the server ends it."""
    control = space.cluster.control
    pki = control.data / "pki"
    context = ssl.create_default_context(cafile=str(pki / "ca.crt"))
    context.load_cert_chain(pki / "admin.crt", pki / "admin.key")

    async def read() -> list[bytes]:
        async with (
            aiohttp.ClientSession(connector=aiohttp.TCPConnector(ssl=context)) as client,
            client.ws_connect(f"{control.url}/api/v1/namespaces/{space.name}/{path}", protocols=(protocol,)) as socket,
        ):
            assert socket.protocol == protocol
            return [message.data async for message in socket]

    return control.namespace.run(lambda: asyncio.run(asyncio.wait_for(read(), 60)))


# Covers: Pods, remote command execution over websocket.
@pytest.mark.parametrize("protocol", ("channel.k8s.io", "v4.channel.k8s.io", "v5.channel.k8s.io"))
def test_a_command_over_a_websocket(space: Space, protocol: str) -> None:
    space.apply(TALKER)
    space.until_ready("talker")
    words = [("container", "c"), ("stdout", "1"), ("stderr", "1")]
    command = [("command", word) for word in ("echo", "remote execution test")]
    found = messages(space, f"pods/talker/exec?{urlencode([*words, *command])}", protocol)
    told = [message for message in found if message[0] not in (1, 2)]
    assert b"".join(message[1:] for message in found if message[0] == 1) == b"remote execution test\n"
    assert all(len(message) == 1 for message in found if message[0] == 2)
    assert bool(told) == (protocol != "channel.k8s.io")  # the first version is told only of what goes wrong
    for message in told:
        assert message[0] == 3 and b'"status":"Success"' in message


# Covers: Pods, logs from websockets.
def test_a_log_over_a_websocket(space: Space) -> None:
    space.apply(TALKER)
    space.until_ready("talker")
    space.until(lambda: space.log("talker"), "it has a log")
    found = messages(space, "pods/talker/log?container=c", "binary.k8s.io")
    assert b"".join(found) == b"container is alive\n"
