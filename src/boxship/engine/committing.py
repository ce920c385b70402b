"""Makes an image of a container's files as they are."""

from collections.abc import Sequence

from boxship.engine.clock import Clock
from boxship.engine.describing import container_event
from boxship.engine.events import Events
from boxship.engine.lives import Lives
from boxship.engine.model import Container, Phase
from boxship.engine.records import Records
from boxship.images.library import Images
from boxship.runtime.driver import Driver
from boxship.snapshots.overlay import Snapshots
from boxship.spec.image import ExecutionConfig, ImageHealthCheck
from boxship.spec.reference import parse


class Committing:
    """`docker commit`."""

    def __init__(
        self,
        records: Records,
        images: Images,
        snapshots: Snapshots,
        driver: Driver,
        lives: Lives,
        events: Events,
        clock: Clock,
    ) -> None:
        self._records = records
        self._images = images
        self._snapshots = snapshots
        self._driver = driver
        self._lives = lives
        self._events = events
        self._clock = clock

    async def commit(
        self,
        ref: str,
        *,
        reference: str = "",
        comment: str = "",
        author: str = "",
        pause: bool = True,
        changes: Sequence[str] = (),
        config: ExecutionConfig | None = None,
    ) -> str:
        """The new image's id. A running container is frozen meanwhile unless `pause` is off."""
        container = self._records.get(ref)
        handle = self._lives.of(container.id).handle
        freeze = pause and handle is not None and container.state.phase is Phase.RUNNING
        if freeze and handle is not None:
            await self._driver.pause(handle)
        try:
            image = await self._images.commit(
                self._snapshots.diff(container.id),
                await self._images.beneath(container.image_id),
                config or config_of(container),
                reference=parse(reference) if reference else None,
                changes=tuple(changes),
                comment=comment,
                author=author,
                created_by=" ".join(container.process.arguments),
            )
        finally:
            if freeze and handle is not None:
                await self._driver.resume(handle)
        self._events.publish(
            container_event(
                container, "commit", self._clock.now(), comment=comment, imageID=image.id, imageRef=reference
            )
        )
        return image.id


def config_of(container: Container) -> ExecutionConfig:
    """The container's own configuration, as the new image's defaults."""
    process, check = container.process, container.health
    return ExecutionConfig(
        User=process.user,
        ExposedPorts={port: {} for port in container.exposed_ports} or None,
        Env=process.environment or None,
        Entrypoint=process.entrypoint,
        Cmd=process.command,
        Volumes={target: {} for target in container.volumes} or None,
        WorkingDir=process.working_directory,
        Labels=container.labels or None,
        StopSignal=container.spec.stop_signal,
        Healthcheck=None
        if check is None
        else ImageHealthCheck(
            Test=check.test,
            Interval=check.interval,
            Timeout=check.timeout,
            StartPeriod=check.start_period,
            StartInterval=check.start_interval,
            Retries=check.retries,
        ),
        Shell=container.spec.shell or None,
    )
