"""Why a service is not up, in sentences: from the service through what it waits for down to the root cause. Pure.

It reads the project, what is there, the engine's records of the containers (Docker's form) and recent events. Causes of
causes are indented; the last line is the deepest.
"""

from __future__ import annotations

import signal
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from boxship.compose.hashing import later_hash, service_hash
from boxship.compose.model import Project, Service
from boxship.compose.planning.matching import LIVE
from boxship.compose.planning.naming import image_of, is_temporary
from boxship.compose.planning.observed import Observed, SeenContainer
from boxship.compose.planning.selecting import named

OUTPUT_CHARACTERS = 300  # of a probe, or of a line of a log
INDENT = "  "
COMPLETED = "service_completed_successfully"
MEANINGS = {
    125: "the runtime could not start it",
    126: "its command is there, but cannot be executed",
    127: "its command was not found",
}


class Story:
    """Sentences about one project; each service is told once."""

    def __init__(
        self,
        project: Project,
        observed: Observed,
        inspects: Mapping[str, Mapping[str, Any]],
        events: Iterable[Mapping[str, Any]],
        holders: Mapping[str, str],
        words: Mapping[str, Sequence[str]],
    ) -> None:
        self.project, self.observed, self.inspects, self.holders = project, observed, inspects, holders
        self.words = words
        self.events = tuple(events)
        self.lines: list[str] = []
        self._told: set[str] = set()

    def say(self, depth: int, text: str) -> None:
        self.lines.append(INDENT * depth + text)

    def tell(self, service: Service, depth: int) -> None:
        """Everything about one service, and then about what it waits for."""
        if service.name in self._told:
            self.say(depth, f"{service.name}: see above.")
            return
        self._told.add(service.name)
        if service.name in self.project.disabled and service.name not in self.project.services:
            self._not_enabled(service, depth)
        containers = [seen for seen in self.observed.containers if seen.service == service.name and not seen.one_off]
        finals = [seen for seen in containers if not is_temporary(seen)]
        working = [seen for seen in finals if works(seen)]
        completed = self._completes(service.name) and finals and not self._lack(service, COMPLETED)
        if completed:
            self.say(depth, f"{service.name} did its work: it ended with exit code 0.")
        elif finals and len(working) == len(finals) >= service.replicas:
            self._up(service, finals, depth)
        elif not containers:
            self._no_container(service, depth)
        else:
            self._counted(service, finals, working, depth)
        for seen in containers:
            if is_temporary(seen):
                self.say(
                    depth,
                    f"{seen.name} was left in the middle of a replacement: the next `up` finishes it or takes it back.",
                )
        if not completed and not (finals and len(working) == len(finals)):
            self._dependencies(service, depth)

    def _completes(self, name: str) -> bool:
        """Whether somebody waits for the service to end."""
        hows = (service.depends_on.get(name) for service in self.project.services.values())
        return any(how is not None and how.condition == COMPLETED for how in hows)

    def _not_enabled(self, service: Service, depth: int) -> None:
        names = service.profiles
        which = f"profile {names[0]}, which is not active" if len(names) == 1 else ""
        which = which or f"profiles {', '.join(names)}, of which none is active"
        enable = f" `--profile {names[0]}` enables it." if names else ""
        self.say(depth, f"{service.name} is not enabled: it belongs to the {which}.{enable}")

    def _up(self, service: Service, containers: list[SeenContainer], depth: int) -> None:
        health = " and healthy" if all(seen.health == "healthy" for seen in containers) else ""
        if not containers:
            self.say(depth, f"{service.name} is scaled to 0: no container is wanted.")
            return
        self.say(depth, f"{service.name} is up: {len(containers)} of {service.replicas} running{health}.")
        for seen in containers:
            self._outdated(service, seen, depth + 1)
            restarts = self._record(seen).get("RestartCount") or 0
            if restarts:
                self.say(depth + 1, f"{seen.name} was restarted {_times(restarts)} since it was made.")

    def _outdated(self, service: Service, seen: SeenContainer, depth: int) -> None:
        image = self.observed.images.get(image_of(self.project, service), "")
        if seen.hash and seen.hash not in (service_hash(service), later_hash(service)):
            self.say(depth, f"{seen.name} has an older configuration than the file: `up` would replace it.")
        elif image and seen.image and seen.image != image:
            self.say(
                depth, f"{seen.name} has an older image than {image_of(self.project, service)}: `up` would replace it."
            )

    def _no_container(self, service: Service, depth: int) -> None:
        image = image_of(self.project, service)
        if service.replicas == 0:
            self.say(depth, f"{service.name} is scaled to 0: no container is wanted.")
        elif image not in self.observed.images:
            how = "built (`build`)" if service.build is not None else "pulled (`pull`)"
            self.say(depth, f"{service.name} has no container: its image {image} is not here and has to be {how}.")
        else:
            self.say(depth, f"{service.name} has no container: it was never brought up, or was taken down.")

    def _counted(self, service: Service, finals: list[SeenContainer], working: list[SeenContainer], depth: int) -> None:
        self.say(depth, f"{service.name} is not up: {len(working)} of {service.replicas} work.")
        for seen in sorted(finals, key=lambda seen: seen.number):
            if seen not in working:
                for line in self._container(service, seen):
                    self.say(depth + 1, line)
        if len(finals) < service.replicas:
            missing = service.replicas - len(finals)
            self.say(depth + 1, f"{missing} more {'container is' if missing == 1 else 'containers are'} to be made.")

    def _dependencies(self, service: Service, depth: int) -> None:
        for name, dependency in service.depends_on.items():
            other = self.project.services.get(name) or self.project.disabled.get(name)
            if other is None:
                self.say(depth, f"{service.name} needs {name}, which is not in the file.")
                continue
            lack = self._lack(other, dependency.condition)
            if lack:
                need = "must" if dependency.required else "would better"
                self.say(depth, f"{service.name} waits for {name}: it {need} {lack}.")
                self.tell(other, depth + 1)

    def _lack(self, service: Service, condition: str) -> str:
        """What a dependency is not, or ""."""
        found = [
            seen
            for seen in self.observed.containers
            if seen.service == service.name and not seen.one_off and not is_temporary(seen)
        ]
        if service.replicas == 0 and not found:
            return ""
        if condition == COMPLETED:
            fits = found and all(seen.state == "exited" and seen.exit_code == 0 for seen in found)
            return "" if fits else "complete with exit code 0"
        if condition == "service_healthy":
            return "" if found and all(works(seen) for seen in found) else "be healthy"
        return "" if found and all(seen.state == "running" for seen in found) else "be started"

    def _record(self, seen: SeenContainer) -> Mapping[str, Any]:
        return self.inspects.get(seen.id, {})

    def _container(self, service: Service, seen: SeenContainer) -> list[str]:
        """What is wrong with one container."""
        state: Mapping[str, Any] = self._record(seen).get("State") or {}
        if seen.state == "running":
            return self._unhealthy(seen, state)
        if seen.state == "paused":
            return [f"{seen.name} is paused: `unpause` lets it go on."]
        if seen.state == "restarting":
            return [self._loop(seen, state), *self._last_words(seen)]
        if seen.state == "created":
            return self._created(service, seen, state)
        if seen.state in ("dead", "removing"):
            return [f"{seen.name} is {seen.state}: the next `up` makes it again."]
        return self._exited(service, seen, state)

    def _unhealthy(self, seen: SeenContainer, state: Mapping[str, Any]) -> list[str]:
        health = state.get("Health") or {}
        streak = health.get("FailingStreak") or 0
        if seen.health == "unhealthy":
            lines = [f"{seen.name} runs, but is unhealthy: its check failed {_times(streak)} in a row."]
        elif streak:
            lines = [f"{seen.name} runs; its health check has failed {_times(streak)} so far and may still pass."]
        else:
            lines = [f"{seen.name} runs; its health check has not passed yet."]
        return lines + _probe(health.get("Log") or [])

    def _loop(self, seen: SeenContainer, state: Mapping[str, Any]) -> str:
        count = self._record(seen).get("RestartCount") or 0
        return f"{seen.name} is in a restart loop ({_times(count)} so far): it {self._end(seen, state)}."

    def _created(self, service: Service, seen: SeenContainer, state: Mapping[str, Any]) -> list[str]:
        error = str(state.get("Error") or "")
        if error:
            return [f"{seen.name} could not be started: {error}", *self._port_holders(service, error)]
        waits = any(
            self._lack(other, dependency.condition)
            for name, dependency in service.depends_on.items()
            if (other := self.project.services.get(name)) is not None
        )
        if waits:
            return [f"{seen.name} was made, and is not started yet."]
        return [f"{seen.name} was made, but nobody started it: `start` or `up` does."]

    def _port_holders(self, service: Service, error: str) -> list[str]:
        if "already allocated" not in error and "address already in use" not in error:
            return []
        lines = []
        for port in service.ports:
            key = f"{port.published}/{port.protocol}"
            if port.published and port.published in error:
                holder = self.holders.get(key) or self._own_holder(service, key) or "another container or program"
                lines.append(f"Port {key} is taken by {holder}.")
        return lines

    def _own_holder(self, service: Service, key: str) -> str:
        """A container of the same project that publishes the port."""
        for seen in self.observed.containers:
            if seen.service == service.name or seen.state not in LIVE:
                continue
            ports = (self._record(seen).get("NetworkSettings") or {}).get("Ports") or {}
            for target, bindings in ports.items():
                protocol = target.partition("/")[2]
                if any(f"{binding.get('HostPort')}/{protocol}" == key for binding in bindings or ()):
                    return f"container {seen.name}"
        return ""

    def _exited(self, service: Service, seen: SeenContainer, state: Mapping[str, Any]) -> list[str]:
        error = str(state.get("Error") or "")
        lines = [f"{seen.name} {self._end(seen, state)}{_when(state)}."]
        if error:
            lines += [f"The engine said: {error}", *self._port_holders(service, error)]
        lines += self._last_words(seen)
        restart = (self._record(seen).get("HostConfig") or {}).get("RestartPolicy") or {}
        policy = restart.get("Name") or service.restart or "no"
        if self._was_stopped(seen):
            lines.append("It was stopped on request: `start` or `up` starts it.")
        elif policy == "no":
            lines.append("Its restart policy is no: it stays as it is until `start` or `up`.")
        elif policy == "on-failure" and seen.exit_code == 0:
            lines.append("Its restart policy is on-failure, and this was none.")
        elif policy == "on-failure" and restart.get("MaximumRetryCount"):
            lines.append(f"Its restart policy gives up after {_times(restart['MaximumRetryCount'])}.")
        return lines

    def _end(self, seen: SeenContainer, state: Mapping[str, Any]) -> str:
        oom = bool(state.get("OOMKilled")) or any(
            event.get("Action") == "oom" for event in self.events if _id_of(event) == seen.id
        )
        return meaning(int(state.get("ExitCode", seen.exit_code) or 0), oom=oom)

    def _last_words(self, seen: SeenContainer) -> list[str]:
        lines = [line.strip() for line in self.words.get(seen.id, ()) if line.strip()]
        return ["Its last words:", *(f"{INDENT}{_cut(line)}" for line in lines)] if lines else []

    def _was_stopped(self, seen: SeenContainer) -> bool:
        actions = [str(event.get("Action", "")) for event in self.events if _id_of(event) == seen.id]
        ends = [action for action in actions if action in ("stop", "start")]
        return bool(ends) and ends[-1] == "stop"


def why(
    project: Project,
    observed: Observed,
    inspects: Mapping[str, Mapping[str, Any]],
    service: str,
    *,
    events: Iterable[Mapping[str, Any]] = (),
    holders: Mapping[str, str] | None = None,
    words: Mapping[str, Sequence[str]] | None = None,
) -> list[str]:
    """Sentences about a service. `inspects` is id → the engine's record; `holders` is "PORT/PROTOCOL" → who has it;
    `words` is id → the last lines of its log. Raises Invalid for a service that the file does not have."""
    story = Story(project, observed, inspects, events, holders or {}, words or {})
    story.tell(named(project, (service,))[service], 0)
    return story.lines


def works(seen: SeenContainer) -> bool:
    return seen.state == "running" and seen.health in ("", "healthy")


def meaning(code: int, *, oom: bool = False) -> str:
    """How a container ended, from its exit code."""
    if oom:
        return f"was killed because it used more memory than its limit (exit code {code})"
    if code == 0:
        return "ended by itself with exit code 0"
    if code in MEANINGS:
        return f"exited with code {code}: {MEANINGS[code]}"
    if 128 < code < 193:
        try:
            name = signal.Signals(code - 128).name
        except ValueError:
            name = f"signal {code - 128}"
        how = {"SIGKILL": "was killed", "SIGTERM": "was asked to end", "SIGSEGV": "crashed", "SIGABRT": "aborted"}
        return f"{how.get(name, 'was ended')} by {name} (exit code {code})"
    return f"exited with code {code}"


def _probe(log: list[Mapping[str, Any]]) -> list[str]:
    """The last words of a health check."""
    if not log:
        return []
    last = log[-1]
    output = _cut(" ".join(str(last.get("Output") or "").split()))
    return [
        f"The last probe exited with {last.get('ExitCode')}"
        + (f" and said: {output}" if output else " and said nothing.")
    ]


def _cut(text: str) -> str:
    return text if len(text) <= OUTPUT_CHARACTERS else text[:OUTPUT_CHARACTERS] + "…"


def _times(count: int) -> str:
    return "once" if count == 1 else f"{count} times"


def _when(state: Mapping[str, Any]) -> str:
    finished = str(state.get("FinishedAt") or "")
    return f" at {finished[:19].replace('T', ' ')}" if finished and not finished.startswith("0001") else ""


def _id_of(event: Mapping[str, Any]) -> str:
    return str((event.get("Actor") or {}).get("ID") or event.get("id") or "")
