"""The controllers of storage in a simulated world: whatever fails, lags or is killed, no volume has two claims, none
goes while its claim is there, and everybody gets what is to be had. A seed that fails replays exactly."""

import asyncio
import contextlib
import copy
from typing import Any

import pytest
from storage_kit import CLAIMS, CLASSES, NODES, VOLUMES, claim, node, storage_class, volume
from workloads_simulation import World, run

from boxship.cluster.controllers.storage.matching import BIND_COMPLETED, SELECTED_NODE, annotations_of, reference_of
from boxship.cluster.controllers.storage.provisioning import FINALIZER, folder_of
from boxship.cluster.controllers.storage.starting import make_storage
from boxship.cluster.controllers.workloads.pods import facts_of
from boxship.cluster.objects import Object
from boxship.cluster.objects.failure import Failure
from boxship.cluster.reconcile.cache import Cache
from boxship.cluster.reconcile.recording import Recorder
from boxship.cluster.reconcile.runner import Runner


class Storage(World):
    """Instead of kubelets: a scheduler that chooses nodes, and nodes that remove folders, both when they like."""

    def __init__(self, seed: int) -> None:
        super().__init__(seed, trouble=0.08)
        self.kubelets = self  # type: ignore[assignment]
        self.folders: set[str] = set()
        self.api.checks.append(self.check)

    async def run(self) -> None:
        while True:
            await asyncio.sleep(self.chance.random() * 0.1)
            for one in self.api.all(CLAIMS):
                waits = one["spec"].get("storageClassName") == "local" and not one["spec"].get("volumeName")
                if waits and SELECTED_NODE not in annotations_of(one) and self.chance.random() < 0.2:
                    name = self.chance.choice(["one", "two", "bare"])
                    self._edit(CLAIMS, one, {"annotations": {**annotations_of(one), SELECTED_NODE: name}})
            for one in self.api.all(VOLUMES):
                metadata = one["metadata"]
                if "local" in one["spec"]:
                    self.folders.add(metadata["name"])
                if metadata.get("deletionTimestamp") and FINALIZER in metadata.get("finalizers", ()):
                    self.folders.discard(metadata["name"])
                    self._edit(VOLUMES, one, {"finalizers": []})

    def _edit(self, resource: str, object: Object, changes: dict[str, Any]) -> None:
        made = copy.deepcopy(object)
        made["metadata"] |= changes
        self.api.change(resource, made)

    def check(self) -> None:
        """After every write."""
        claims = self.api.all(CLAIMS)
        bound = [one["spec"]["volumeName"] for one in claims if BIND_COMPLETED in annotations_of(one)]
        assert len(bound) == len(set(bound)), "two claims have one volume"
        volumes = {one["metadata"]["name"]: one for one in self.api.all(VOLUMES)}
        for name in bound:
            assert name in volumes and not volumes[name]["metadata"].get("deletionTimestamp"), "a claim lost its volume"

    async def put(self, resource: str, object: Object) -> None:
        space = "default" if resource == CLAIMS else ""
        while True:
            try:
                await self.api.create(resource, space, object)
                return
            except Failure as failure:
                if failure.reason == "AlreadyExists":
                    return

    def has_settled(self) -> bool:
        """Every claim has its volume, every other volume is free or released, no folder is left over."""
        claims, volumes = self.api.all(CLAIMS), self.api.all(VOLUMES)
        chosen = {one["metadata"]["uid"]: one["spec"].get("volumeName") for one in claims}
        kept = {reference_of(one).get("uid"): one["metadata"]["name"] for one in volumes}
        made = {one["metadata"]["name"] for one in volumes if "local" in one["spec"]}
        at_rest = all((one.get("status") or {}).get("phase") == self._phase(one, chosen) for one in volumes)
        phases = {(one.get("status") or {}).get("phase") for one in claims}
        bound = all(kept.get(uid) == name for uid, name in chosen.items())
        return phases <= {"Bound"} and bound and at_rest and self.folders == made

    def _phase(self, volume: Object, chosen: dict[str, str]) -> str:
        uid = reference_of(volume).get("uid")
        if not uid:
            return "Available"
        if uid in chosen:
            return "Bound" if chosen[uid] == volume["metadata"]["name"] else "nothing"
        return "gone" if "local" in volume["spec"] else "Released"

    async def _controllers(self) -> None:
        recorder = Recorder(self.api.now)
        pods = Cache(self.api, "v1/pods", keep=facts_of)
        controllers = make_storage(lambda name: self.api, self.api, pods, recorder)
        await Runner(controllers, (recorder.run,)).run()


@pytest.mark.parametrize("seed", range(6))
def test_claims_come_and_go(seed: int) -> None:
    async def scenario() -> None:
        world = Storage(seed)
        chance = world.chance
        waiting = {"volumeBindingMode": "WaitForFirstConsumer", "reclaimPolicy": "Delete"}
        await world.put(CLASSES, storage_class("local", "boxship.io/local", **waiting))
        await world.put(CLASSES, storage_class("hand"))
        for name in ("one", "two"):
            await world.put(NODES, node(name))
        bare = node("bare", "")
        assert not folder_of(bare)
        await world.put(NODES, bare)
        for turn in range(4):
            for number in range(3):
                await world.put(CLAIMS, claim(f"local-{turn}-{number}", storageClassName="local"))
                size = chance.choice(["1Gi", "2Gi"])
                await world.put(CLAIMS, claim(f"hand-{turn}-{number}", size, storageClassName="hand"))
                await world.put(VOLUMES, volume(f"hand-{turn}-{number}", "2Gi", storageClassName="hand"))
            await world.settle(world.has_settled, seconds=600, deaths=2)
            for one in chance.sample(world.api.all(CLAIMS), 3):
                with contextlib.suppress(Failure):
                    world.api.end(CLAIMS, one)
        await world.settle(world.has_settled, seconds=600, deaths=1)

    run(scenario)
