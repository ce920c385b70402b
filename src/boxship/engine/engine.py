"""Puts the engine's parts together over the rooms that it is given, starts them in order and stops them in reverse."""

import asyncio

from boxship.content import Content, Garbage
from boxship.engine.accounting import Accounting
from boxship.engine.attachments import Attachments
from boxship.engine.budget import BudgetSettings, ImageBudget
from boxship.engine.clock import Clock
from boxship.engine.committing import Committing
from boxship.engine.containers import Containers
from boxship.engine.creation import Creation
from boxship.engine.events import Events
from boxship.engine.execs import Execs
from boxship.engine.files import Files
from boxship.engine.groups import Groups
from boxship.engine.health import HealthMonitor
from boxship.engine.images import EngineImages, uses_of
from boxship.engine.inspection import Inspection, Witness
from boxship.engine.life import Life
from boxship.engine.lives import Lives
from boxship.engine.locks import Locks
from boxship.engine.metrics import Metrics
from boxship.engine.networks import EngineNetworks
from boxship.engine.places import Places
from boxship.engine.pods import Pods
from boxship.engine.pods_claims import Claims
from boxship.engine.pods_images import PodImages
from boxship.engine.pods_parts import PodParts
from boxship.engine.pods_records import PodRecords
from boxship.engine.pods_usage import PodUsage
from boxship.engine.pods_users import PodUsers
from boxship.engine.pods_users import Pool as UserPool
from boxship.engine.records import Records
from boxship.engine.recovery import Recovery
from boxship.engine.removal import Removal
from boxship.engine.rotation import LogRotation
from boxship.engine.start import Starter
from boxship.engine.supervisor import Supervisor
from boxship.engine.system import Facts, System
from boxship.engine.tasks import Tasks
from boxship.engine.volumes import EngineVolumes
from boxship.images.library import Images
from boxship.network.networks import Networks
from boxship.runtime.driver import Driver
from boxship.snapshots.overlay import Snapshots
from boxship.spec.container import LogPolicy
from boxship.store import Store
from boxship.volumes.volumes import Volumes


class Engine:
    """The engine. Each attribute is one concern; doors call these and nothing below them."""

    def __init__(
        self,
        *,
        store: Store,
        content: Content,
        garbage: Garbage,
        images: Images,
        snapshots: Snapshots,
        volumes: Volumes,
        networks: Networks,
        driver: Driver,
        places: Places,
        instance: str,
        default_log: LogPolicy,
        facts: Facts,
        clock: Clock,
        tasks: asyncio.TaskGroup,
        image_budget: BudgetSettings | None = None,
        witness: Witness | None = None,
        pod_users: UserPool | None = None,
    ) -> None:
        self._tasks = guarded = Tasks(tasks)
        self.events = events = Events(store, clock)
        self._records = records = Records(store, events)
        self._pods = pods = PodRecords(store, events)
        self._lives = lives = Lives()
        self.groups = groups = Groups(records, lives, networks, clock, guarded)
        self._removal = removal = Removal(records, lives, snapshots, volumes, images, places, clock, groups)
        self.execs = Execs(records, lives, driver, store, events, clock, guarded)
        health = HealthMonitor(records, lives, clock, self.execs.probe, groups)
        starter = Starter(records, pods, snapshots, volumes, networks, driver, places, instance)
        self._supervisor = Supervisor(records, lives, starter, removal, driver, health, clock, guarded, groups)
        creation = Creation(records, images, snapshots, volumes, driver, removal, places, default_log, clock)
        self.life = Life(records, lives, self._supervisor, driver, groups, events, clock)
        self.containers = Containers(
            records, lives, creation, removal, self.life, networks, snapshots, driver, events, clock
        )
        self._pod_users = PodUsers(store, pod_users or UserPool(), Claims())
        parts = PodParts(networks, snapshots, driver, places)
        self.pods = Pods(pods, records, self.containers, self.life, parts, driver, clock, self._pod_users)
        self.pod_usage = PodUsage(pods, records, lives, driver, networks, snapshots, places, clock)
        self.pod_images = PodImages(store, records, images, snapshots, places)
        self.locks = Locks()
        self.attachments = Attachments(records, lives, driver, events, clock)
        self.files = Files(records, lives, snapshots, volumes, events, clock)
        self.metrics = Metrics(records, lives, driver, networks)
        self.committing = Committing(records, images, snapshots, driver, lives, events, clock)
        self.images = EngineImages(images, records, events, clock)
        self._budget = ImageBudget(image_budget or BudgetSettings(), images, self.images, records, clock)
        self.networks = EngineNetworks(networks, records, lives, events, clock)
        self.volumes = EngineVolumes(volumes, records, events, clock)
        self.system = System(facts, records, images, snapshots, volumes, driver, Accounting(places.data, garbage))
        self.inspection = Inspection(content, garbage, snapshots, images, volumes, records, witness)
        self._rotation = LogRotation(records, lives, driver, clock)
        self._recovery = Recovery(
            records,
            lives,
            self._supervisor,
            starter,
            removal,
            self.pods,
            snapshots,
            volumes,
            networks,
            driver,
            groups,
            places,
            clock,
        )
        self._images = images
        self._places = places
        self._background: list[asyncio.Task[None]] = []

    async def start(self) -> None:
        """Read the store, find everything again, and only then let anyone in."""
        for folder in (self._places.data / "containers", self._places.run / "bundles"):
            folder.mkdir(parents=True, exist_ok=True, mode=0o711)
        await self.events.load()
        await self._records.load()
        await self._pods.load()
        await self._pod_users.load()
        await self.pod_images.load()
        await self._images.recover(uses_of(self._records))
        await self.execs.load()
        await self._recovery.run()
        self._background = [
            self._tasks.start("rotate logs", self._rotation.run),
            self._tasks.start("keep unused images within their budget", self._budget.run),
            self._tasks.start("start containers with the daemon", self._recovery.start_wanted),
        ]

    async def stop(self) -> None:
        """Stop looking after the containers; they go on without us."""
        self._supervisor.closing = True
        for task in self._background:
            task.cancel()
        await self._lives.close()
        await self.execs.close()
        await self.events.close()
