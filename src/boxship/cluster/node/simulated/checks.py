"""What must hold in the simulation at every moment: looked at after each change of the machine and of the API."""

from collections.abc import Sequence

from boxship.cluster.node.life.parts import kind_of
from boxship.cluster.node.life.statuses import PREFIX
from boxship.cluster.node.life.values import MAIN, SIDECAR
from boxship.cluster.node.planning import PodVolumes
from boxship.cluster.node.runtime import EXITED, RUNNING, ContainerStatus
from boxship.cluster.node.simulated.runtime import SimulatedRuntime
from boxship.cluster.objects import Object

OVER = ("Succeeded", "Failed")


class Checks:
    """`wrong` collects what is found; each finding once."""

    def __init__(self, runtime: SimulatedRuntime, volumes: PodVolumes, wrong: list[str]) -> None:
        self._volumes = volumes
        self._runtime = runtime
        self._wrong = wrong
        self._pods: dict[str, Object] = {}  # as they were last seen, by uid

    def _say(self, what: str) -> None:
        if what not in self._wrong:
            self._wrong.append(what)

    async def watch_machine(self) -> None:
        async for _ in self._runtime.changes():
            self.look_at_machine()

    def see(self, kind: str, pod: Object) -> None:
        """A version of a pod, as soon as the API has it."""
        uid = pod["metadata"]["uid"]
        before = self._pods.get(uid)
        if kind == "DELETED":
            self._pods.pop(uid, None)
            if not pod["metadata"].get("annotations", {}).get("forced"):
                alive = [one.name for one in self._runtime.table.values() if one.uid == uid and one.phase == RUNNING]
                if alive:
                    self._say(f"pod {pod['metadata']['name']} is gone while {alive} run")
            return
        self._pods[uid] = pod
        if before is not None:
            self._compare(before.get("status") or {}, pod.get("status") or {}, pod)

    def _compare(self, old: Object, new: Object, pod: Object) -> None:
        name = pod["metadata"]["name"]
        if old.get("phase") in OVER and new.get("phase") != old["phase"]:
            self._say(f"pod {name}: {old['phase']} became {new.get('phase')}")
        if old.get("startTime") not in (None, new.get("startTime")):
            self._say(f"pod {name}: its start time has changed")
        for key in ("initContainerStatuses", "containerStatuses"):
            known = {one["name"]: one for one in new.get(key) or ()}
            for one in old.get(key) or ():
                if one["name"] not in known:
                    self._say(f"pod {name}: the status of {one['name']} is gone")
                elif known[one["name"]]["restartCount"] < one["restartCount"]:
                    self._say(f"pod {name}: {one['name']} has fewer restarts")
        running = [one["name"] for one in new.get("containerStatuses") or () if "running" in one["state"]]
        if new.get("phase") in OVER and running:
            self._say(f"pod {name} is {new['phase']}, and {running} run")
        ready = [one for one in new.get("conditions") or () if one["type"] == "Ready" and one["status"] == "True"]
        if ready and not all(one["ready"] for one in new.get("containerStatuses") or ()):
            self._say(f"pod {name} is ready, its containers are not")

    def look_at_machine(self) -> None:
        by_pod: dict[str, list[ContainerStatus]] = {}
        for one in self._runtime.table.values():
            by_pod.setdefault(one.uid, []).append(one)
        for uid, runs in by_pod.items():
            alive = [one.name for one in runs if one.phase == RUNNING]
            if len(set(alive)) != len(alive):
                self._say(f"two containers of one name run: {sorted(alive)} of {uid}")
            pod = self._pods.get(uid)
            if pod is not None:
                self._order(pod, runs)

    def _order(self, pod: Object, runs: Sequence[ContainerStatus]) -> None:
        """No container begins before the init containers before it are through."""
        newest: dict[str, ContainerStatus] = {}
        for one in sorted(runs, key=lambda one: one.attempt):
            newest[one.name] = one
        kinds = {one["name"]: kind_of("initContainers", one) for one in pod["spec"].get("initContainers") or ()}
        mains = [
            newest[one["name"]]
            for one in pod["spec"]["containers"]
            if one["name"] in newest and newest[one["name"]].phase == RUNNING
        ]
        for name, kind in kinds.items():
            run = newest.get(name)
            if mains and kind != SIDECAR and (run is None or run.phase != EXITED or run.exit_code):
                self._say(f"pod {pod['metadata']['name']}: {MAIN} containers run before {name} is through")

    def at_rest(self) -> None:
        """Nothing is to be left of anything."""
        for what, found in (
            ("sandboxes", self._runtime.pods),
            ("containers", self._runtime.table),
            ("volumes", self._volumes.known()),
        ):
            if found:
                self._say(f"{what} are left over: {sorted(found)}")
        for pod in self._pods.values():
            self._say(f"pod {pod['metadata']['name']} is left over: {pod['metadata']} {pod.get('status')}")


def true_status(pod: Object, runtime: SimulatedRuntime) -> str:
    """Where the API says something else of a settled pod than the machine; "" for nowhere."""
    for one in (pod.get("status") or {}).get("containerStatuses") or ():
        id = str(one.get("containerID") or "").removeprefix(PREFIX)
        run = runtime.table.get(id)
        if "running" in one["state"] and (run is None or run.phase != RUNNING):
            return f"pod {pod['metadata']['name']}: {one['name']} does not run"
        if one["ready"] and "running" not in one["state"]:
            return f"pod {pod['metadata']['name']}: {one['name']} is ready and does not run"
    return ""
