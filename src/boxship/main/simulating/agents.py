"""Real node agents over machines that do not exist, many in one process. All of them hear of pods through one watch:
a watch for each would cost the API more than the pods do."""

import asyncio
import contextlib
import time
from collections.abc import AsyncIterator, Sequence

from boxship.cluster.access import Client, Event, Listing
from boxship.cluster.node.agent import NodeAgent, Options
from boxship.cluster.node.simulated.planning import SimulatedPlanner, SimulatedVolumes
from boxship.cluster.node.simulated.runtime import SimulatedRuntime
from boxship.cluster.objects import Object
from boxship.cluster.reconcile.cache import Cache, Key
from boxship.errors import Timeout
from boxship.main.simulating.load import facts_of, percentile, pod, write_namespace, write_pods
from boxship.main.simulating.phases import Figures, Say
from boxship.main.simulating.plane import Plane

MARK = "boxship.io/simulated"
PODS, SELECTED = "v1/pods", "spec.nodeName="
NAMESPACE = "simulated-run"
RUN_SECONDS = 600.0


class SharedPods:
    """All pods that the agents are to run, given out by node: those that only were to be scheduled are none of them."""

    def __init__(self, client: Client) -> None:
        self._cache = Cache(client, PODS, labels=f"{MARK}=run")
        self._nodes: dict[str, dict[Key, Object]] = {}
        self._listeners: dict[str, list[asyncio.Queue[Event]]] = {}
        self._cache.subscribe(self._told)

    async def run(self) -> None:
        await self._cache.run()

    async def listing(self, node: str) -> Listing:
        await self._cache.ready()
        return Listing(tuple(self._nodes.get(node, {}).values()), "0")

    async def watch(self, node: str) -> AsyncIterator[Event]:
        """What is there, then every change."""
        queue: asyncio.Queue[Event] = asyncio.Queue()
        for item in self._nodes.get(node, {}).values():
            queue.put_nowait(Event("ADDED", item))
        listeners = self._listeners.setdefault(node, [])
        listeners.append(queue)
        try:
            while True:
                yield await queue.get()
        finally:
            listeners.remove(queue)

    def _told(self, key: Key, old: Object | None, new: Object | None) -> None:
        before = ((old or {}).get("spec") or {}).get("nodeName", "")
        now = ((new or {}).get("spec") or {}).get("nodeName", "")
        if before and before != now:
            self._nodes.get(before, {}).pop(key, None)
            self._tell(before, Event("DELETED", old or {}))
        if now and new is not None:
            pods = self._nodes.setdefault(now, {})
            event = Event("MODIFIED" if key in pods else "ADDED", new)
            pods[key] = new
            self._tell(now, event)

    def _tell(self, node: str, event: Event) -> None:
        for queue in self._listeners.get(node, ()):
            queue.put_nowait(event)


class NodeClient:
    """Implements access.Client for one simulated node: pods of a node come from `shared`, all else from the API."""

    def __init__(self, client: Client, shared: SharedPods) -> None:
        self._client = client
        self._shared = shared
        self.get = client.get
        self.create, self.update, self.patch = client.create, client.update, client.patch
        self.apply, self.delete = client.apply, client.delete

    async def list(self, resource: str, namespace: str = "", *, labels: str = "", fields: str = "") -> Listing:
        if resource == PODS and fields.startswith(SELECTED):
            return await self._shared.listing(fields.removeprefix(SELECTED))
        return await self._client.list(resource, namespace, labels=labels, fields=fields)

    def watch(
        self, resource: str, namespace: str = "", *, version: str, labels: str = "", fields: str = ""
    ) -> AsyncIterator[Event]:
        if resource == PODS and fields.startswith(SELECTED):
            return self._shared.watch(fields.removeprefix(SELECTED))
        return self._client.watch(resource, namespace, version=version, labels=labels, fields=fields)


@contextlib.asynccontextmanager
async def running_agents(client: Client, count: int) -> AsyncIterator[None]:
    """So many nodes at work inside the block."""
    shared = SharedPods(client)
    async with asyncio.TaskGroup() as tasks:
        running = [tasks.create_task(shared.run())]
        for number in range(count):
            block = f"10.{128 + number // 256}.{number % 256}"
            runtime = SimulatedRuntime(time.time, network=block)
            own = NodeClient(client, shared)
            options = Options(watches_node=False)  # thousands of watches would be another cluster's weight
            agent = NodeAgent(own, runtime, SimulatedPlanner(), SimulatedVolumes(), facts_of(number), options=options)
            running.append(tasks.create_task(agent.run()))
        try:
            yield
        finally:
            for task in running:
                task.cancel()


async def run_pods(plane: Plane, count: int, figures: Figures, say: Say) -> None:
    """Write pods to the full control plane with agents on all nodes: the time from a pod's creation until it runs."""
    client = plane.client
    await write_namespace(client, NAMESPACE)
    async with running_agents(client, figures.nodes):
        version = (await client.list(PODS, NAMESPACE)).version
        begun = time.time()
        created: dict[str, float] = {}

        def pods() -> Sequence[Object]:
            return [_marked(pod("plain", number, NAMESPACE)) for number in range(count)]

        writing = asyncio.ensure_future(write_pods(client, pods()))
        taken: dict[str, float] = {}
        try:
            async with asyncio.timeout(RUN_SECONDS):
                async for event in client.watch(PODS, NAMESPACE, version=version):
                    _note(created, taken, event.object)
                    if len(taken) >= count:
                        break
        except TimeoutError:
            raise Timeout(f"{count - len(taken)} of {count} pods did not run in {RUN_SECONDS:g} s") from None
        finally:
            writing.cancel()
            await asyncio.gather(writing, return_exceptions=True)
        figures.running_seconds = time.time() - begun
    figures.running = (percentile(list(taken.values()), 0.5), percentile(list(taken.values()), 0.99))
    say(f"{count} pods on {figures.nodes} agents: all run after {figures.running_seconds:.1f} s")


def _marked(pod: Object) -> Object:
    pod["metadata"]["labels"][MARK] = "run"
    return pod


def _note(created: dict[str, float], taken: dict[str, float], pod: Object) -> None:
    name = pod["metadata"].get("name", "")
    begun = created.setdefault(name, time.time())
    if (pod.get("status") or {}).get("phase") == "Running":
        taken.setdefault(name, time.time() - begun)
