"""Who may open a stream, what admission says of it, and what a slow client costs."""

import asyncio
import base64
import json
import os
import signal
import ssl
from pathlib import Path

import aiohttp
import pytest
from streams_kit import KUBECTLS, StreamsNode, until

POLICY = """
apiVersion: admissionregistration.k8s.io/v1
kind: ValidatingAdmissionPolicy
metadata: {name: no-shells}
spec:
  matchConstraints:
    resourceRules:
    - {apiGroups: [""], apiVersions: ["v1"], operations: ["CONNECT"], resources: ["pods/exec", "pods/portforward"]}
  validations:
  - {expression: "object.kind != 'PodExecOptions' || object.command[0] != 'sh'", message: "no shells here"}
---
apiVersion: admissionregistration.k8s.io/v1
kind: ValidatingAdmissionPolicyBinding
metadata: {name: no-shells}
spec:
  policyName: no-shells
  validationActions: [Deny]
  matchResources: {namespaceSelector: {matchLabels: {kubernetes.io/metadata.name: default}}}
"""
ROLES = """
apiVersion: rbac.authorization.k8s.io/v1
kind: Role
metadata: {{name: {name}, namespace: default}}
rules:
- {{apiGroups: [""], resources: [pods], verbs: [get]}}
- {{apiGroups: [""], resources: [pods/exec, pods/log], verbs: [{verb}]}}
---
apiVersion: rbac.authorization.k8s.io/v1
kind: RoleBinding
metadata: {{name: {name}, namespace: default}}
roleRef: {{apiGroup: rbac.authorization.k8s.io, kind: Role, name: {name}}}
subjects: [{{kind: User, name: {name}, apiGroup: rbac.authorization.k8s.io}}]
"""


async def test_admission_sees_what_is_asked_for(node: StreamsNode) -> None:
    await node.pod("guarded")
    (node.home / "policy.yaml").write_text(POLICY)
    await node.kubectl("apply", "-f", "policy.yaml")
    try:
        for _ in range(200):
            code, _, errors = await node.kubectl("exec", "guarded", "--", "sh", "-c", "true", check=False)
            if code:
                break
        assert "no shells here" in errors
        assert "denied request" in errors
        await node.kubectl("exec", "guarded", "--", "true")
    finally:
        await node.kubectl("delete", "-f", "policy.yaml")


async def test_a_websocket_takes_the_right_to_create(node: StreamsNode) -> None:
    """It begins with GET, so `get` alone must not open a shell; with `create` old and new clients get in."""
    await node.pod("rights")
    for name, verb in (("reader", "get"), ("maker", "create")):
        (node.home / "roles.yaml").write_text(ROLES.format(name=name, verb=verb))
        await node.kubectl("apply", "-f", "roles.yaml")
    for version in ("", "1.20.2", "1.36.4"):
        words = ("exec", "rights", "--as", "reader", "--", "true")
        code, _, errors = await node.kubectl(*words, version=version, check=False)
        assert code == 1 and 'cannot create resource "pods/exec"' in errors, errors
        words = ("exec", "rights", "--as", "maker", "--", "echo", "in")
        assert (await node.kubectl(*words, version=version))[1] == "in\n"
    await node.kubectl("logs", "rights", "--as", "reader")
    code, _, errors = await node.kubectl("logs", "rights", "--as", "maker", check=False)
    assert code == 1 and 'cannot get resource "pods/log"' in errors


async def test_requests_that_are_refused(node: StreamsNode) -> None:
    await node.pod("several", "left", "right")
    pki = node.control.data / "pki"
    context = ssl.create_default_context(cafile=str(pki / "ca.crt"))
    context.load_cert_chain(pki / "admin.crt", pki / "admin.key")
    base = "/api/v1/namespaces/default/pods/several"
    socket = {"Connection": "Upgrade", "Upgrade": "SPDY/3.1", "X-Stream-Protocol-Version": "v4.channel.k8s.io"}
    cases = (
        ("log", {}, 400, "a container name must be specified for pod several, choose one of: [left right]"),
        ("log?container=left&tailLines=-1", {}, 422, "tailLines: Invalid value: -1"),
        ("log?container=left&sinceSeconds=1&sinceTime=2026-01-01T00:00:00Z", {}, 422, "at most one of"),
        ("log?container=left&stream=Stdout&tailLines=1", {}, 422, "mutually exclusive"),
        ("log?container=left&limitBytes=x", {}, 400, "strconv.ParseInt"),
        ("exec?container=left&command=true&stdout=1", {}, 400, "Upgrade request required"),
        ("exec?container=left&stdout=1", socket, 400, "you must specify a command"),
        ("exec?container=left&command=true", socket, 400, "you must specify at least 1 of stdin, stdout, stderr"),
        ("exec?container=none&command=true&stdout=1", socket, 400, "container none is not valid for pod several"),
        ("portforward", {}, 400, "Upgrade request required"),
    )
    async with aiohttp.ClientSession(node.control.url, connector=aiohttp.TCPConnector(ssl=context)) as client:
        for path, headers, code, text in cases:
            method = "POST" if headers else "GET"
            async with client.request(method, f"{base}/{path}", headers=headers) as answer:
                body = await answer.text()
                assert (answer.status, text in body) == (code, True), (path, answer.status, body)
        async with client.get("/api/v1/namespaces/default/pods/nobody/log") as answer:
            assert json.loads(await answer.text())["message"] == 'pods "nobody" not found'


def resident(pid: int) -> int:
    """MiB."""
    return int(Path(f"/proc/{pid}/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE") >> 20


async def test_a_client_that_does_not_read_costs_little(node: StreamsNode) -> None:
    await node.pod("loud")
    assert node.control.process is not None
    before = resident(node.control.process.pid)
    clients: list[asyncio.subprocess.Process] = []
    try:
        for program in (KUBECTLS / "1.36.4" / "kubectl", KUBECTLS / "1.20.2" / "kubectl"):
            for _ in range(3):
                client = await asyncio.create_subprocess_exec(
                    str(program),
                    *("--kubeconfig", str(node.control.kubeconfig), "exec", "loud", "--", "cat", "/dev/zero"),
                    stdin=asyncio.subprocess.DEVNULL,
                    stdout=asyncio.subprocess.PIPE,
                    limit=1 << 16,
                )
                clients.append(client)
                assert client.stdout is not None
                await asyncio.wait_for(client.stdout.readexactly(1), 10)
                client.send_signal(signal.SIGSTOP)
        processes = [streams.process for streams in node.runtime.processes.values()]
        written = await _settled(processes)
        assert resident(node.control.process.pid) - before < 60
        assert max(written) < 40 << 20
    finally:
        for client in clients:
            client.kill()
            await client.communicate()
    await until(lambda: all(process.returncode is not None for process in processes), "their processes end")


async def _settled(processes: list[asyncio.subprocess.Process]) -> list[int]:
    """Bytes that each has written, once none of them can write more."""
    async with asyncio.timeout(15):
        last: list[int] = []
        while True:
            told = [
                int(Path(f"/proc/{process.pid}/io").read_text().split("wchar: ")[1].split()[0]) for process in processes
            ]
            if told == last:
                return told
            last = told
            await asyncio.sleep(0.3)


async def test_a_log_over_a_websocket(node: StreamsNode) -> None:
    """An empty message says that it is open, then come pieces of the log, as bytes or as base64; a client that goes
    away or asks for another protocol is no trouble."""
    await node.pod("teller")
    node.log("teller", "one", "two")
    pki = node.control.data / "pki"
    context = ssl.create_default_context(cafile=str(pki / "ca.crt"))
    context.load_cert_chain(pki / "admin.crt", pki / "admin.key")
    path = "/api/v1/namespaces/default/pods/teller/log"
    async with aiohttp.ClientSession(node.control.url, connector=aiohttp.TCPConnector(ssl=context)) as client:
        for offered, chosen in (((), None), (("base64.binary.k8s.io", "binary.k8s.io"), "base64.binary.k8s.io")):
            async with client.ws_connect(path, protocols=offered) as socket:
                assert socket.protocol == chosen
                pieces = [str(each.data) if chosen else each.data.decode() async for each in socket]
            assert pieces[0] == ""
            whole = "".join(base64.b64decode(each).decode() if chosen else each for each in pieces)
            assert whole == "one\ntwo\n"
        async with client.ws_connect(f"{path}?follow=true&tailLines=1", protocols=("binary.k8s.io",)) as socket:
            assert (await socket.receive_bytes(), await socket.receive_bytes()) == (b"", b"two\n")
            node.log("teller", "three")
            assert await socket.receive_bytes() == b"three\n"
        with pytest.raises(aiohttp.WSServerHandshakeError) as refused:
            await client.ws_connect(path, protocols=("v4.channel.k8s.io",))
        assert refused.value.status == 400
