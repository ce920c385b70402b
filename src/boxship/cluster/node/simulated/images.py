"""The images of a machine without containers: every reference has one, unless it is said otherwise."""

import asyncio
import hashlib
from collections.abc import Awaitable, Callable, Sequence

from boxship.cluster.node.runtime import PULLS, Credentials, ImageStatus, PulledImage
from boxship.errors import Denied, NotFound


class SimulatedImages:
    """`missing`: references that no registry has; `private` says whose credentials a reference needs; `here` are those
    that are here, `pulls` the references that were asked for."""

    def __init__(self, wait: Callable[[], Awaitable[None]]) -> None:
        self._wait = wait
        self._turns = asyncio.Semaphore(PULLS)
        self.here: dict[str, ImageStatus] = {}
        self.missing: set[str] = set()
        self.private: dict[str, str] = {}
        self.pulls: list[str] = []

    async def image(self, reference: str) -> ImageStatus | None:
        return self.here.get(reference)

    async def pull(self, reference: str, credentials: Sequence[Credentials]) -> PulledImage:
        async with self._turns:
            await self._wait()
        self.pulls.append(reference)
        if reference in self.missing:
            raise NotFound(f"{reference}: not found")
        wanted = self.private.get(reference)
        used = next((one for one in credentials if one.username == wanted), None)
        if wanted is not None and used is None:
            raise Denied(f"{reference}: access denied")
        digest = hashlib.sha256(reference.encode()).hexdigest()
        self.here[reference] = ImageStatus(f"sha256:{digest}", (reference,), size=1000)
        return PulledImage(self.here[reference], used)

    async def is_elsewhere(self, image: ImageStatus) -> bool:
        return True

    async def mount_image(self, uid: str, reference: str) -> str:
        return f"/images/{reference}"

    async def unmount_images(self, uid: str) -> None:
        await self._wait()
