"""The controllers of endpoints in a simulated world: whatever fails, lags or is killed, the slices become what the pods
are. A seed that fails replays exactly."""

import pytest
from endpoints_kit import ready_addresses, service
from workloads_simulation import World, run, stamp

from boxship.cluster.controllers.endpoints.starting import make_endpoints
from boxship.cluster.objects import Object
from boxship.cluster.reconcile.runner import Runner

SLICES, PODS = "discovery.k8s.io/v1/endpointslices", "v1/pods"
SEEDS = range(4)


class Names(World):
    """Pods that come, turn and go by themselves."""

    async def _controllers(self) -> None:
        made = make_endpoints(lambda name: self.api, self.api, self.api.now)
        await Runner(made.controllers, made.parts).run()

    def pod(self, number: int) -> Object:
        metadata = {"name": f"p-{number}", "namespace": "default", "labels": {"app": "web"}, "uid": f"uid-{number}"}
        ready = {"type": "Ready", "status": self.chance.choice(["True", "False"]), "lastTransitionTime": stamp(0)}
        status = {"phase": "Running", "podIP": f"10.244.0.{number + 1}", "conditions": [ready]}
        made = {"metadata": metadata, "spec": {"nodeName": "n"}, "status": status}
        if self.chance.random() < 0.1:
            metadata["deletionTimestamp"] = stamp(0)
        return made

    def turn(self) -> None:
        """One pod becomes another, or ends."""
        number = self.chance.randrange(120)
        known = self.api.objects.get(PODS, {}).get(("default", f"p-{number}"))
        if known is not None and self.chance.random() < 0.3:
            self.api._put(PODS, "DELETED", known)
        else:
            self.api._put(PODS, "MODIFIED" if known else "ADDED", self.pod(number))

    @property
    def ready(self) -> list[str]:
        pods = [pod for pod in self.api.all(PODS) if not pod["metadata"].get("deletionTimestamp")]
        pods = [pod for pod in pods if pod["status"]["conditions"][0]["status"] == "True"]
        return sorted(pod["status"]["podIP"] for pod in pods)

    def is_told(self) -> bool:
        slices = self.api.all(SLICES)
        found = self.api.all("v1/endpoints")
        in_object = [one["ip"] for one in found for subset in one["subsets"] for one in subset.get("addresses", ())]
        listed = [one["addresses"][0] for slice in slices for one in slice["endpoints"]]
        whole = sorted(listed) == sorted(pod["status"]["podIP"] for pod in self.api.all(PODS))
        return whole and ready_addresses(slices) == self.ready == sorted(in_object)


@pytest.mark.parametrize("seed", SEEDS)
def test_endpoints_become_what_the_pods_are(seed: int) -> None:
    async def scenario() -> None:
        world = Names(seed, trouble=0.1)
        world.kubelets.step = lambda pod: None  # type: ignore[method-assign]
        await world.create("v1/services", service())
        for _ in range(6):
            for _ in range(world.chance.randrange(1, 120)):
                world.turn()
            await world.settle(world.is_told, seconds=200, deaths=2)
        assert len(world.api.all(SLICES)) <= 3

    run(scenario)
