"""Builds with a fake executor: what is executed, what is shared, what a failure leaves, what the image becomes."""

import asyncio

import pytest
from builder_kit import Workplace, fails, of_kind

from boxship.builder.failures import BuildFailed
from boxship.builder.model import Built, Planned, StepFinished, StepOutput, StepStarted
from boxship.builder.operations import RunOperation, Said
from boxship.errors import Unsupported

SIMPLE = """FROM base
COPY hello /greeting
RUN make
CMD ["run", "it"]
"""


async def test_a_build_makes_an_image(workplace: Workplace) -> None:
    workplace.write(hello="hi\n")
    events = await workplace.events(SIMPLE, tags=("app:1",))
    built = events[-1]
    assert isinstance(built, Built)
    image = await workplace.images.resolve("app:1")
    assert image.id == built.image and built.names == ("app:1",)
    assert (built.steps, built.cached) == (3, 1)
    assert image.config.config is not None
    assert image.config.config.Cmd == ("run", "it")
    assert workplace.executor.calls == ["copy /greeting", "run make"]
    (planned,) = of_kind(events, Planned)
    names = [step.name for step in planned.steps]
    assert names[1].startswith("[1/3] FROM docker.io/library/base:latest")
    assert names[2:] == ["[2/3] COPY hello /greeting", "[3/3] RUN make", 'CMD ["run", "it"]']
    history = [(entry.created_by, entry.empty_layer, entry.comment) for entry in image.config.history or ()][1:]
    assert history == [
        ("COPY hello /greeting # buildkit", False, "buildkit.dockerfile.v0"),
        ("RUN /bin/sh -c make # buildkit", False, "buildkit.dockerfile.v0"),
        ('CMD ["run" "it"]', True, "buildkit.dockerfile.v0"),
    ]


async def test_an_unchanged_build_does_nothing_and_gives_the_same_image(workplace: Workplace) -> None:
    workplace.write(hello="hi\n")
    first = await workplace.build(SIMPLE, tags=("app",))
    workplace.executor.calls.clear()
    second = await workplace.build(SIMPLE, tags=("app",))
    assert workplace.executor.calls == []
    assert second.image == first.image and second.cached == second.steps == 3


async def test_a_changed_file_builds_again_from_there_and_says_why(workplace: Workplace) -> None:
    workplace.write(hello="hi\n")
    await workplace.build(SIMPLE, tags=("app",))
    workplace.executor.calls.clear()
    workplace.write(hello="changed\n")
    events = await workplace.events(SIMPLE, tags=("app",))
    assert workplace.executor.calls == ["copy /greeting", "run make"]
    reasons = [event.reason for event in of_kind(events, StepFinished) if event.reason]
    assert reasons == ["hello changed", "what it stands on changed"]


async def test_a_failing_step_names_itself(workplace: Workplace) -> None:
    workplace.executor.commands["make"] = fails
    workplace.write(hello="hi\n")
    events = []
    with pytest.raises(BuildFailed) as caught:
        async for event in workplace.builder.build(workplace.request(SIMPLE)):
            events.append(event)
    error = caught.value
    assert (error.code, error.command) == (7, "/bin/sh -c make")
    assert error.location is not None and error.location.first == 3
    assert 'process "/bin/sh -c make" did not complete successfully: exit code: 7' in str(error)
    assert ">>> RUN make" in str(error)
    assert of_kind(events, StepOutput)[0].data == b"no luck\n"
    assert of_kind(events, StepFinished)[-1].error


async def test_unneeded_stages_are_not_built(workplace: Workplace) -> None:
    await workplace.build("FROM base AS a\nRUN a\nFROM base AS unused\nRUN unused\nFROM a\nRUN b\n")
    assert workplace.executor.calls == ["run a", "run b"]


async def test_independent_stages_run_side_by_side(workplace: Workplace) -> None:
    met = asyncio.Barrier(3)

    async def meet(operation: RunOperation, said: Said) -> None:
        await asyncio.wait_for(met.wait(), 5)

    for name in "abc":
        workplace.executor.commands[name] = meet
    stages = "".join(f"FROM base AS {name}\nRUN {name}\n" for name in "abc")
    await workplace.build(stages + "FROM scratch\n" + "".join(f"COPY --from={name} /ran /{name}/\n" for name in "abc"))
    assert workplace.executor.most == 3


async def joined(workplace: Workplace, count: int) -> None:
    """Wait until so many builds wait for steps that are being executed."""
    async with asyncio.timeout(10):
        while workplace.builder.waiting < count:
            await asyncio.sleep(0.001)


async def test_concurrent_builds_share_a_step(workplace: Workplace) -> None:
    waiting = asyncio.Event()

    async def slow(operation: RunOperation, said: Said) -> None:
        said(1, b"begun\n")
        await waiting.wait()

    workplace.executor.commands["slow"] = slow
    builds = [asyncio.create_task(workplace.events("FROM base\nRUN slow\n")) for _ in range(3)]
    await joined(workplace, 3)
    waiting.set()
    results = await asyncio.gather(*builds)
    assert workplace.executor.calls == ["run slow"]
    assert len({events[-1].image for events in results}) == 1
    assert all(b"begun\n" in [event.data for event in of_kind(events, StepOutput)] for events in results)


async def test_whoever_goes_away_ends_what_only_he_waited_for(workplace: Workplace) -> None:
    ended = asyncio.Event()

    async def endless(operation: RunOperation, said: Said) -> None:
        said(1, b"x")
        try:
            await asyncio.Event().wait()
        finally:
            ended.set()

    workplace.executor.commands["endless"] = endless
    generator = workplace.builder.build(workplace.request("FROM base\nRUN endless\n"))
    async for event in generator:
        if isinstance(event, StepOutput):
            break
    await generator.aclose()
    assert ended.is_set()
    await workplace.garbage.settle()
    assert not workplace.garbage.leases
    assert workplace.builder.cache.all() == ()


async def test_a_build_that_joined_goes_on_when_the_first_goes_away(workplace: Workplace) -> None:
    go_on = asyncio.Event()

    async def slow(operation: RunOperation, said: Said) -> None:
        said(1, b"x")
        await go_on.wait()

    workplace.executor.commands["slow"] = slow
    first = workplace.builder.build(workplace.request("FROM base\nRUN slow\n"))
    async for event in first:
        if isinstance(event, StepOutput):
            break
    second = asyncio.create_task(workplace.build("FROM base\nRUN slow\n"))
    await joined(workplace, 2)
    await first.aclose()
    go_on.set()
    assert (await second).image
    assert workplace.executor.calls == ["run slow"]


async def test_no_cache_executes_again(workplace: Workplace) -> None:
    await workplace.build("FROM base\nRUN a\n")
    events = await workplace.events("FROM base\nRUN a\n", no_cache=True)
    assert workplace.executor.calls == ["run a", "run a"]
    assert [event.reason for event in of_kind(events, StepFinished) if event.reason] == ["the cache is not used"]


async def test_steps_are_announced_before_they_start(workplace: Workplace) -> None:
    events = await workplace.events("FROM base\nRUN a\nENV B=c\n")
    names = [event.step for event in of_kind(events, StepStarted)]
    (planned,) = of_kind(events, Planned)
    for step in planned.steps:
        assert step.step in names
    assert names.index("0.1") > names.index("0.0")


async def test_builds_with_other_secrets_or_limits_do_not_share_an_execution(workplace: Workplace) -> None:
    text = "FROM base\nRUN --mount=type=secret,id=s work\n"
    met = asyncio.Barrier(2)

    async def meet(operation: RunOperation, said: Said) -> None:
        await asyncio.wait_for(met.wait(), 5)

    workplace.executor.commands["work"] = meet
    await asyncio.gather(*(workplace.build(text, secrets={"s": value}) for value in (b"one", b"two")))
    assert workplace.executor.calls == ["run work", "run work"]
    await workplace.build(text, secrets={"s": b"three"})
    assert len(workplace.executor.calls) == 2  # but what is there is used


async def test_other_languages_are_refused(workplace: Workplace) -> None:
    for text in ("docker/dockerfile:1.7", "docker.io/docker/dockerfile:1@sha256:" + "a" * 64, "docker/dockerfile"):
        await workplace.build(f"# syntax={text}\nFROM base\n")
    for text in ("example.org/other", "docker/dockerfile2"):
        with pytest.raises(Unsupported, match=text):
            await workplace.build(f"# syntax={text}\nFROM base\n")
    await workplace.build("# syntax=example.org/other\nFROM base\n", arguments={"BUILDKIT_SYNTAX": "dockerfile.v0"})
    with pytest.raises(Unsupported, match=r"example\.org"):
        await workplace.build("FROM base\n", arguments={"BUILDKIT_SYNTAX": "example.org/other"})
    with pytest.raises(Unsupported, match="BUILDKIT_MULTI_PLATFORM"):
        await workplace.build("FROM base\n", arguments={"BUILDKIT_MULTI_PLATFORM": "1"})


async def test_an_excerpt_counts_lines_as_the_parser_does(workplace: Workplace) -> None:
    workplace.executor.commands["work"] = fails
    with pytest.raises(BuildFailed) as caught:
        await workplace.build("# one \x0c still one \u2028 and still\nFROM base\nRUN work\n")
    assert caught.value.location is not None and caught.value.location.first == 3
    assert ">>> RUN work" in str(caught.value)


async def test_an_image_that_is_not_there_names_its_line(workplace: Workplace) -> None:
    with pytest.raises(BuildFailed) as caught:
        await workplace.build("FROM base\nFROM localhost:1/none\nRUN a\n")
    assert caught.value.location is not None and caught.value.location.first == 2
    assert ">>> FROM localhost:1/none" in str(caught.value)
