"""A container's life as one table of moves. Only `move` changes a phase, so that no other code invents a state."""

import msgspec

from boxship.engine.model import Container, Phase
from boxship.errors import Conflict

MOVES: dict[Phase, frozenset[Phase]] = {
    Phase.CREATING: frozenset({Phase.CREATED, Phase.REMOVING}),
    Phase.CREATED: frozenset({Phase.STARTING, Phase.REMOVING}),
    Phase.STARTING: frozenset({Phase.RUNNING, Phase.CREATED, Phase.EXITED, Phase.RESTARTING, Phase.REMOVING}),
    Phase.RUNNING: frozenset({Phase.PAUSED, Phase.STOPPING, Phase.EXITED, Phase.RESTARTING}),
    Phase.PAUSED: frozenset({Phase.RUNNING, Phase.STOPPING, Phase.EXITED, Phase.RESTARTING}),
    Phase.STOPPING: frozenset({Phase.RUNNING, Phase.EXITED, Phase.RESTARTING}),
    Phase.RESTARTING: frozenset({Phase.STARTING, Phase.EXITED, Phase.REMOVING}),
    Phase.EXITED: frozenset({Phase.STARTING, Phase.REMOVING}),
    Phase.REMOVING: frozenset({Phase.DEAD}),
    Phase.DEAD: frozenset({Phase.REMOVING}),
}


def move(container: Container, phase: Phase, **changes: object) -> Container:
    """The container in its next phase, with further fields of its state changed along.

    Raises Conflict where the table has no such move.
    """
    now = container.state.phase
    if phase is not now and phase not in MOVES[now]:
        raise Conflict(f"cannot move container {container.id[:12]} to {phase.value}: it is {now.value}")
    return with_state(container, phase=phase, **changes)


def with_state(container: Container, **changes: object) -> Container:
    """The container with fields of its state replaced; the phase stays where it is unless `move` calls this."""
    return msgspec.structs.replace(container, state=msgspec.structs.replace(container.state, **changes))


def diagram() -> str:
    """The table as a Mermaid state diagram, for the documents."""
    lines = ["stateDiagram-v2", f"    [*] --> {Phase.CREATING.value}"]
    lines += [f"    {a.value} --> {b.value}" for a, targets in MOVES.items() for b in sorted(targets)]
    return "\n".join([*lines, f"    {Phase.REMOVING.value} --> [*]"])
