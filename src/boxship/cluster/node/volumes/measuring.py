"""How full a pod's volumes are, and what the filesystems have that they lie on.

Contract: k8s.io/kubelet stats/v1alpha1, VolumeStats. Folders of the machine (hostPath) and images are not measured, as
with the original: they may be anything. A volume that is a filesystem of its own is asked for what it has; others are
walked, so they are looked at anew only after twenty times as long as that took. A pod may make as many files as it
likes: one walk at a time, in one thread, and nobody waits long for it.
"""

import asyncio
import logging
import os
import time
from collections.abc import Callable, Mapping, Sequence

import msgspec

from boxship.cluster.node.planning import Mounted, VolumeFigures
from boxship.cluster.node.volumes.emptying import measured
from boxship.cluster.node.volumes.sources import WRITTEN, kind_of
from boxship.cluster.objects import Object
from boxship.waiting import in_thread

log = logging.getLogger(__name__)

LONGEST_SECONDS, SHARE = 60.0, 20
WAIT_SECONDS = 2.0  # for a walk; then what was counted before counts


class Measured(msgspec.Struct, frozen=True):
    """`until` by the monotonic clock."""

    figures: Sequence[VolumeFigures]
    until: float


class Measures:
    """What was measured last of each pod, by its uid."""

    def __init__(self) -> None:
        self._known: dict[str, Measured] = {}
        self._walks: dict[str, asyncio.Task[None]] = {}
        self._turn = asyncio.Lock()

    async def of(self, uid: str, walk: Callable[[], Measured]) -> Sequence[VolumeFigures]:
        """As `walk` finds it, which is called in a thread where what is known is too old; () while nothing is known."""
        known = self._known.get(uid)
        if known is None or time.monotonic() >= known.until:
            if uid not in self._walks:
                self._walks[uid] = asyncio.ensure_future(self._walk(uid, walk))
            await asyncio.wait({self._walks[uid]}, timeout=WAIT_SECONDS)
            known = self._known.get(uid)
        return known.figures if known is not None else ()

    def forget(self, uid: str) -> None:
        self._known.pop(uid, None)
        if uid in self._walks:
            self._walks[uid].cancel()

    async def _walk(self, uid: str, walk: Callable[[], Measured]) -> None:
        """Also when nobody waits for it any more."""
        try:
            async with self._turn:
                self._known[uid] = await in_thread(walk)
        except OSError as error:
            log.warning("cannot measure the volumes of pod %s: %s", uid, error)
        finally:
            del self._walks[uid]


def measure(pod: Object, volumes: Mapping[str, Mounted], behind: Mapping[str, Object]) -> Measured:
    """Blocking. `behind` are the persistent volumes of the pod's claims, by volume."""
    began = time.monotonic()
    figures = [
        _figures(volume["name"], volumes[volume["name"]].path, claim_of(pod, volume), on_disk=_is_on_disk(volume))
        for volume in pod["spec"].get("volumes") or ()
        if is_measured(volume, behind.get(volume["name"])) and volume["name"] in volumes
    ]
    now = time.monotonic()
    found = [one for one in figures if one is not None]
    return Measured(found, now + min(LONGEST_SECONDS, SHARE * (now - began)))


def is_measured(volume: Object, behind: Object | None) -> bool:
    if behind is not None:
        spec = behind["spec"]
        return spec.get("local") is not None and spec.get("volumeMode") != "Block"
    return kind_of(volume) in (*WRITTEN, "emptyDir")


def claim_of(pod: Object, volume: Object) -> str:
    """The name of the claim that a volume is, "" for none."""
    if volume.get("ephemeral") is not None:
        return f"{pod['metadata']['name']}-{volume['name']}"
    return str((volume.get("persistentVolumeClaim") or {}).get("claimName") or "")


def _is_on_disk(volume: Object) -> bool:
    return kind_of(volume) == "emptyDir" and not (volume.get("emptyDir") or {}).get("medium")


def _figures(name: str, path: str, claim: str, *, on_disk: bool) -> VolumeFigures | None:
    """None for one that is gone by now."""
    try:
        status = os.statvfs(path)
        whole = os.path.ismount(path)
    except OSError:
        return None
    capacity, free = status.f_blocks * status.f_frsize, status.f_bavail * status.f_frsize
    if whole:
        used, inodes = (status.f_blocks - status.f_bfree) * status.f_frsize, status.f_files - status.f_ffree
    else:
        used, inodes = measured(path)
    return VolumeFigures(
        name=name,
        claim=claim,
        ephemeral=on_disk,
        used=used,
        capacity=capacity,
        available=free,
        inodes_used=inodes,
        inodes=status.f_files,
        inodes_free=status.f_ffree,
    )
