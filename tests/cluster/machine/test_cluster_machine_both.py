"""One suite for every machine that a node agent can have: the real engine, and the simulated one in place of it."""

import asyncio
import tempfile
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import pytest_asyncio
from machine_kit import IMAGE, NETWORK, clear, running_machine

from boxship.cluster.node.runtime import (
    CREATED,
    EXITED,
    RUNNING,
    ContainerRequest,
    ContainerStatus,
    Runtime,
    SandboxSpec,
)
from boxship.cluster.node.simulated.runtime import SimulatedRuntime
from boxship.errors import BoxshipError, Conflict, NotFound
from boxship.spec.container import ContainerSpec, Resources

pytestmark = pytest.mark.asyncio(loop_scope="module")
DEADLINE = 20.0
SCRIPTS = {
    "run": ("sleep", "1000"),
    "exit": ("sh", "-c", "exit $1", "sh"),
    "deaf": ("sh", "-c", "trap '' TERM; while true; do sleep 0.05; done"),
    "broken": ("/nowhere",),
}


class Kind:
    """A runtime, and how it is told what a container shall do."""

    def __init__(self, runtime: Runtime, *, simulated: bool, cgroup: str = "") -> None:
        self.runtime = runtime
        self._simulated = simulated
        self._cgroup = cgroup

    def sandbox(self, uid: str, attempt: int = 0) -> SandboxSpec:
        place = f"{self._cgroup}/besteffort/pod{uid}" if self._cgroup else ""
        return SandboxSpec(
            uid=uid, namespace="default", name=uid, attempt=attempt, hostname=uid, network=NETWORK, cgroup=place
        )

    def request(self, uid: str, *words: str, name: str = "main", attempt: int = 0) -> ContainerRequest:
        line = words if self._simulated else (*SCRIPTS[words[0]], *words[1:])
        spec = ContainerSpec(image=IMAGE, entrypoint=line, command=())
        return ContainerRequest(uid=uid, name=name, attempt=attempt, hash="h", spec=spec)

    async def status(self, identifier: str) -> ContainerStatus:
        return next(each for each in await self.runtime.containers() if each.id == identifier)

    async def ended(self, identifier: str) -> ContainerStatus:
        changes = self.runtime.changes()
        looking = asyncio.ensure_future(anext(changes))
        async with asyncio.timeout(DEADLINE):
            while (now := await self.status(identifier)).phase != EXITED:
                await looking
                looking = asyncio.ensure_future(anext(changes))
        looking.cancel()
        return now


@pytest_asyncio.fixture(scope="module", loop_scope="module", params=["simulated", "engine"])
async def kind(request: pytest.FixtureRequest, private_mounts: None) -> AsyncIterator[Kind]:
    if request.param == "simulated":
        yield Kind(SimulatedRuntime(asyncio.get_running_loop().time), simulated=True)
        return
    with tempfile.TemporaryDirectory(prefix="bx") as folder:
        async with running_machine(Path(folder)) as machine:
            yield Kind(machine.runtime, simulated=False, cgroup=machine.cgroup)
            await clear(machine)


async def test_a_container_from_creation_to_removal(kind: Kind) -> None:
    runtime = kind.runtime
    pod = await runtime.create_sandbox(kind.sandbox("life"))
    assert pod.ready and pod.addresses and pod.spec.uid == "life"
    assert await runtime.create_sandbox(kind.sandbox("life")) == pod
    assert await runtime.sandboxes("life") == [pod] and await runtime.sandboxes("other") == []
    made = await runtime.create(kind.request("life", "run"))
    assert await runtime.create(kind.request("life", "run")) == made
    assert (made.phase, made.uid, made.name, made.attempt, made.hash) == (CREATED, "life", "main", 0, "h")
    assert made.created_at >= pod.created_at and made.image == IMAGE
    await runtime.start(made.id)
    await runtime.start(made.id)
    running = await kind.status(made.id)
    assert running.phase == RUNNING and running.started_at and running.pid
    with pytest.raises(Conflict):
        await runtime.remove(made.id)
    await runtime.update(made.id, Resources(cpu_shares=300))
    assert (await kind.status(made.id)).resources.cpu_shares == 300
    assert (await runtime.run(made.id, ("true",), timeout=5))[0] == 0
    await runtime.stop(made.id, grace=0)
    await runtime.stop(made.id, grace=5)
    stopped = await kind.status(made.id)
    assert stopped.phase == EXITED and stopped.finished_at >= stopped.started_at and not stopped.pid
    with pytest.raises(Conflict):
        await runtime.start(made.id)
    with pytest.raises(Conflict):
        await runtime.run(made.id, ("true",), timeout=5)
    await runtime.remove(made.id)
    await runtime.remove(made.id)
    assert await runtime.containers("life") == []


async def test_ends(kind: Kind) -> None:
    runtime = kind.runtime
    await runtime.create_sandbox(kind.sandbox("ends"))
    wrong = await runtime.create(kind.request("ends", "exit", "3"))
    await runtime.start(wrong.id)
    assert (await kind.ended(wrong.id)).exit_code == 3
    next_one = await runtime.create(kind.request("ends", "exit", "0", attempt=1))
    assert next_one.id != wrong.id
    await runtime.start(next_one.id)
    assert (await kind.ended(next_one.id)).exit_code == 0
    broken = await runtime.create(kind.request("ends", "broken", name="broken"))
    with pytest.raises(BoxshipError):
        await runtime.start(broken.id)
    ended = await kind.status(broken.id)
    assert ended.phase == EXITED and ended.reason == "StartError" and ended.message and ended.exit_code >= 126
    deaf = await runtime.create(kind.request("ends", "deaf", name="deaf"))
    await runtime.start(deaf.id)
    await runtime.stop(deaf.id, grace=0)
    assert (await kind.status(deaf.id)).exit_code == 137


async def test_sandboxes_end_and_are_made_anew(kind: Kind) -> None:
    runtime = kind.runtime
    first = await runtime.create_sandbox(kind.sandbox("anew"))
    box = await runtime.create(kind.request("anew", "run"))
    await runtime.start(box.id)
    await runtime.stop_sandbox("anew")
    await runtime.stop_sandbox("anew")
    assert [pod.ready for pod in await runtime.sandboxes("anew")] == [False]
    assert (await kind.status(box.id)).phase == EXITED
    with pytest.raises(NotFound):
        await runtime.create(kind.request("anew", "run", attempt=1))
    second = await runtime.create_sandbox(kind.sandbox("anew", attempt=1))
    assert second.ready and second.id != first.id and second.created_at >= first.created_at
    later = await runtime.create(kind.request("anew", "run", attempt=1))
    await runtime.start(later.id)
    assert {each.id for each in await runtime.containers("anew")} == {box.id, later.id}
    await runtime.remove_sandbox("anew", logs=True)
    await runtime.remove_sandbox("anew", logs=True)
    assert await runtime.sandboxes("anew") == [] == await runtime.containers("anew")


async def test_what_is_not_there(kind: Kind) -> None:
    runtime = kind.runtime
    for call in (
        runtime.create(kind.request("nobody", "run")),
        runtime.start("0" * 64),
        runtime.stop("0" * 64, grace=0),
        runtime.update("0" * 64, Resources()),
        runtime.run("0" * 64, ("true",), timeout=1),
    ):
        with pytest.raises(NotFound):
            await call
    await runtime.remove("0" * 64)
    await runtime.stop_sandbox("nobody")
    await runtime.remove_sandbox("nobody")
    await runtime.unmount_images("nobody")
    assert await runtime.image("nothing/here:1") is None


async def test_every_change_is_told(kind: Kind) -> None:
    runtime = kind.runtime
    heard: set[str] = set()
    changes = runtime.changes()

    async def listen() -> None:
        async for uid in changes:
            heard.add(uid)

    async def told(uid: str) -> None:
        async with asyncio.timeout(DEADLINE):
            while uid not in heard:
                await asyncio.sleep(0.002)
        heard.clear()

    listening = asyncio.ensure_future(listen())
    await asyncio.sleep(0)
    await runtime.create_sandbox(kind.sandbox("told"))
    box = await runtime.create(kind.request("told", "exit", "0"))
    heard.clear()
    await runtime.start(box.id)
    await kind.ended(box.id)
    await told("told")
    await runtime.remove_sandbox("told", logs=True)
    await told("told")
    listening.cancel()


async def test_usage_is_of_the_machine(kind: Kind) -> None:
    whole, _ = await kind.runtime.usage()
    assert 0 < whole.memory_available < whole.memory_capacity
    assert 0 < whole.disk_available < whole.disk_capacity and whole.processes_limit
