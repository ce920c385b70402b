"""The steps of a pod's actions: each does one thing to the machine and tells people of it. What cannot be done is
raised as NotPossible with the original's reason; whether and when it is tried again is decided elsewhere."""

import asyncio
import contextlib
from collections.abc import Callable, Mapping, Sequence
from typing import Protocol

import msgspec

from boxship.cluster.access import Client
from boxship.cluster.node.images import Images
from boxship.cluster.node.life.parts import container_named, hash_of, path_of
from boxship.cluster.node.life.resizing import Step
from boxship.cluster.node.life.values import Room
from boxship.cluster.node.planning import Mounted, NotPossible, Planner, PodVolumes
from boxship.cluster.node.probes.asking import HOOK_AGENT, Asked
from boxship.cluster.node.runtime import Runtime, Sandbox
from boxship.cluster.node.status.facts import NodeFacts
from boxship.cluster.objects import Object
from boxship.cluster.reconcile.recording import Events
from boxship.errors import BoxshipError, NotFound, Unsupported
from boxship.spec.container import Resources
from boxship.waiting import to_the_end

HOOK_SECONDS = 600.0  # of a postStart hook, at most
GATE_SECONDS = 10.0  # that a start waits for the network, before it is told that it does


class Asks(Protocol):
    async def ask(
        self,
        handler: Object,
        container: Object,
        id: str,
        address: str,
        *,
        timeout: float,
        agent: str = ...,
    ) -> Asked: ...


class Traffic(Protocol):
    async def left(self, uid: str, pids: Sequence[int], grace: float) -> None:
        """Return when nobody new is led to that pod and those who are there have got their answers, or when that takes
        too long. `pids`: its containers' processes; `grace`: the seconds that it has for all of its end."""


class NoTraffic:
    """Nobody leads anybody to pods."""

    async def left(self, uid: str, pids: Sequence[int], grace: float) -> None:
        return


class Gate(Protocol):
    """What a pod has to pass before anything of it runs."""

    @property
    def is_open(self) -> bool:
        """Whether nobody anywhere is kept from pods: then nobody waits to hear of a new one's address."""

    async def admit(self, pod: Object, address: str, *, static: bool = False) -> None:
        """Return when the network does with a pod of that address as it has to. A `static` one, which runs without the
        API, does not wait for what only that could say. Raises Unavailable."""


class NoGate:
    """The network does nothing with pods."""

    is_open = True

    async def admit(self, pod: Object, address: str, *, static: bool = False) -> None:
        return


class Tools(msgspec.Struct, frozen=True):
    """What the workers of all pods share."""

    client: Client
    runtime: Runtime
    planner: Planner
    volumes: PodVolumes
    images: Images
    asks: Asks
    events: Events
    facts: NodeFacts
    now: Callable[[], float]
    room: Callable[[str], Room]  # for the pod with that uid
    traffic: Traffic
    gate: Gate
    static: bool = False  # as those have it whose pods are not the API's

    def tell(self, pod: Object, type: str, reason: str, message: str, name: str = "") -> None:
        """`name`: the container that is meant."""
        self.events.tell(pod, type, reason, message, field=path_of(pod, name) if name else "")


async def make_sandbox(tools: Tools, pod: Object, attempt: int) -> None:
    """Volumes first, as the original: a pod without them has no address."""
    uid = pod["metadata"]["uid"]
    await prepare(tools, pod)
    if attempt:
        tools.tell(pod, "Normal", "SandboxChanged", "Pod sandbox changed, it will be killed and re-created.")
        await tools.runtime.stop_sandbox(uid)
    try:
        spec = msgspec.structs.replace(tools.planner.sandbox(pod), attempt=attempt)
        await to_the_end(tools.runtime.create_sandbox(spec))
    except NotPossible as error:  # what the pod asks for, the planner has refused
        tools.tell(pod, "Warning", error.reason, f"Failed to create pod sandbox: {error.message}")
        raise
    except BoxshipError as error:
        message = f"Failed to create pod sandbox: {error}"
        tools.tell(pod, "Warning", "FailedCreatePodSandBox", message)
        raise NotPossible("FailedCreatePodSandBox", message) from error


async def prepare(tools: Tools, pod: Object) -> Mapping[str, Mounted]:
    """The pod's volumes; images that are volumes are pulled as its containers' are."""

    def tell(type: str, reason: str, message: str) -> None:
        tools.tell(pod, type, reason, message)

    for volume in pod["spec"].get("volumes") or ():
        source = volume.get("image")
        if source is not None:
            wanted = {"image": source.get("reference") or "", "imagePullPolicy": source.get("pullPolicy")}
            await tools.images.ensure(pod, wanted, tell)
    try:
        return await tools.volumes.prepare(pod)
    except NotPossible as error:
        tell("Warning", error.reason, error.message)
        raise


async def start(tools: Tools, pod: Object, name: str, attempt: int, sandbox: Sandbox) -> None:
    """All from the image to the postStart hook."""
    container = container_named(pod, name)

    def tell(type: str, reason: str, message: str) -> None:
        tools.tell(pod, type, reason, message, name)

    try:
        image = await tools.images.ensure(pod, container, tell)
        volumes = await prepare(tools, pod)
        await _pass(tools, pod, sandbox)
        id = await to_the_end(_create_and_start(tools, pod, container, attempt, sandbox, volumes, image.id))
    except NotPossible as error:
        shown = error.message if error.reason not in ("ErrImagePull", "ErrImageNeverPull") else error.reason
        tell("Warning", "FailedMount" if error.reason == "FailedMount" else "Failed", f"Error: {shown}")
        raise
    hook = (container.get("lifecycle") or {}).get("postStart")
    if hook:
        address = _address(tools, pod, sandbox)
        asked = await tools.asks.ask(hook, container, id, address, timeout=HOOK_SECONDS, agent=HOOK_AGENT)
        if not asked.ok:
            tell("Warning", "FailedPostStartHook", "PostStartHook failed")
            tell("Normal", "Killing", "FailedPostStartHook")
            grace = float(pod["spec"].get("terminationGracePeriodSeconds") or 0)
            await stop(tools, pod, name, id, max(grace, 2.0), "")
            raise NotPossible("PostStartHookError", f"PostStartHook failed: {asked.text}"[:1024])


async def _pass(tools: Tools, pod: Object, sandbox: Sandbox) -> None:
    """No process before the network knows what it may."""
    if pod["spec"].get("hostNetwork") or not sandbox.addresses:
        return
    try:
        async with asyncio.timeout(GATE_SECONDS):
            await tools.gate.admit(pod, sandbox.addresses[0], static=tools.static)
    except TimeoutError:
        raise NotPossible("NetworkNotReady", "network policies are not in force yet") from None
    except BoxshipError as error:
        raise NotPossible("NetworkNotReady", str(error)) from error


async def _create_and_start(
    tools: Tools,
    pod: Object,
    container: Object,
    attempt: int,
    sandbox: Sandbox,
    volumes: Mapping[str, Mounted],
    image_id: str,
) -> str:
    """The container's id."""
    name, step = container["name"], "CreateContainerConfigError"
    try:
        request = await tools.planner.container(
            pod, name, attempt=attempt, sandbox=sandbox, volumes=volumes, image_id=image_id
        )
        step = "CreateContainerError"
        made = await tools.runtime.create(msgspec.structs.replace(request, hash=hash_of(container)))
        tools.tell(pod, "Normal", "Created", "Container created", name)
        step = "RunContainerError"
        await tools.runtime.start(made.id)
    except Unsupported as error:
        raise NotPossible("CreateContainerConfigError", str(error)) from error
    except BoxshipError as error:
        raise NotPossible(step, str(error)) from error
    tools.tell(pod, "Normal", "Started", "Container started", name)
    return made.id


async def resize(tools: Tools, step: Step, runs: Mapping[str, str]) -> None:
    """Other limits for running containers (ids by name) and their pod, where not too much memory is in use."""
    await _check_memory(tools, step, runs)
    await set_limits(tools, step, runs)


async def set_limits(tools: Tools, step: Step, runs: Mapping[str, str]) -> None:
    """No container may have more than its pod, whose limits grow first and shrink when the last has its own."""
    uid = step.last["metadata"]["uid"]
    before, after = _pod_limits(tools, step)
    between = wider(before, after)
    try:
        await tools.runtime.update_sandbox(uid, between)
        for name, id in runs.items():
            await tools.runtime.update(id, tools.planner.resources(step.then, name))
        if between != after:
            await tools.runtime.update_sandbox(uid, after)
    except NotFound:
        raise
    except BoxshipError as error:
        raise NotPossible("ResizeError", str(error)) from error


def _pod_limits(tools: Tools, step: Step) -> tuple[Resources, Resources]:
    """Before and after a step: wide enough for who has old limits still, and for who will have new ones."""
    was, then, last = (tools.planner.sandbox(each).resources for each in (step.was, step.then, step.last))
    return was, wider(then, last)


def wider(one: Resources, other: Resources) -> Resources:
    """As `other`, with the wider limit of both; 0 is none."""

    def larger(first: int, second: int) -> int:
        return max(first, second) if first and second else 0

    memory, swap = larger(one.memory, other.memory), larger(one.memory_swap, other.memory_swap)
    period = other.cpu_period or one.cpu_period
    quota = larger(one.cpu_quota, other.cpu_quota)
    return msgspec.structs.replace(other, memory=memory, memory_swap=swap, cpu_quota=quota, cpu_period=period)


async def _check_memory(tools: Tools, step: Step, runs: Mapping[str, str]) -> None:
    """No limit goes below what is used, or the kernel would end processes for it."""
    was, then = _pod_limits(tools, step)
    wanted = {"": (was.memory, then.memory)}
    for name in runs:
        wanted[name] = tools.planner.resources(step.was, name).memory, tools.planner.resources(step.then, name).memory
    fewer = {name: after for name, (before, after) in wanted.items() if after and (not before or after < before)}
    if not fewer:
        return
    _, pods = await tools.runtime.usage()
    used = next((one for one in pods if one.uid == step.last["metadata"]["uid"]), None)
    texts = []
    for name, limit in fewer.items():
        use = None if used is None else used.containers.get(name) if name else used.pod
        if use is not None and use.working_set > limit:
            whose = f'container "{name}"' if name else "pod"
            texts.append(f"attempting to set {whose} memory limit ({limit}) below current usage ({use.working_set})")
    if texts:
        why = texts[0] if len(texts) == 1 else f"[{', '.join(texts)}]"
        raise NotPossible("ResizeError", f"cannot decrease memory limits: {why}")


async def pre_stop(tools: Tools, pod: Object, name: str, id: str, grace: float, sandbox: Sandbox | None) -> None:
    """A hook that fails is told of, and keeps nothing from ending."""
    container = container_named(pod, name)
    hook = (container.get("lifecycle") or {}).get("preStop") or {}
    address = _address(tools, pod, sandbox) if sandbox is not None else ""
    asked = await tools.asks.ask(hook, container, id, address, timeout=max(grace, 0.01), agent=HOOK_AGENT)
    if not asked.ok:
        tools.tell(pod, "Warning", "FailedPreStopHook", "PreStopHook failed", name)


async def stop(tools: Tools, pod: Object, name: str, id: str, grace: float, message: str) -> None:
    if message:
        tools.tell(pod, "Normal", "Killing", message, name)
    signal = ""
    with contextlib.suppress(KeyError):  # the pod may not have it any more
        signal = (container_named(pod, name).get("lifecycle") or {}).get("stopSignal") or ""
    try:
        await tools.runtime.stop(id, grace=grace, signal=signal)
    except NotFound:
        return


async def clean(tools: Tools, uid: str) -> None:
    """The pod has ended: logs and exit codes stay."""
    await tools.runtime.stop_sandbox(uid)
    await tools.volumes.release(uid)


async def take_away(tools: Tools, uid: str) -> None:
    """The pod is gone."""
    await tools.runtime.remove_sandbox(uid, logs=True)
    await tools.volumes.release(uid)


def _address(tools: Tools, pod: Object, sandbox: Sandbox) -> str:
    if pod["spec"].get("hostNetwork") or not sandbox.addresses:
        return tools.facts.address or "127.0.0.1"
    return sandbox.addresses[0]


async def settle(tasks: "Sequence[asyncio.Task[None]]") -> None:
    """Cancel them, and wait until they are through."""
    for task in tasks:
        task.cancel()
    if tasks:
        await to_the_end(asyncio.gather(*tasks, return_exceptions=True))
