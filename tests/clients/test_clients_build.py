"""Builds of the stock client (the classic builder) and of docker-py: contexts, options, output, failures, and ends."""

import base64
import gzip
import io
import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import bcrypt
import docker
import pytest
from clients_box import Box, Wire
from docker import DockerClient
from docker.errors import APIError, BuildError

from archives import tar_of
from daemons import Daemon, processes_naming, running_daemon, until

HELLO = "FROM busybox\nRUN echo hello > /hello\n"


@pytest.fixture
def context(tmp_path: Path) -> Path:
    folder = tmp_path / "context"
    folder.mkdir()
    (folder / "Dockerfile").write_text(HELLO)
    return folder


@pytest.fixture
def build(box: Box, monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    """`docker build` as the classic builder; every context is gone afterwards."""
    monkeypatch.setenv("DOCKER_BUILDKIT", "0")

    def run(*words: str, **options: Any) -> "subprocess.CompletedProcess[str]":
        return box.daemon.docker("build", *words, **options)

    yield run
    until(lambda: not left(box.daemon), 10, "contexts are removed")


def left(daemon: Daemon) -> list[str]:
    folder = daemon.data / "builder" / "contexts"
    return [name for name in os.listdir(folder) if name != ".trash"] if folder.exists() else []


def test_build_tag_and_run(build: Any, box: Box, context: Path) -> None:
    (context / "Dockerfile").write_text(
        'FROM busybox AS base\nARG WHO=you\nRUN echo "hi $WHO" > /said; echo loud; echo err >&2\n'
        "FROM base\nENV A=b\nLABEL l=v\nCOPY file sub/ /files/\nWORKDIR /files\nUSER web\nEXPOSE 80\n"
        'VOLUME /data\nCMD ["cat", "/said", "file"]\n'
    )
    (context / "file").write_text("content\n")
    (context / "sub").mkdir()
    (context / "sub" / "inner").write_text("inner")
    name = box.name("image")
    done = build("-t", name, "-t", f"{name}:two", "--build-arg", "WHO=me", "--label", "m=w", str(context))
    lines = [line for line in done.stdout.splitlines() if line]
    assert "Step 1/12 : FROM busybox AS base" in lines
    assert "loud" in lines and "\x1b[91merr" in lines
    assert [line for line in lines if line.startswith("Step ")][-1] == 'Step 12/12 : CMD ["cat", "/said", "file"]'
    short = lines[-3].removeprefix("Successfully built ")
    assert len(short) == 12 and lines[-2:] == [f"Successfully tagged {name}:latest", f"Successfully tagged {name}:two"]
    image = json.loads(box.docker("image", "inspect", name))[0]
    assert image["Id"].startswith(f"sha256:{short}") and set(image["RepoTags"]) == {f"{name}:latest", f"{name}:two"}
    config = image["Config"]
    assert config["Labels"] == {"l": "v", "m": "w"} and config["User"] == "web" and config["WorkingDir"] == "/files"
    assert config["ExposedPorts"] == {"80/tcp": {}} and config["Volumes"] == {"/data": {}} and "A=b" in config["Env"]
    assert box.docker("run", "--rm", name) == "hi me\ncontent\n"
    box.docker("image", "rm", f"{name}:two")


def test_an_unchanged_build_uses_the_cache(build: Any, box: Box, context: Path) -> None:
    first = build("-q", str(context)).stdout
    again = build(str(context))
    assert " ---> Using cache" in again.stdout and "Running in" not in again.stdout
    assert build("-q", str(context)).stdout == first and first.startswith("sha256:") and len(first) == 72
    assert "Using cache" not in build("--no-cache", str(context)).stdout


def test_options_reach_the_steps(build: Any, box: Box, context: Path) -> None:
    (context / "other").write_text(
        "FROM busybox AS a\nFROM busybox AS unused\nRUN false\nFROM a AS wanted\n"
        "RUN grep '1.2.3.4.*there' /etc/hosts && df -k /dev/shm | grep 2048 && ulimit -n | grep 123\n"
        "RUN ! ip link | grep eth\n"
    )
    words = ("-f", str(context / "other"), "--target", "wanted", "--add-host", "there:1.2.3.4", "--shm-size", "2m")
    done = build(*words, "--ulimit", "nofile=123:123", "--network", "none", "--no-cache", str(context))
    assert "Successfully built" in done.stdout and "RUN false" not in done.stdout


def test_ignored_files_stay_away(build: Any, box: Box, context: Path) -> None:
    (context / "Dockerfile").write_text("FROM busybox\nCOPY . /all\nRUN ls -A /all\n")
    (context / ".dockerignore").write_text("*\n!kept\n")
    (context / "kept").write_text("")
    (context / "secret").write_text("")
    output = build("--no-cache", str(context)).stdout
    listing = output.split("Running in", 1)[1]
    assert "kept" in listing and "secret" not in listing and "Dockerfile" not in listing


def test_a_dockerfile_or_an_archive_on_standard_input(build: Any, box: Box) -> None:
    assert "Successfully built" in build("-", data=HELLO.encode()).stdout
    packed = gzip.compress(tar_of({"sub/Df": "FROM busybox\nCOPY file /\nRUN cat /file\n", "file": "from the archive"}))
    assert "from the archive" in build("--no-cache", "-f", "sub/Df", "-", data=packed).stdout


def test_a_command_that_fails_gives_its_code(build: Any, box: Box) -> None:
    done = build("-", data=b"FROM busybox\nRUN echo before; exit 7\n", check=False)
    assert done.returncode == 7 and "before" in done.stdout
    assert done.stderr.rstrip().endswith("The command '/bin/sh -c echo before; exit 7' returned a non-zero code: 7")
    quiet = build("-q", "-", data=b"FROM busybox\nRUN echo before; exit 7\n", check=False)
    assert quiet.returncode == 7 and "before" in quiet.stderr


@pytest.mark.parametrize(
    ("dockerfile", "text"),
    [
        ("FROM busybox\nRUNN x\n", "dockerfile parse error on line 2: unknown instruction: RUNN"),
        ("", "file with no instructions"),
        ("FROM busybox\nCOPY none /\n", "none"),
        ("FROM busybox AS a\nCOPY --from=b / /\n", "b"),
    ],
)
def test_what_is_wrong_is_told(build: Any, box: Box, context: Path, dockerfile: str, text: str) -> None:
    (context / "Dockerfile").write_text(dockerfile)
    done = build(str(context), check=False)
    assert done.returncode == 1 and text in done.stderr, done.stderr


def test_a_target_that_is_not_there(build: Any, context: Path) -> None:
    assert "nowhere" in build("--target", "nowhere", str(context), check=False).stderr


def test_buildkits_protocol_is_refused_by_name(box: Box) -> None:
    with Wire(box.daemon) as wire:
        status, body = wire.ask("POST", "/v1.51/build?version=2", kind="application/x-tar")
    assert status == 400 and b"unsupported: query parameter version with 2" in body


def test_an_interrupt_ends_build_and_step(box: Box, context: Path) -> None:
    mark = f"987654{os.getpid()}"
    (context / "Dockerfile").write_text(f"FROM busybox\nRUN echo begun; sleep {mark}\n")
    environment = {**box.environment(), "DOCKER_BUILDKIT": "0"}
    with subprocess.Popen(["docker", "build", context], stdout=subprocess.PIPE, env=environment) as process:
        until(lambda: running(mark), 20, "the step runs")
        process.send_signal(signal.SIGINT)
        process.wait(10)
        until(lambda: not running(mark), 10, "the step ends")
    until(lambda: not left(box.daemon), 10, "the context is removed")


def running(mark: str) -> bool:
    """Whether a step's process is there; the client's own command line does not name the mark."""
    return bool(processes_naming(f"sleep\0{mark}"))


def test_a_build_is_cancelled_by_its_id(box: Box) -> None:
    mark = f"987653{os.getpid()}"
    body = tar_of({"Dockerfile": f"FROM busybox\nRUN sleep {mark}\n"})
    with Wire(box.daemon) as wire:
        head = f"POST /v1.51/build?buildid=mine{mark} HTTP/1.1\r\nHost: d\r\nContent-Type: application/x-tar\r\n"
        wire.say(f"{head}Connection: close\r\nContent-Length: {len(body)}\r\n\r\n".encode() + body)
        until(lambda: running(mark), 20, "the step runs")
        with Wire(box.daemon) as other:
            assert other.ask("POST", f"/v1.51/build/cancel?id=mine{mark}")[0] == 200
        assert b'"error":"build cancelled"' in wire.rest()
    until(lambda: not running(mark), 10, "the step ends")


def test_a_broken_context_is_refused(box: Box) -> None:
    body = tar_of({"Dockerfile": HELLO, "big": os.urandom(100_000)})
    for sent, text in (
        (body[:50_000], b"too early"),
        (b"no archive" * 100, b"cannot"),
        (tar_of({"../x": ""}), b"leads out"),
    ):
        with Wire(box.daemon) as wire:
            status, answer = wire.ask("POST", "/build", sent, "application/x-tar")
        assert status == 400 and text in answer
    assert left(box.daemon) == []


def begun(body: bytes) -> bytes:
    """A build's request whose body breaks off."""
    head = f"POST /build HTTP/1.1\r\nHost: d\r\nContent-Type: application/x-tar\r\nContent-Length: {len(body)}\r\n\r\n"
    return head.encode() + body[:300_000]


def test_a_client_that_vanishes_while_it_sends(box: Box) -> None:
    body = tar_of({"Dockerfile": HELLO, "big": os.urandom(1_000_000)})
    with Wire(box.daemon) as wire:
        head = (
            f"POST /build HTTP/1.1\r\nHost: d\r\nContent-Type: application/x-tar\r\nContent-Length: {len(body)}\r\n\r\n"
        )
        wire.say(head.encode() + body[:300_000])
        until(lambda: left(box.daemon), 10, "the context is being unpacked")
    until(lambda: not left(box.daemon), 10, "what was unpacked is removed")


def test_a_kill_leaves_no_context(tmp_path: Path) -> None:
    body = tar_of({"Dockerfile": HELLO, "big": os.urandom(1_000_000)})
    with running_daemon(tmp_path, image=False) as own:
        with Wire(own) as wire:
            wire.say(begun(body))
            until(lambda: left(own), 10, "the context is being unpacked")
            own.kill()
        assert left(own)
        own.start()
        assert left(own) == []


def test_a_private_base_is_pulled_with_the_clients_credentials(build: Any, box: Box, tmp_path: Path) -> None:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        registry = f"127.0.0.1:{probe.getsockname()[1]}"
    users = tmp_path / "users"
    users.write_bytes(b"me:" + bcrypt.hashpw(b"secret", bcrypt.gensalt(4)) + b"\n")
    (tmp_path / "own").mkdir()
    words = ("--registry", registry, "--registry-auth", str(users))
    name = f"{registry}/private/base:1"
    with running_daemon(tmp_path / "own", *words, image=False):
        box.docker("tag", "busybox", name)
        box.docker("login", "-u", "me", "--password-stdin", registry, data=b"secret")
        try:
            box.docker("push", name)
            box.docker("rmi", name)
            dockerfile = f"FROM {name}\nRUN echo on private\n".encode()
            assert "on private" in build("--no-cache", "-", data=dockerfile).stdout
            box.docker("rmi", "-f", name)
            environment = {
                **os.environ,
                "BOXSHIP_HOST": box.daemon.url,
                "DOCKER_CONFIG": str(box.daemon.home / "client"),
            }
            program = str(Path(sys.executable).parent / "boxship")
            for config, code in ((environment["DOCKER_CONFIG"], 0), (str(tmp_path), 1)):
                done = subprocess.run(
                    [program, "build", "--pull", "--no-cache", "-"],
                    input=dockerfile,
                    capture_output=True,
                    env={**environment, "DOCKER_CONFIG": config},
                    check=False,
                )
                assert done.returncode == code and b"secret" not in done.stderr, done.stderr
        finally:
            box.docker("logout", registry)
            box.daemon.docker("rmi", "-f", name, check=False)


# docker-py


def test_docker_py_builds_from_a_folder(client: DockerClient, box: Box, context: Path) -> None:
    name = box.name("image")
    (context / "skipped").write_text("")
    (context / ".dockerignore").write_text("skipped\n")
    (context / "Dockerfile").write_text("FROM busybox\nARG A\nCOPY . /all\nRUN ls /all; echo got $A\n")
    image, log = client.images.build(
        path=str(context),
        tag=name,
        buildargs={"A": "it"},
        labels={"l": "v"},
        rm=True,
        nocache=True,
        extra_hosts={"there": "1.2.3.4"},
        shmsize=1 << 20,
        network_mode="none",
        container_limits={"memory": 64 << 20, "memswap": -1, "cpushares": 512, "cpusetcpus": "0"},
    )
    said = "".join(line.get("stream", "") for line in log)
    assert image.tags == [f"{name}:latest"] and image.labels["l"] == "v"
    assert "got it\n" in said and "skipped" not in said and "Successfully built" in said


def test_docker_py_builds_from_a_file_and_an_archive(client: DockerClient, box: Box) -> None:
    image, _ = client.images.build(fileobj=io.BytesIO(HELLO.encode()))
    assert image.id.startswith("sha256:")
    packed = gzip.compress(tar_of({"Dockerfile": HELLO}))
    again, _ = client.images.build(fileobj=io.BytesIO(packed), custom_context=True, encoding="gzip")
    assert again.id == image.id


def test_docker_py_tells_why_a_build_failed(client: DockerClient, box: Box) -> None:
    with pytest.raises(BuildError) as caught:
        client.images.build(fileobj=io.BytesIO(b"FROM busybox\nRUN echo before; exit 9\n"))
    assert "non-zero code: 9" in str(caught.value)
    assert any("before" in line.get("stream", "") for line in caught.value.build_log)
    with pytest.raises(APIError, match="unknown instruction"):
        client.images.build(fileobj=io.BytesIO(b"NOTHING\n"))
    with pytest.raises(APIError, match="unsupported: query parameter squash"):
        client.images.build(fileobj=io.BytesIO(b"FROM busybox\n"), squash=True)


def test_docker_py_reads_the_raw_stream(client: DockerClient, box: Box) -> None:
    lines = list(client.api.build(fileobj=io.BytesIO(HELLO.encode()), decode=True))
    assert lines[0] == {"stream": "Step 1/2 : FROM busybox"} and lines[1] == {"stream": "\n"}
    assert lines[-2]["aux"]["ID"].startswith("sha256:") and lines[-1]["stream"].startswith("Successfully built ")
    quiet = list(client.api.build(fileobj=io.BytesIO(HELLO.encode()), quiet=True, decode=True))
    assert [line["stream"] for line in quiet] == [lines[-2]["aux"]["ID"] + "\n"]


def test_docker_py_prunes_and_lists_the_cache(client: DockerClient, box: Box) -> None:
    mark = f"{time.time_ns()}"
    client.images.build(fileobj=io.BytesIO(f"FROM busybox\nRUN echo {mark} > /mark\n".encode()))
    records = client.df()["BuildCache"]
    (record,) = [record for record in records if mark in record["Description"]]
    assert record["Type"] == "regular" and record["UsageCount"] >= 1 and record["Size"] > 0
    answer = client.api.prune_builds()
    assert set(answer) >= {"CachesDeleted", "SpaceReclaimed"}


def test_registry_credentials_are_read(box: Box) -> None:
    header = base64.urlsafe_b64encode(json.dumps({"r.example": {"username": "u", "password": "p"}}).encode()).decode()
    api = docker.APIClient(base_url=box.daemon.url, version="auto", timeout=30)
    answer = api._post(
        api._url("/build"),
        data=tar_of({"Dockerfile": HELLO}),
        headers={"Content-Type": "application/tar", "X-Registry-Config": header},
    )
    assert answer.status_code == 200 and "Successfully built" in answer.text
    api.close()
