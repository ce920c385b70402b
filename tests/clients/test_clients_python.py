"""docker-py at the version that it negotiates: the shapes that it reads, streams in each of its ways, archives."""

import io
import itertools
import socket
import tarfile
import threading
import time
from collections.abc import Iterator
from typing import Any

import docker
import pytest
import websocket
from clients_box import SECONDS, Box, Wire
from docker import DockerClient, types
from docker.errors import APIError, ContainerError, ImageLoadError, ImageNotFound, NotFound
from docker.models.containers import Container

from archives import tar_of
from boxship.wire.stream import FrameReader
from daemons import until

IMAGE = "busybox:latest"


@pytest.fixture
def sleeper(client: DockerClient, box: Box) -> Iterator[Container]:
    yield client.containers.run(IMAGE, ["sleep", "1000"], name=box.name(), detach=True)


def read_all(stream: socket.socket) -> bytes:
    stream.settimeout(SECONDS)
    data = b""
    while piece := stream.recv(65536):
        data += piece
    return data


def frames(data: bytes) -> list[tuple[int, bytes]]:
    return list(FrameReader().feed(data))


# running


def test_negotiated_version(client: DockerClient) -> None:
    assert client.ping()
    assert client.api.api_version == "1.51" or tuple(map(int, client.api.api_version.split("."))) >= (1, 44)
    assert client.version()["ApiVersion"] == "1.51"
    assert client.info()["Swarm"]["LocalNodeState"] == "inactive"
    assert client.df()["Images"]


def test_run_in_the_foreground(client: DockerClient) -> None:
    assert client.containers.run(IMAGE, ["echo", "hi"], remove=True) == b"hi\n"
    assert client.containers.run(IMAGE, "sh -c 'echo out; echo err >&2'", remove=True, stderr=True) in (
        b"out\nerr\n",
        b"err\nout\n",
    )
    lines = client.containers.run(IMAGE, ["seq", "1", "1000"], remove=True, stream=True)
    assert b"".join(lines).split() == [str(number).encode() for number in range(1, 1001)]
    with pytest.raises(ContainerError) as caught:
        client.containers.run(IMAGE, ["sh", "-c", "echo bad >&2; exit 3"], remove=True)
    assert (caught.value.exit_status, caught.value.stderr) == (3, b"bad\n")
    with pytest.raises(APIError) as missing:
        client.containers.run(IMAGE, ["no-such-program"], remove=True)
    assert "no-such-program" in str(missing.value)
    with pytest.raises(ImageNotFound):
        client.images.get("nothing-here")


def test_all_the_options_of_run(client: DockerClient, box: Box) -> None:
    network, volume = box.network("--subnet", "10.95.0.0/24"), box.volume()
    container = client.containers.run(
        IMAGE,
        ["sleep", "1000"],
        name=box.name(),
        detach=True,
        auto_remove=False,
        cap_add=["SYS_TIME"],
        cap_drop=["NET_RAW"],
        cpu_shares=300,
        nano_cpus=500_000_000,
        cpuset_cpus="0",
        environment={"A": "b"},
        extra_hosts={"db": "192.0.2.4"},
        group_add=["50"],
        healthcheck={"test": ["CMD", "true"], "interval": 10**9},
        hostname="web",
        init=True,
        ipc_mode="private",
        labels={"color": "blue"},
        log_config=types.LogConfig(type="json-file", config={"max-size": "1m"}),
        mem_limit="64m",
        memswap_limit="64m",
        mounts=[types.Mount("/t", None, type="tmpfs", tmpfs_size=1 << 20), types.Mount("/v", volume)],
        network=network,
        networking_config={network: types.EndpointConfig("1.44", ipv4_address="10.95.0.95", aliases=["front"])},
        oom_score_adj=100,
        pids_limit=50,
        ports={"80/tcp": ("127.0.0.1", None), "81/udp": None},
        read_only=True,
        restart_policy={"Name": "on-failure", "MaximumRetryCount": 2},
        security_opt=["no-new-privileges"],
        shm_size="8m",
        stop_signal="SIGKILL",
        sysctls={"kernel.msgmax": "4321"},
        tmpfs={"/scratch": "size=1m"},
        ulimits=[types.Ulimit(name="nofile", soft=100, hard=100)],
        user="1000",
        volumes={str(box.folder): {"bind": "/host", "mode": "ro"}},
        working_dir="/tmp",
    )  # fmt: skip
    script = (
        "hostname; echo $A; id -u; id -G; pwd; ulimit -n; cat /proc/sys/kernel/msgmax; ip -4 -o addr show eth0; "
        "grep -c ' /t \\| /v \\| /scratch \\| /host ' /proc/mounts; grep NoNewPrivs /proc/self/status"
    )
    code, output = container.exec_run(["sh", "-c", script])
    assert code == 0
    words = output.decode().split()
    assert words[:3] == ["web", "b", "1000"]
    assert "50" in words
    assert "/tmp" in words
    assert "100" in words
    assert "4321" in words
    assert "10.95.0.95/24" in words
    assert words[-3:] == ["4", "NoNewPrivs:", "1"]
    container.reload()
    assert container.labels == {"color": "blue"}
    assert set(container.ports) == {"80/tcp", "81/udp"}
    assert container.attrs["NetworkSettings"]["Networks"][network]["IPAddress"] == "10.95.0.95"
    until(lambda: container.client.containers.get(container.id).health == "healthy", SECONDS, "it is healthy")


def test_states_of_a_container(client: DockerClient, box: Box) -> None:
    container = client.containers.create(IMAGE, ["sleep", "1000"], name=box.name())
    assert container.status == "created"
    container.start()
    container.pause()
    container.reload()
    assert container.status == "paused"
    container.unpause()
    container.restart(timeout=0)
    new = box.name()
    container.rename(new)
    container.update(mem_limit="64m", memswap_limit="64m", restart_policy={"Name": "always"})
    container.reload()
    assert (container.name, container.attrs["HostConfig"]["Memory"]) == (new, 64 << 20)
    assert container.top(ps_args="-o pid,args")["Titles"] == ["PID", "COMMAND"]
    container.stop(timeout=0)
    assert container.wait()["StatusCode"] == 137
    assert container.diff() in (None, [])
    container.remove()
    with pytest.raises(NotFound):
        client.containers.get(new)


def test_list_and_prune(client: DockerClient, box: Box) -> None:
    label = box.name()
    running = client.containers.run(IMAGE, ["sleep", "1000"], name=box.name(), detach=True, labels={label: "1"})
    made = client.containers.create(IMAGE, name=box.name(), labels=[label])
    assert [found.id for found in client.containers.list(filters={"label": label})] == [running.id]
    assert {found.id for found in client.containers.list(all=True, filters={"label": [label]})} == {running.id, made.id}
    assert [found.id for found in client.containers.list(all=True, since=running.id, sparse=True)][-1:] == [made.id]
    pruned = client.containers.prune(filters={"label": label})
    assert pruned["ContainersDeleted"] == [made.id]
    assert pruned["SpaceReclaimed"] >= 0


def test_wait_conditions(client: DockerClient, box: Box) -> None:
    made = client.containers.create(IMAGE, ["sh", "-c", "exit 5"], name=box.name())
    assert made.wait(condition="not-running")["StatusCode"] == 0
    results: list[Any] = []

    waiter = threading.Thread(target=lambda: results.append(made.wait(condition="next-exit")))
    waiter.start()

    def start_again() -> bool:  # until the waiter is there, too
        made.start()
        return bool(results)

    until(start_again, SECONDS, "the next exit")
    assert results[0]["StatusCode"] == 5
    gone = client.containers.create(IMAGE, ["sh", "-c", "exit 6"], name=box.name(), auto_remove=True)
    waiter = threading.Thread(target=lambda: results.append(gone.wait(condition="removed")))
    waiter.start()
    gone.start()
    waiter.join(SECONDS)
    assert results[-1]["StatusCode"] == 6
    with pytest.raises(NotFound):
        client.containers.get(gone.id)


# attach


def test_attach_as_a_stream_and_as_a_socket(client: DockerClient, box: Box) -> None:
    container = client.containers.create(IMAGE, ["sh", "-c", "cat; echo bye >&2"], name=box.name(), stdin_open=True)
    stream = container.attach_socket(params={"stdin": 1, "stdout": 1, "stderr": 1, "stream": 1})._sock
    lines = container.attach(stream=True, demux=True)
    container.start()
    stream.sendall(b"through\n")
    assert next(lines) == (b"through\n", None)
    container.kill()
    seen = frames(read_all(stream))
    stream.close()
    assert seen == [(1, b"through\n")]
    # Not by docker-py: what comes along with the answer's head is lost in its buffer.
    with Wire(box.daemon) as wire:
        status, body = wire.ask("POST", f"/containers/{container.id}/attach?logs=1&stdout=1")
    assert (status, body) == (200, b"\1\0\0\0\0\0\0\x08through\n")


def test_attach_without_upgrade_and_with_a_terminal(client: DockerClient, box: Box) -> None:
    container = client.containers.create(
        IMAGE, ["sh", "-c", "read x; stty size; echo got $x"], name=box.name(), stdin_open=True, tty=True
    )
    stream = container.attach_socket(params={"stdin": 1, "stdout": 1, "stream": 1})._sock
    container.start()
    container.resize(41, 101)
    stream.sendall(b"line\n")
    data = read_all(stream)
    stream.close()
    assert data == b"line\r\n41 101\r\ngot line\r\n"


def test_attach_by_websocket(client: DockerClient, box: Box) -> None:
    """docker-py speaks WebSocket over TCP alone; its own library does over any socket."""
    container = client.containers.create(
        IMAGE, ["sh", "-c", "read x; echo got $x"], name=box.name(), stdin_open=True, tty=False
    )
    carrier = socket.socket(socket.AF_UNIX)
    carrier.settimeout(SECONDS)
    carrier.connect(str(box.daemon.socket))
    path = f"ws://localhost/v1.51/containers/{container.id}/attach/ws?stdin=1&stdout=1&stream=1"
    connection = websocket.create_connection(path, socket=carrier)
    container.start()
    connection.send_binary(b"words\n")
    seen = b""
    while b"got words" not in seen:
        piece = connection.recv()
        assert piece
        seen += piece if isinstance(piece, bytes) else piece.encode()
    connection.close()


# exec


def test_exec_in_each_way(client: DockerClient, sleeper: Container) -> None:
    both = ["sh", "-c", "echo out; echo err >&2"]
    assert sleeper.exec_run(both, demux=True) == (0, (b"out\n", b"err\n"))
    assert sleeper.exec_run(both, stderr=False).output == b"out\n"
    streamed = sleeper.exec_run(["seq", "1", "3"], stream=True)
    assert streamed.exit_code is None
    assert b"".join(streamed.output) == b"1\n2\n3\n"
    pieces = list(sleeper.exec_run(both, stream=True, demux=True).output)
    assert {(out or b"") + (err or b"") for out, err in pieces} == {b"out\n", b"err\n"}
    stream = sleeper.exec_run(["cat"], stdin=True, socket=True).output._sock
    stream.sendall(b"both ways")
    stream.shutdown(socket.SHUT_WR)
    assert frames(read_all(stream)) == [(1, b"both ways")]
    stream.close()
    assert sleeper.exec_run(["sh", "-c", "tty >/dev/null && echo terminal"], tty=True).output == b"terminal\r\n"
    assert sleeper.exec_run(["true"], detach=True).output in (b"", "")
    assert sleeper.exec_run(["id", "-u"], user="web").output == b"1000\n"
    assert sleeper.exec_run(["sh", "-c", "echo $A; pwd"], environment={"A": "b"}, workdir="/www").output == b"b\n/www\n"


def test_exec_inspect(client: DockerClient, sleeper: Container) -> None:
    made = client.api.exec_create(sleeper.id, ["sh", "-c", "exit 4"], user="web", privileged=False)
    shown = client.api.exec_inspect(made["Id"])
    assert (shown["Running"], shown["ExitCode"], shown["ContainerID"]) == (False, None, sleeper.id)
    assert shown["ProcessConfig"]["entrypoint"] == "sh"
    assert shown["ProcessConfig"]["arguments"] == ["-c", "exit 4"]
    assert client.api.exec_start(made["Id"]) == b""
    shown = client.api.exec_inspect(made["Id"])
    assert (shown["Running"], shown["ExitCode"]) == (False, 4)
    with pytest.raises(APIError) as again:
        client.api.exec_start(made["Id"], detach=True)
    assert again.value.status_code == 409
    with pytest.raises(NotFound):
        client.api.exec_inspect("nothing")


def test_exec_resize(client: DockerClient, sleeper: Container) -> None:
    made = client.api.exec_create(sleeper.id, ["sh", "-c", "read x; stty size"], stdin=True, tty=True)
    stream = client.api.exec_start(made["Id"], tty=True, socket=True)._sock
    client.api.exec_resize(made["Id"], height=12, width=34)
    stream.sendall(b"\n")
    assert read_all(stream).endswith(b"12 34\r\n")
    stream.close()


# streams


def test_logs(client: DockerClient, box: Box) -> None:
    container = client.containers.run(
        IMAGE, ["sh", "-c", "echo one; echo two >&2; usleep 50000; echo three"], name=box.name(), detach=True
    )
    assert sorted(b"".join(container.logs(stream=True, follow=True)).split()) == [b"one", b"three", b"two"]
    assert container.logs(stdout=True, stderr=False) == b"one\nthree\n"
    assert container.logs(tail=1) == b"three\n"
    stamped = container.logs(timestamps=True, tail=1).decode()
    assert stamped.endswith("Z three\n")
    assert container.logs(since=int(time.time()) + 100) == b""
    assert container.logs(until=time.time() - 100) == b""
    assert container.logs(since=box.since, until=time.time() + 1, stderr=False) == b"one\nthree\n"


def test_stats(client: DockerClient, sleeper: Container) -> None:
    whole = sleeper.stats(stream=False)
    assert whole["name"] == f"/{sleeper.name}"
    assert whole["id"] == sleeper.id
    assert whole["cpu_stats"]["system_cpu_usage"] > whole["precpu_stats"]["system_cpu_usage"] > 0
    assert whole["memory_stats"]["limit"] > whole["memory_stats"]["usage"] > 0
    assert whole["pids_stats"]["current"] == 1
    assert whole["networks"]["eth0"]["rx_bytes"] >= 0
    once = client.api.stats(sleeper.id, stream=False, one_shot=True)
    assert not once["precpu_stats"].get("system_cpu_usage")
    first, second = itertools.islice(sleeper.stats(stream=True, decode=True), 2)
    assert first["read"] < second["read"]


def test_events_are_decoded(client: DockerClient, box: Box) -> None:
    name = box.name()
    stream = client.events(
        decode=True, filters={"container": name, "event": ["create", "start", "die"]}, since=box.since
    )
    client.containers.run(IMAGE, ["true"], name=name, detach=True)
    seen = [next(stream) for _ in range(3)]
    stream.close()
    assert [event["Action"] for event in seen] == ["create", "start", "die"]
    assert seen[0]["Actor"]["Attributes"]["name"] == name
    assert seen[2]["Actor"]["Attributes"]["exitCode"] == "0"
    past = list(client.events(decode=True, since=box.since, until=time.time(), filters={"container": name}))
    assert [event["Action"] for event in past][:1] == ["create"]


# files


@pytest.mark.parametrize("running", [True, False])
def test_archives(client: DockerClient, box: Box, running: bool) -> None:
    container = client.containers.create(IMAGE, ["sleep", "1000"], name=box.name())
    if running:
        container.start()
    assert container.put_archive("/tmp", tar_of({"first": "1st", "second": "2nd"}))
    stream, stat = container.get_archive("/tmp")
    assert stat["name"] == "tmp"
    assert stat["mode"] & 1 << 31  # Go's bit of folders
    with tarfile.open(fileobj=io.BytesIO(b"".join(stream))) as tar:
        assert {"tmp/first", "tmp/second"} <= set(tar.getnames())
    stream, stat = container.get_archive("/tmp/first", encode_stream=True)
    assert stat["size"] == 3
    stat = container.get_archive("/bin/sh")[1]
    assert stat["linkTarget"] == "/bin/busybox"
    with pytest.raises(NotFound):
        container.get_archive("/no/such")
    with pytest.raises(NotFound):
        container.put_archive("/no/such", tar_of({"x": "y"}))
    with pytest.raises(APIError):
        container.put_archive("/tmp", b"this is no archive" * 100)
    tree = b"".join(container.export())
    with tarfile.open(fileobj=io.BytesIO(tree)) as tar:
        assert "tmp/first" in tar.getnames()
    assert {"Path": "/tmp/first", "Kind": 1} in container.diff()


# images


def test_images(client: DockerClient, box: Box) -> None:
    container = client.containers.create(IMAGE, name=box.name())
    name = box.name("image")
    image = container.commit(repository=name, tag="v1", author="me", changes=['CMD ["echo", "committed"]'])
    assert image.tags == [f"{name}:v1"]
    assert image.tag(name, "v2")
    image.reload()
    assert sorted(image.tags) == [f"{name}:v1", f"{name}:v2"]
    assert image.history()[0]["Id"] == image.id
    saved = b"".join(image.save(named=f"{name}:v1"))
    client.images.remove(f"{name}:v1")
    client.images.remove(f"{name}:v2")
    loaded = client.images.load(saved)
    assert [found.id for found in loaded] == [image.id]
    assert client.containers.run(f"{name}:v1", remove=True) == b"committed\n"
    assert image.id in [found.id for found in client.images.list(filters={"reference": f"{name}*"})]
    assert client.images.list(name=name)[0].id == image.id
    assert client.images.get(image.id).attrs["Author"] == "me"
    client.images.remove(f"{name}:v1")
    with pytest.raises(ImageNotFound):
        client.images.get(f"{name}:v1")
    assert "ImagesDeleted" in client.images.prune(filters={"label": "no-such-label"})
    with pytest.raises(APIError, match="connection refused"):
        client.images.pull("127.0.0.1:1/nobody/there")
    with pytest.raises(ImageLoadError):
        client.images.load(b"nonsense" * 1000)


# networks and volumes


def test_networks(client: DockerClient, box: Box, sleeper: Container) -> None:
    pool = types.IPAMPool(subnet="10.96.0.0/24", gateway="10.96.0.254")
    network = client.networks.create(
        box.name("network"),
        driver="bridge",
        ipam=types.IPAMConfig(pool_configs=[pool]),
        labels={"a": "b"},
        check_duplicate=True,
    )
    network.connect(sleeper, ipv4_address="10.96.0.9", aliases=["nine"])
    network.reload()
    assert [container.id for container in network.containers] == [sleeper.id]
    sleeper.reload()
    joined = sleeper.attrs["NetworkSettings"]["Networks"][network.name]
    assert (joined["IPAddress"], joined["NetworkID"]) == ("10.96.0.9", network.id)
    assert "nine" in joined["Aliases"]
    assert sleeper.exec_run(["sh", "-c", "ip -4 -o addr | grep -c 10.96.0.9/24"]).output == b"1\n"
    network.disconnect(sleeper)
    assert [found.id for found in client.networks.list(names=[network.name])] == [network.id]
    assert network.id in [found.id for found in client.networks.list(filters={"label": "a=b"}, greedy=True)]
    network.remove()
    with pytest.raises(NotFound):
        client.networks.get(network.id)
    assert "NetworksDeleted" in client.networks.prune(filters={"label": "no-such-label"})


def test_volumes(client: DockerClient, box: Box) -> None:
    volume = client.volumes.create(box.name("volume"), driver="local", labels={"a": "b"})
    assert client.volumes.get(volume.name).attrs["Labels"] == {"a": "b"}
    assert volume.name in [found.name for found in client.volumes.list(filters={"label": "a=b"})]
    output = client.containers.run(
        IMAGE, ["sh", "-c", "echo x >/v/x; ls /v"], volumes={volume.name: {"bind": "/v", "mode": "rw"}}, remove=True
    )
    assert output == b"x\n"
    volume.remove()
    with pytest.raises(NotFound):
        client.volumes.get(volume.name)
    assert client.volumes.prune(filters={"label": "no-such-label"})["SpaceReclaimed"] == 0


def test_swarm_and_plugins(client: DockerClient) -> None:
    assert client.plugins.list() == []
    for ask in (client.services.list, client.nodes.list, client.secrets.list, client.configs.list):
        with pytest.raises(APIError) as caught:
            ask()
        assert caught.value.status_code == 503


@pytest.mark.parametrize("version", ["1.24", "1.30", "1.40", "1.41", "1.42", "1.43", "1.44", "1.45", "1.47", "1.51"])
def test_each_version_runs_a_container(box: Box, version: str) -> None:
    connected = docker.DockerClient(base_url=box.daemon.url, version=version, timeout=30)
    try:
        container = connected.containers.run(IMAGE, ["sh", "-c", "echo out; exit 2"], name=box.name(), detach=True)
        assert container.wait()["StatusCode"] == 2
        assert container.logs() == b"out\n"
        container.reload()
        assert container.status == "exited"
        assert connected.containers.list(all=True, filters={"name": container.name})[0].id == container.id
        assert connected.images.get("busybox").id == container.image.id
        container.remove()
    finally:
        connected.close()
