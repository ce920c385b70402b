"""Who does the work of the controllers and of the scheduler, where several control planes stand over one store: each of
the two by its lease. What leads no more can write no more, whatever it still has in hand."""

import asyncio
import platform
import uuid
from collections.abc import Awaitable, Callable
from pathlib import Path

from boxship.cluster.access import Client
from boxship.cluster.api.gate import Performs
from boxship.cluster.api.request import Reply, Request
from boxship.cluster.objects.failure import unavailable
from boxship.cluster.reconcile.leading import Leading
from boxship.main.control_options import ControlOptions

CONTROLLERS, SCHEDULER = "kube-controller-manager", "kube-scheduler"
IDENTITY_FILE = "identity"
READS = ("get", "list", "watch")


class Fenced:
    """Implements gate.Performs: the API for who leads. Reading is everybody's."""

    def __init__(self, api: Performs, leading: Leading) -> None:
        self._api = api
        self._leading = leading

    async def perform(self, request: Request) -> Reply:
        if request.verb not in READS and not self._leading.leads:
            raise unavailable(f"this control plane does not hold the lease {self._leading.name}")
        return await self._api.perform(request)


def identity(data: Path, advertise: str) -> str:
    """As it stands in leases: the same after a restart, so that who was killed goes on at once. Nobody else has it: the
    data root is locked, and where one was copied, the copy is reached elsewhere."""
    path = data / IDENTITY_FILE
    try:
        text = path.read_text().strip()
    except FileNotFoundError:
        text = str(uuid.uuid4())
        half = path.with_suffix(".new")
        half.write_text(text)
        half.replace(path)
    return f"{platform.node()}_{uuid.uuid5(uuid.NAMESPACE_URL, f'{text} {advertise}')}"


def leading(client: Client, name: str, options: ControlOptions, *, shared: bool) -> Leading:
    return Leading(client, name, identity(Path(options.data_root), options.advertise), alone=not shared)


async def together(*works: Callable[[], Awaitable[None]]) -> None:
    """All of them, without end."""
    async with asyncio.TaskGroup() as tasks:
        for work in works:
            tasks.create_task(_run(work))


async def _run(work: Callable[[], Awaitable[None]]) -> None:
    await work()
