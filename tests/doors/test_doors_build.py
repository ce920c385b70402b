"""`POST /build`: what goes in, and the bytes that come out, with a builder that plays a script."""

import asyncio
import gzip
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from doors_building import BuildDesk, lines_of, registry_header, streams

from archives import tar_of
from boxship.builder.dockerfile.syntax import Finding, Location
from boxship.builder.failures import BuildFailed
from boxship.builder.model import Built, CacheEnd, Noticed, StepFinished, StepOutput, StepProgress, StepStarted
from boxship.doors.docker.build_classic import container_of
from boxship.errors import Invalid, NotFound
from boxship.spec.container import Resources, Ulimit
from boxship.spec.image import Platform
from fake_builder import IMAGE, planned, steps

DOCKERFILE = tar_of({"Dockerfile": "FROM busybox\n"})


def played(*instructions: str) -> list[Any]:
    """A build of the instructions in which every step says its name."""
    script: list[Any] = [planned(*instructions)]
    for step in steps(*instructions):
        script += [step, StepFinished(step.step)]
    return script


async def test_the_stream_is_the_classic_builders_byte_by_byte(tmp_path: Path) -> None:
    async with BuildDesk(tmp_path) as desk:
        plan = steps("FROM busybox", "COPY a /a", "RUN echo hi", 'CMD ["x"]')
        desk.builder.script = [
            planned("FROM busybox", "COPY a /a", "RUN echo hi", 'CMD ["x"]'),
            plan[0],
            StepFinished("s1", cached=True, image="sha256:" + "11" * 32),
            plan[1],
            StepFinished("s2"),
            plan[2],
            StepOutput("s3", 1, b"hi\n"),
            StepOutput("s3", 2, b"oh\n"),
            StepFinished("s3"),
            plan[3],
            StepFinished("s4", cached=True, image=IMAGE),
            Built(image=IMAGE, names=("web:latest", "web:1"), steps=4, cached=2),
        ]
        status, body = await desk.build("?t=web&t=web:1", DOCKERFILE)
        made = container_of(plan[2])
        assert (status, body.decode()) == (
            200,
            '{"stream":"Step 1/4 : FROM busybox"}\r\n'
            '{"stream":"\\n"}\r\n'
            '{"stream":" ---> 111111111111\\n"}\r\n'
            '{"stream":"Step 2/4 : COPY a /a"}\r\n'
            '{"stream":"\\n"}\r\n'
            '{"stream":"Step 3/4 : RUN echo hi"}\r\n'
            '{"stream":"\\n"}\r\n'
            f'{{"stream":" ---> Running in {made}\\n"}}\r\n'
            '{"stream":"hi\\n"}\r\n'
            '{"stream":"\\u001b[91moh\\n\\u001b[0m"}\r\n'
            f'{{"stream":" ---> Removed intermediate container {made}\\n"}}\r\n'
            '{"stream":"Step 4/4 : CMD [\\"x\\"]"}\r\n'
            '{"stream":"\\n"}\r\n'
            '{"stream":" ---> Using cache\\n"}\r\n'
            '{"stream":" ---> abababababab\\n"}\r\n'
            f'{{"aux":{{"ID":"{IMAGE}"}}}}\r\n'
            '{"stream":"Successfully built abababababab\\n"}\r\n'
            '{"stream":"Successfully tagged web:latest\\n"}\r\n'
            '{"stream":"Successfully tagged web:1\\n"}\r\n',
        )
        assert desk.builder.requests[0].tags == ("web", "web:1")
        assert desk.builder.files == {"Dockerfile": b"FROM busybox\n"}
    assert desk.left() == []
    await desk.contexts.close()
    assert list((desk.folder / ".trash").iterdir()) == []


async def test_steps_that_run_side_by_side_are_told_in_order(tmp_path: Path) -> None:
    async with BuildDesk(tmp_path) as desk:
        one, two, three = steps("RUN one", "RUN two", "RUN three")
        desk.builder.script = [
            planned("RUN one", "RUN two", "RUN three"),
            StepStarted(step="meta", name="[internal] load metadata"),
            StepFinished("meta"),
            two,
            StepOutput("s2", 1, b"second\n"),
            one,
            StepFinished("s2"),
            StepOutput("s1", 1, b"first "),
            three,
            StepOutput("s3", 1, b"third\n"),
            StepOutput("s1", 1, b"and last\n"),
            StepFinished("s1"),
            StepFinished("s3"),
            Built(image=IMAGE),
        ]
        said = streams(lines_of((await desk.build(body=DOCKERFILE))[1]))
    wanted = [
        "Step 1/3 : RUN one\n",
        f" ---> Running in {container_of(one)}\nfirst and last\n",
        "Step 2/3 : RUN two\n",
        "second\n",
        "Step 3/3 : RUN three\n",
        "third\n",
        "Successfully built",
    ]
    places = [said.index(text) for text in wanted]
    assert places == sorted(places)


async def test_letters_cut_in_two_come_whole(tmp_path: Path) -> None:
    async with BuildDesk(tmp_path) as desk:
        (step,) = steps("RUN say")
        text = "grüße €".encode()
        pieces = [StepOutput("s1", 1, text[i : i + 1]) for i in range(len(text))]
        desk.builder.script = [planned("RUN say"), step, *pieces, StepFinished("s1"), Built(image=IMAGE)]
        assert "grüße €" in streams(lines_of((await desk.build(body=DOCKERFILE))[1]))


async def test_a_command_that_fails_ends_with_its_code(tmp_path: Path) -> None:
    async with BuildDesk(tmp_path) as desk:
        (step,) = steps("RUN exit 7")
        desk.builder.script = [
            planned("RUN exit 7"),
            step,
            StepOutput("s1", 1, b"so\n"),
            StepFinished("s1", error="exit code: 7"),
            BuildFailed("process ...", step="s1", code=7, command="/bin/sh -c exit 7"),
        ]
        status, body = await desk.build(body=DOCKERFILE)
    message = "The command '/bin/sh -c exit 7' returned a non-zero code: 7"
    assert status == 200
    assert body.endswith(f'{{"errorDetail":{{"code":7,"message":"{message}"}},"error":"{message}"}}\r\n'.encode())
    said = streams(lines_of(body))
    assert "so\n" in said and "Removed" not in said
    assert desk.left() == []


async def test_a_step_that_fails_before_its_turn_is_shown(tmp_path: Path) -> None:
    async with BuildDesk(tmp_path) as desk:
        one, two = steps("RUN one", "RUN two")
        desk.builder.script = [
            planned("RUN one", "RUN two"),
            one,
            StepOutput("s1", 1, b"busy\n"),
            two,
            StepOutput("s2", 1, b"broken\n"),
            StepFinished("s2", error="no"),
            BuildFailed("no", step="s2", location=Location("Dockerfile", 2, 2), lines=("RUN one", "RUN two")),
        ]
        values = lines_of((await desk.build(body=DOCKERFILE))[1])
    assert "Step 2/2 : RUN two\n" in streams(values) and "broken\n" in streams(values)
    assert values[-1]["error"].startswith("no\nDockerfile:2\n") and ">>> RUN two" in values[-1]["error"]


@pytest.mark.parametrize(
    ("error", "status"), [(Invalid("dockerfile parse error on line 1: no"), 400), (NotFound("no such image"), 404)]
)
async def test_what_is_wrong_before_the_first_line_is_an_ordinary_error(
    tmp_path: Path, error: Exception, status: int
) -> None:
    async with BuildDesk(tmp_path) as desk:
        desk.builder.script = [error]
        assert await desk.build(body=DOCKERFILE) == (status, f'{{"message":"{error}"}}\n'.encode())
    assert desk.left() == []


async def test_a_quiet_build_says_the_id_alone(tmp_path: Path) -> None:
    async with BuildDesk(tmp_path) as desk:
        desk.builder.script = [*played("FROM busybox", "RUN x"), Built(image=IMAGE, names=("a:latest",))]
        status, body = await desk.build("?q=1", DOCKERFILE)
        assert (status, body) == (200, f'{{"stream":"{IMAGE}\\n"}}\r\n'.encode())


async def test_a_quiet_build_that_fails_says_everything(tmp_path: Path) -> None:
    async with BuildDesk(tmp_path) as desk:
        desk.builder.script = [*played("RUN x"), BuildFailed("no", step="s1", code=3, command="x")]
        values = lines_of((await desk.build("?q=true", DOCKERFILE))[1])
        assert "Step 1/1 : RUN x" in streams(values) and values[-1]["errorDetail"]["code"] == 3
        desk.builder.script = [Invalid("no such thing")]
        assert (await desk.build("?q=true", DOCKERFILE))[0] == 400


async def test_bytes_that_are_fetched_are_told_as_progress(tmp_path: Path) -> None:
    async with BuildDesk(tmp_path) as desk:
        desk.builder.script = [StepProgress("pull", "sha256:" + "cd" * 32, 5, 10), Built(image=IMAGE)]
        values = lines_of((await desk.build(body=DOCKERFILE))[1])
    assert values[0] == {
        "status": "Downloading",
        "progressDetail": {"current": 5, "total": 10},
        "id": "cdcdcdcdcdcd",
    }


async def test_warnings_are_told_and_findings_are_not(tmp_path: Path) -> None:
    async with BuildDesk(tmp_path) as desk:
        place = Location("Dockerfile", 1, 1)
        desk.builder.script = [
            Noticed(Finding("StageNameCasing", "hush", place)),
            Noticed(Finding("", "[x] were not consumed", place)),
            Built(image=IMAGE),
        ]
        said = streams(lines_of((await desk.build(body=DOCKERFILE))[1]))
    assert "hush" not in said and "\x1b[91m[Warning] [x] were not consumed\n\x1b[0m" in said


async def test_intermediate_containers_may_be_kept_in_words(tmp_path: Path) -> None:
    async with BuildDesk(tmp_path) as desk:
        desk.builder.script = [*played("RUN x"), Built(image=IMAGE)]
        for query, said in (("", True), ("?rm=1", True), ("?rm=False", False), ("?rm=0&forcerm=1", True)):
            values = lines_of((await desk.build(query, DOCKERFILE))[1])
            assert ("Removed intermediate container" in streams(values)) is said


async def test_every_parameter_arrives(tmp_path: Path) -> None:
    query = (
        "?dockerfile=sub/Df&t=a&t=b:1&extrahosts=a:1.2.3.4&extrahosts=b:host-gateway&nocache=1&pull=true"
        "&cachefrom=%5B%22x%3A1%22%5D&rm=1&forcerm=0&memory=1000&memswap=-1&cpushares=7&cpusetcpus=0-1&cpusetmems=0"
        "&cpuperiod=1000&cpuquota=500&buildargs=%7B%22A%22%3A%221%22%2C%22B%22%3Anull%7D&shmsize=4096"
        "&labels=%7B%22l%22%3A%22v%22%7D&networkmode=none&platform=linux%2Farm64&target=web&outputs=&version=1"
        "&ulimits=%5B%7B%22Name%22%3A%22nofile%22%2C%22Soft%22%3A1%2C%22Hard%22%3A2%7D%5D&cgroupparent=/x&squash=0"
        "&isolation=default"
    )
    login = {"registry.example:5000": {"username": "u", "password": "p"}}
    async with BuildDesk(tmp_path) as desk:
        assert (await desk.build(query, DOCKERFILE, {"X-Registry-Config": registry_header(login)}))[0] == 200
        (request,) = desk.builder.requests
    assert request.dockerfile == "sub/Df"
    assert request.tags == ("a", "b:1")
    assert request.extra_hosts == ("a:1.2.3.4", "b:host-gateway")
    assert request.no_cache and request.pull
    assert request.cache_from == (CacheEnd(kind="registry", attributes={"ref": "x:1"}),)
    assert request.resources == Resources(
        memory=1000, memory_swap=-1, cpu_shares=7, cpuset_cpus="0-1", cpuset_mems="0", cpu_period=1000, cpu_quota=500
    )
    assert request.arguments == {"A": "1", "B": None}
    assert request.shm_size == 4096 and request.labels == {"l": "v"} and request.network == "none"
    assert request.platform == Platform("arm64", "linux") and request.target == "web"
    assert request.ulimits == (Ulimit("nofile", 1, 2),) and request.cgroup_parent == "/x"
    assert request.credentials == login


@pytest.mark.parametrize(
    ("query", "text"),
    [
        ("?version=2", "unsupported: query parameter version"),
        ("?squash=1", "unsupported: query parameter squash"),
        ("?outputs=%5B%7B%22Type%22%3A%22tar%22%7D%5D", "unsupported: query parameter outputs"),
        ("?securityopt=%5B%22a%22%5D", "unsupported: query parameter securityopt"),
        ("?session=x", "unsupported: query parameter session"),
        ("?remote=client-session", "unsupported: query parameter remote"),
        ("?isolation=hyperv", "unsupported: query parameter isolation"),
        ("?memory=x", "invalid value for query parameter memory"),
        ("?shmsize=-4", "invalid value for query parameter shmsize"),
        ("?buildargs=%7B", "error reading build parameter buildargs"),
        ("?buildargs=%5B%5D", "error reading build args"),
        ("?labels=%7B%22a%22%3A1%7D", "error reading labels"),
        ("?cachefrom=%7B%7D", "error reading cache-from"),
        ("?ulimits=%5B%7B%22Name%22%3A1%7D%5D", "error reading ulimits"),
        ("?platform=a/b/c/d", "cannot parse platform"),
    ],
)
async def test_what_is_not_supported_or_wrong_is_named(tmp_path: Path, query: str, text: str) -> None:
    async with BuildDesk(tmp_path) as desk:
        status, body = await desk.build(query, DOCKERFILE)
        assert status == 400 and text in body.decode()
        assert desk.builder.requests == [] and desk.left() == []


async def test_credentials_that_cannot_be_read_are_not_repeated(tmp_path: Path) -> None:
    async with BuildDesk(tmp_path) as desk:
        header = registry_header({"r": "password"})
        status, body = await desk.build("", DOCKERFILE, {"X-Registry-Config": header})
        assert (
            status == 400 and b"X-Registry-Config" in body and b"password" not in body and header.encode() not in body
        )


@pytest.mark.parametrize("mode", ["w", "w:gz", "w:bz2", "w:xz"])
async def test_contexts_may_be_compressed(tmp_path: Path, mode: str) -> None:
    async with BuildDesk(tmp_path) as desk:
        files = {"Dockerfile": b"FROM scratch\n", "a/b": b"x" * 100_000}
        assert (await desk.build(body=pieces(tar_of({**files}, mode), 1000)))[0] == 200
        assert desk.builder.files == files
    assert desk.left() == []


async def pieces(data: bytes, size: int) -> AsyncIterator[bytes]:
    for start in range(0, len(data), size):
        yield data[start : start + size]


async def test_zstd_contexts(tmp_path: Path) -> None:
    zstd = pytest.importorskip("backports.zstd")
    async with BuildDesk(tmp_path) as desk:
        assert (await desk.build(body=zstd.compress(DOCKERFILE)))[0] == 200
        assert desk.builder.files == {"Dockerfile": b"FROM busybox\n"}


async def test_a_remote_context_takes_no_body(tmp_path: Path) -> None:
    async with BuildDesk(tmp_path) as desk:
        assert (await desk.build("?remote=https://example.com/a.git%23main:sub"))[0] == 200
        (request,) = desk.builder.requests
        assert request.context is None and request.remote == "https://example.com/a.git#main:sub"


@pytest.mark.parametrize(
    ("body", "text"),
    [
        (tar_of({"Dockerfile": b"x" * 4000})[:2000], "too early"),
        (gzip.compress(tar_of({"Dockerfile": b"x" * 4000}))[:60], "cannot"),
        (b"this is no archive" * 100, "cannot"),
        (tar_of({"../outside": "x"}), "leads out"),
    ],
    ids=["ends early", "ends early, compressed", "no archive", "leads out"],
)
async def test_broken_contexts_are_refused_and_leave_nothing(tmp_path: Path, body: bytes, text: str) -> None:
    async with BuildDesk(tmp_path) as desk:
        status, answer = await desk.build(body=body)
        assert status == 400 and text in answer.decode()
        assert desk.builder.requests == []
    assert desk.left() == [] and not (tmp_path / "outside").exists()


async def test_a_context_that_unpacks_to_too_much_is_refused(tmp_path: Path) -> None:
    async with BuildDesk(tmp_path, limit_bytes=1 << 20) as desk:
        bomb = gzip.compress(tar_of({"Dockerfile": bytes(8 << 20)}))
        assert len(bomb) < 1 << 16
        status, answer = await desk.build(body=bomb)
        assert status == 400 and "longer than 1048576 bytes" in answer.decode()
    assert desk.left() == []


async def test_an_endless_context_ends_at_the_limit(tmp_path: Path) -> None:
    sent = 0

    async def endless() -> AsyncIterator[bytes]:
        nonlocal sent
        head = tar_of({"big": b""})[:512]
        yield head[:124] + b"77777777777\0" + head[136:148] + b"        " + head[156:]
        while True:
            sent += 1 << 16
            yield bytes(1 << 16)

    async with BuildDesk(tmp_path, limit_bytes=1 << 20) as desk:
        status, answer = await desk.build(body=endless())
        assert status == 400, answer
        assert sent < 16 << 20
    assert desk.left() == []


async def test_a_context_that_stalls_is_given_up(tmp_path: Path) -> None:
    async def stalling() -> AsyncIterator[bytes]:
        yield DOCKERFILE[:512]
        await asyncio.Event().wait()

    async with BuildDesk(tmp_path, stall_seconds=0.05) as desk:
        status, answer = await desk.build(body=stalling())
        assert status == 500 and "nothing came for 0.05 s" in answer.decode()
    assert desk.left() == []


async def test_a_client_that_goes_ends_its_build(tmp_path: Path) -> None:
    async with BuildDesk(tmp_path) as desk:
        desk.builder.script = [*played("RUN x"), asyncio.Event()]
        answer = await desk.call("POST", "/build", DOCKERFILE)
        assert answer.status == 200 and len(desk.left()) == 1
    assert desk.builder.was_cancelled and desk.left() == []


async def test_a_client_that_goes_before_the_first_line_ends_its_build(tmp_path: Path) -> None:
    async with BuildDesk(tmp_path) as desk:
        begun = asyncio.Event()

        async def talk(_: object) -> None:
            begun.set()

        desk.builder.talk = talk
        desk.builder.script = [asyncio.Event()]
        asking = asyncio.ensure_future(desk.call("POST", "/build?q=1", DOCKERFILE))
        await begun.wait()
        for carrier, _, _ in await opened(desk):
            carrier.gone.set()
        await desk.builder.ended.wait()
        assert (await asking).status == 499
    assert desk.builder.was_cancelled and desk.left() == []


async def opened(desk: BuildDesk) -> list[Any]:
    """The requests under way: `call` keeps them only when they are answered, so the tasks are looked at."""
    found = []
    for task in asyncio.all_tasks():
        coroutine: Any = task.get_coro()
        frame = getattr(coroutine, "cr_frame", None)
        request = frame.f_locals.get("request") if frame is not None else None
        if request is not None and hasattr(request, "_carrier"):
            found.append((request._carrier, task, None))
    return found


async def test_a_build_is_cancelled_by_its_id(tmp_path: Path) -> None:
    async with BuildDesk(tmp_path) as desk:
        desk.builder.script = [*played("RUN x"), asyncio.Event()]
        answer = await desk.call("POST", "/build?buildid=mine", DOCKERFILE)
        assert (await desk.call("POST", "/build/cancel?id=other")).status == 200
        assert (await desk.call("POST", "/build/cancel")).status == 400
        assert (await desk.call("POST", "/build/cancel?id=mine")).status == 200
        values = lines_of(await answer.read())
        assert values[-1]["error"] == "build cancelled" and desk.builder.was_cancelled
    assert desk.left() == []


async def test_leftover_contexts_go_at_the_next_start(tmp_path: Path) -> None:
    desk = BuildDesk(tmp_path)
    (desk.folder / "old" / "deep").mkdir(parents=True)
    (desk.folder / "old" / "deep" / "file").write_text("x")
    await desk.contexts.recover()
    assert desk.left() == []


async def test_a_door_without_a_builder_says_so() -> None:
    from doors_fake import Desk

    async with Desk() as desk:
        assert (await desk.error("POST", "/build"))[0] == 503
        assert await desk.json("POST", "/build/prune") == {"CachesDeleted": None, "SpaceReclaimed": 0}
