"""Random graphs of stages: order, sharing, failures and callers that go away, with commands that end in any order."""

import asyncio
import json
import random
from collections.abc import Callable

import pytest
from builder_kit import Workplace, of_kind

from boxship.builder.failures import BuildFailed
from boxship.builder.model import BuildEvent, Planned, StepFinished, StepStarted
from boxship.builder.operations import RunOperation, Said, StepFailed

SEEDS = range(12)


class Commands:
    """Commands that end in a random order; some fail."""

    def __init__(self, workplace: Workplace, chance: random.Random, failing: str = "") -> None:
        self.log: list[tuple[str, str]] = []
        self.running = 0
        self._chance = chance
        self._failing = failing
        self._workplace = workplace

    def add(self, name: str) -> None:
        self._workplace.executor.commands[name] = self._run

    async def _run(self, operation: RunOperation, said: Said) -> None:
        name = operation.arguments[-1]
        self.log.append(("begin", name))
        self.running += 1
        try:
            for _ in range(self._chance.randint(0, 20)):
                await asyncio.sleep(0)
            said(1, name.encode())
            if name == self._failing:
                raise StepFailed(name, 3)
            self.log.append(("end", name))
        finally:
            self.running -= 1


def dockerfile(chance: random.Random, added: Callable[[str], None]) -> tuple[str, dict[str, set[str]]]:
    """Stages that copy from each other; and for each command those that must have ended before it."""
    lines: list[str] = []
    before: dict[str, set[str]] = {}
    reached: list[set[str]] = []
    for stage in range(chance.randint(2, 6)):
        base = chance.randrange(stage) if stage and chance.random() < 0.4 else None
        lines.append(f"FROM {'base' if base is None else f's{base}'} AS s{stage}")
        done: set[str] = set() if base is None else set(reached[base])
        for number in range(chance.randint(1, 4)):
            if stage and chance.random() < 0.4:
                source = chance.randrange(stage)
                lines.append(f"COPY --from=s{source} /etc /from{stage}.{number}/")
                done |= reached[source]
            else:
                name = f"c{stage}.{number}"
                lines.append(f"RUN {name}")
                before[name] = set(done)
                done.add(name)
                added(name)
        reached.append(done)
    return "\n".join(lines) + "\n", before


def check_order(log: list[tuple[str, str]], before: dict[str, set[str]]) -> None:
    ended: set[str] = set()
    for what, name in log:
        if what == "begin":
            assert before[name] <= ended, name
        else:
            ended.add(name)


async def check_nothing_stays(workplace: Workplace, commands: Commands) -> None:
    await workplace.garbage.settle()
    assert commands.running == 0
    assert not workplace.garbage.leases
    assert not workplace.builder.cache.held


def cached(workplace: Workplace) -> set[str]:
    """The commands whose results are kept."""
    records = workplace.builder.cache.all()
    return {json.loads(record.parts["arguments"])[-1] for record in records if "arguments" in record.parts}


def check_events(events: list[BuildEvent]) -> None:
    """Each step starts once and ends once, after its inputs have ended."""
    (planned,) = of_kind(events, Planned)
    ended: set[str] = set()
    begun: set[str] = set()
    known = {step.step for step in planned.steps}
    for event in events:
        if isinstance(event, StepStarted):
            assert event.step not in begun
            assert set(event.inputs) <= ended
            begun.add(event.step)
        elif isinstance(event, StepFinished):
            assert event.step in begun and event.step not in ended
            ended.add(event.step)
    assert known <= ended


@pytest.mark.parametrize("seed", SEEDS)
async def test_order_and_sharing(workplace: Workplace, seed: int) -> None:
    chance = random.Random(seed)
    commands = Commands(workplace, chance)
    text, before = dockerfile(chance, commands.add)
    builds = await asyncio.gather(*(workplace.events(text) for _ in range(3)))
    for events in builds:
        check_events(events)
    check_order(commands.log, before)
    begun = [name for what, name in commands.log if what == "begin"]
    assert len(begun) == len(set(begun))  # three builds, each step once
    assert len({events[-1].image for events in builds}) == 1  # type: ignore[union-attr]
    await check_nothing_stays(workplace, commands)
    again = await workplace.build(text)
    assert len([name for what, name in commands.log if what == "begin"]) == len(begun)
    assert again.cached == again.steps


@pytest.mark.parametrize("seed", SEEDS)
async def test_a_failure_ends_everything_and_a_repaired_build_goes_on(workplace: Workplace, seed: int) -> None:
    chance = random.Random(seed)
    names: list[str] = []
    text, before = dockerfile(chance, names.append)
    failing = chance.choice(names)
    commands = Commands(workplace, chance, failing)
    for name in names:
        commands.add(name)
    target = f"s{failing.partition('.')[0][1:]}"
    with pytest.raises(BuildFailed) as caught:
        await workplace.build(text, target=target)
    assert caught.value.code == 3 and failing in caught.value.command
    await check_nothing_stays(workplace, commands)
    check_order(commands.log, before)
    done = cached(workplace)
    repaired = Commands(workplace, chance)
    for name in names:
        repaired.add(name)
    await workplace.build(text)
    assert not done & {name for _, name in repaired.log}  # what was done once is not done again
    check_order([*commands.log, *repaired.log], before)


@pytest.mark.parametrize("seed", SEEDS)
async def test_a_caller_that_goes_away_at_any_event(workplace: Workplace, seed: int) -> None:
    chance = random.Random(seed)
    commands = Commands(workplace, chance)
    text, before = dockerfile(chance, commands.add)
    count = 0
    stop = chance.randint(1, 40)
    generator = workplace.builder.build(workplace.request(text))
    async for _ in generator:
        count += 1
        if count == stop:
            break
    await generator.aclose()
    await check_nothing_stays(workplace, commands)
    done, far = cached(workplace), len(commands.log)
    assert done <= {name for what, name in commands.log if what == "end"}
    first = await workplace.build(text)
    assert not done & {name for _, name in commands.log[far:]}
    assert cached(workplace) <= set(before)
    await check_nothing_stays(workplace, commands)
    assert (await workplace.build(text)).image == first.image


async def test_callers_that_come_and_go_while_others_stay(workplace: Workplace) -> None:
    chance = random.Random(7)
    commands = Commands(workplace, chance)
    text, _ = dockerfile(chance, commands.add)

    async def impatient(patience: int) -> None:
        generator = workplace.builder.build(workplace.request(text))
        async for _ in generator:
            patience -= 1
            if patience <= 0:
                break
        await generator.aclose()

    async with asyncio.TaskGroup() as group:
        staying = [group.create_task(workplace.build(text)) for _ in range(3)]
        for patience in range(1, 30, 2):
            group.create_task(impatient(patience))
    assert len({task.result().image for task in staying}) == 1
    ended = [name for what, name in commands.log if what == "end"]
    assert len(ended) == len(set(ended))  # those who stay keep every step alive
    await check_nothing_stays(workplace, commands)


async def test_a_cancelled_task_is_a_caller_that_goes_away(workplace: Workplace) -> None:
    chance = random.Random(3)
    commands = Commands(workplace, chance)
    text, _ = dockerfile(chance, commands.add)
    for pause in range(0, 60, 5):
        task = asyncio.create_task(workplace.build(text, no_cache=True))
        for _ in range(pause):
            await asyncio.sleep(0)
        task.cancel()
        await asyncio.wait([task])
        await check_nothing_stays(workplace, commands)


async def test_no_more_steps_run_than_the_limit(workplace: Workplace) -> None:
    commands = Commands(workplace, random.Random(1))
    lines = []
    for number in range(40):
        lines.append(f"FROM base AS s{number}\nRUN p{number}\n")
        commands.add(f"p{number}")
    lines.append("FROM base\n" + "".join(f"COPY --from=s{number} /ran /{number}/\n" for number in range(40)))
    await workplace.build("".join(lines))
    assert 4 <= workplace.executor.most <= 16
