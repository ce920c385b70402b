"""The stock clients' logs, exec, attach, cp and port-forward, over both kinds of connection."""

import asyncio
import sys
from pathlib import Path

import pytest
from streams_kit import StreamsNode

from daemons import surroundings

VERSIONS = ("", "1.20.2", "1.36.4")


@pytest.mark.parametrize("version", VERSIONS)
async def test_exec(node: StreamsNode, version: str) -> None:
    await node.pod(f"shell{version.replace('.', '-')}")
    name = f"shell{version.replace('.', '-')}"
    _, output, errors = await node.kubectl("exec", name, "--", "sh", "-c", "echo out; echo err >&2", version=version)
    assert (output, errors) == ("out\n", "err\n")
    code, output, errors = await node.kubectl("exec", name, "--", "sh", "-c", "exit 7", version=version, check=False)
    assert code == 7
    assert "command terminated with exit code 7" in errors
    _, output, _ = await node.kubectl("exec", "-i", name, "--", "cat", version=version, data=b"some words" * 100_000)
    assert output == "some words" * 100_000
    code, output, errors = await node.kubectl("exec", name, "--", "nothing-here", version=version, check=False)
    assert code == 1
    assert "executable file not found" in errors


@pytest.mark.parametrize("version", VERSIONS)
async def test_copy(node: StreamsNode, version: str) -> None:
    name = f"copy{version.replace('.', '-')}"
    await node.pod(name)
    data = bytes(range(256)) * 8192
    (node.home / "there").mkdir()
    (node.home / "sent").write_bytes(data)
    await node.kubectl("cp", "sent", f"{name}:there/got", version=version)
    assert (node.home / "there" / "got").read_bytes() == data
    await node.kubectl("cp", f"{name}:there/got", "back", version=version)
    assert (node.home / "back").read_bytes() == data
    for _ in range(3):  # kubectl itself leaves with 0 there, as soon as it has seen the end of the archive
        _, output, errors = await node.kubectl("cp", f"{name}:there/none", "no", version=version, check=False)
        assert "there/none: Cannot stat: No such file or directory" in output + errors


@pytest.mark.parametrize("version", VERSIONS)
async def test_port_forward(node: StreamsNode, version: str) -> None:
    name = f"ports{version.replace('.', '-')}"
    await node.pod(name)

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Everything that came, once its sender has said all."""
        data = await reader.read()
        writer.write(b"got " + data)
        await writer.drain()
        writer.close()

    server = await asyncio.start_server(answer, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    process = await node.begin_kubectl("port-forward", f"pod/{name}", f":{port}", ":1", version=version)
    try:
        assert process.stdout is not None
        found = []
        while len(found) < 2:
            line = (await asyncio.wait_for(process.stdout.readline(), 10)).decode()
            if "127.0.0.1" in line:
                found.append(int(line.split(" ->")[0].rpartition(":")[2]))

        async def ask(number: int) -> None:
            reader, writer = await asyncio.open_connection("127.0.0.1", found[0])
            data = b"%d" % number * 20_000
            writer.write(data)
            writer.write_eof()
            assert await asyncio.wait_for(reader.read(), 20) == b"got " + data
            writer.close()

        await asyncio.gather(*(ask(number) for number in range(50)))
        reader, writer = await asyncio.open_connection("127.0.0.1", found[1])
        assert await asyncio.wait_for(reader.read(), 10) == b""
        writer.close()
        assert process.stderr is not None
        said = ""
        while "refused" not in said:
            line = (await asyncio.wait_for(process.stderr.readline(), 10)).decode()
            assert line, said
            said += line
    finally:
        if process.returncode is None:
            process.kill()
        await process.wait()
        server.close()


async def test_logs(node: StreamsNode) -> None:
    await node.pod("talk", "one", "two")
    node.log("one", "first", "second", pod="talk")
    node.log("one", "third", stream="stderr", pod="talk")
    node.log("two", "other", pod="talk")
    assert (await node.kubectl("logs", "talk", "-c", "one"))[1] == "first\nsecond\nthird\n"
    assert (await node.kubectl("logs", "talk", "-c", "one", "--tail=1"))[1] == "third\n"
    _, output, _ = await node.kubectl("logs", "talk", "--all-containers", "--prefix")
    assert "[pod/talk/one] first" in output.splitlines() and "[pod/talk/two] other" in output.splitlines()
    _, output, _ = await node.kubectl("logs", "talk", "-c", "one", "--timestamps", "--since=1h", "--limit-bytes=40")
    assert len(output) == 40
    assert (output[10], output[29:]) == ("T", "Z first\n202")
    code, _, errors = await node.kubectl("logs", "talk", "-c", "one", "--previous", check=False)
    assert code == 1
    assert 'previous terminated container "one" in pod "talk" not found' in errors
    await node.pod("young", running=False)
    code, _, errors = await node.kubectl("logs", "young", check=False)
    assert (
        'Error from server (BadRequest): container "young" in pod "young" is waiting to start: ContainerCreating'
        in errors
    )


async def test_follow_a_log(node: StreamsNode) -> None:
    pod = await node.pod("flow")
    node.log("flow", "before")
    process = await node.begin_kubectl("logs", "-f", "flow")
    assert process.stdout is not None
    assert await asyncio.wait_for(process.stdout.readline(), 10) == b"before\n"
    node.log("flow", "after")
    assert await asyncio.wait_for(process.stdout.readline(), 10) == b"after\n"
    found = next(each for each in node.runtime.found.values() if each.uid == pod["metadata"]["uid"])
    node.log("flow", "last")
    node.end(found)
    assert await asyncio.wait_for(process.stdout.read(), 10) == b"last\n"
    assert await asyncio.wait_for(process.wait(), 10) == 0


@pytest.mark.parametrize("version", VERSIONS)
async def test_attach(node: StreamsNode, version: str) -> None:
    name = f"join{version.replace('.', '-')}"
    await node.pod(name, stdin=True)
    _, output, _ = await node.kubectl("attach", "-i", name, version=version, data=b"hello\n")
    assert output.endswith("hello\n")


async def test_top(node: StreamsNode) -> None:
    await node.pod("busy", "left", "right")
    for version in VERSIONS:
        _, output, _ = await node.kubectl("top", "pods", "--containers", version=version)
        lines = [line.split() for line in output.splitlines() if "busy" in line]
        assert [line[1] for line in lines] == ["left", "right"]
        assert all(90 <= int(line[2].removesuffix("m")) <= 110 and line[3] == "10Mi" for line in lines), output
        _, output, _ = await node.kubectl("top", "node", version=version)
        assert "500m" in output or "499m" in output or "501m" in output, output
    _, output, _ = await node.kubectl("get", "pods.metrics.k8s.io", "busy")
    assert output.splitlines()[0].split() == ["NAME", "CPU", "MEMORY", "WINDOW"]
    assert output.splitlines()[1].split()[::2] == ["busy", "20480Ki"]
    _, output, _ = await node.kubectl("get", "nodes.metrics.k8s.io", "-o", "jsonpath={.items[*].usage.memory}")
    assert output == "1048576Ki"
    _, _, errors = await node.kubectl("top", "pods", "nothing", check=False)
    assert 'podmetrics.metrics.k8s.io "default/nothing" not found' in errors
    _, output, _ = await node.kubectl("get", "apiservices", "v1beta1.metrics.k8s.io")
    assert "Local" in output
    listed = await node.client.list("metrics.k8s.io/v1beta1/pods", "default", labels="a=b")
    assert listed.items == ()
    for version in ("", "1.36.4"):
        _, output, _ = await node.kubectl("explain", "podmetrics.containers.usage", version=version)
        assert "What is used, by the resource's name" in output


async def test_the_python_client(node: StreamsNode) -> None:
    await node.pod("snake")

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"got " + await reader.readline())
        await reader.read()
        writer.close()

    server = await asyncio.start_server(answer, "127.0.0.1", 0)
    script = Path(__file__).parent / "python_client.py"
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, str(script), "snake", str(server.sockets[0].getsockname()[1])),
        stdin=asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
        env={**surroundings(), "KUBECONFIG": str(node.control.kubeconfig)},
    )
    try:
        output, _ = await asyncio.wait_for(process.communicate(), 20)
        assert output.decode() == "all well\n"
    finally:
        if process.returncode is None:
            process.kill()
        server.close()
