"""A pod's life without anything that runs: `Play` holds what is there, and does what is decided at once."""

from typing import Any

import msgspec

from boxship.cluster.node.life.deciding import decide
from boxship.cluster.node.life.parts import container_named, hash_of
from boxship.cluster.node.life.values import Action, Decision, Memory, Problem, Room, Seen, Verdict
from boxship.cluster.node.runtime import CREATED, EXITED, RUNNING, ContainerStatus, Sandbox, SandboxSpec
from boxship.cluster.objects import Object

NOW = 1_800_000_000.0


def pod_of(*containers: Object, **spec: Any) -> Object:
    metadata = {"name": "web", "namespace": "default", "uid": "u", "generation": 1, **spec.pop("metadata", {})}
    filled = {"restartPolicy": "Always", "terminationGracePeriodSeconds": 30, "containers": list(containers), **spec}
    return {"apiVersion": "v1", "kind": "Pod", "metadata": metadata, "spec": filled, "status": {"phase": "Pending"}}


def one(name: str = "a", **fields: Any) -> Object:
    return {"name": name, "image": "one:1", **fields}


class Play:
    def __init__(self, pod: Object) -> None:
        self.pod = pod
        self.now = NOW
        self.memory = Memory()
        self.sandbox: Sandbox | None = None
        self.runs: dict[str, ContainerStatus] = {}
        self.verdicts: dict[str, Verdict] = {}
        self.busy: set[str] = set()
        self.messages: dict[str, str] = {}
        self.gone = False
        self.room: Room | None = None
        self.done: list[str] = []  # "verb name" of every action so far

    def look(self) -> Decision:
        seen = Seen(
            now=self.now,
            sandbox=self.sandbox,
            containers=tuple(self.runs.values()),
            verdicts=dict(self.verdicts),
            messages=dict(self.messages),
            busy=frozenset(self.busy),
            gone=self.gone,
            host=("192.0.2.1",),
            room=self.room,
        )
        decision = decide(self.pod, seen, self.memory)
        self.memory = decision.memory
        self.pod = {**self.pod, "status": decision.status}
        return decision

    def step(self) -> list[str]:
        """Decide once and do it; what was done."""
        decision = self.look()
        done = [f"{action.verb} {action.name}".strip() for action in decision.actions]
        for action in decision.actions:
            self.act(action)
        self.done += done
        return done

    def settle(self) -> Object:
        """Until nothing more is to be done now; the status."""
        for _ in range(50):
            if not self.step():
                return self.status
        raise AssertionError(f"it does not settle: {self.done[-20:]}")

    @property
    def status(self) -> Object:
        found: Object = self.look().status
        return found

    def act(self, action: Action) -> None:
        getattr(self, "_" + action.verb.replace("-", "_"))(action)

    def _stamp(self) -> int:
        self.now += 0.001
        return int(self.now * 1e9)

    def _sandbox(self, action: Action) -> None:
        spec = SandboxSpec(uid="u", namespace="default", name="web", attempt=action.attempt)
        self.sandbox = Sandbox(f"s{action.attempt}", spec, self._stamp(), True, ("10.0.0.1",))

    def _start(self, action: Action) -> None:
        stamp = self._stamp()
        id = f"{action.name}-{action.attempt}"
        wanted = container_named(self.pod, action.name)
        self.runs[id] = ContainerStatus(
            id, "u", action.name, action.attempt, RUNNING, stamp, started_at=stamp, image="one:1", hash=hash_of(wanted)
        )

    def _stop(self, action: Action) -> None:
        self.end(action.id, 0)

    def _leave(self, action: Action) -> None:
        self.memory = msgspec.structs.replace(self.memory, left=True)

    def _pre_stop(self, action: Action) -> None:
        self.memory = msgspec.structs.replace(self.memory, pre_stopped=self.memory.pre_stopped | {action.id})

    def _remove(self, action: Action) -> None:
        del self.runs[action.id]

    def _resize(self, action: Action) -> None:
        whose = container_named(self.pod, action.name) if action.name else self.pod["spec"]
        wanted = whose.get("resources") or {}
        self.memory = msgspec.structs.replace(self.memory, in_force={**self.memory.in_force, action.name: wanted})

    def _clean(self, action: Action) -> None:
        self.memory = msgspec.structs.replace(self.memory, clean=True)
        if self.sandbox is not None:
            self.sandbox = msgspec.structs.replace(self.sandbox, ready=False)

    def _finish(self, action: Action) -> None:
        self.runs.clear()
        self.sandbox = None
        self.busy.add("finish/")

    def end(self, id: str, code: int = 0, **more: Any) -> None:
        self.runs[id] = msgspec.structs.replace(
            self.runs[id], phase=EXITED, exit_code=code, finished_at=self._stamp(), **more
        )

    def fail(self, name: str, reason: str, seconds: float = 10.0, image: str = "") -> None:
        problem = Problem(reason, f"{reason} says why", self.now, self.now + seconds, seconds, image)
        self.memory = msgspec.structs.replace(self.memory, problems={**self.memory.problems, name: problem})

    def delete(self, grace: int = 30) -> None:
        metadata = {**self.pod["metadata"], "deletionTimestamp": "2027-01-15T08:00:30Z"}
        self.pod = {**self.pod, "metadata": {**metadata, "deletionGracePeriodSeconds": grace}}

    def state(self, name: str = "a") -> Object:
        for key in ("initContainerStatuses", "containerStatuses", "ephemeralContainerStatuses"):
            for found in self.pod["status"].get(key) or ():
                if found["name"] == name:
                    return dict(found)
        raise AssertionError(f"no status of {name}")

    def condition(self, kind: str) -> Object:
        return next((dict(found) for found in self.pod["status"]["conditions"] if found["type"] == kind), {})


__all__ = ["CREATED", "EXITED", "NOW", "RUNNING", "Play", "one", "pod_of"]
