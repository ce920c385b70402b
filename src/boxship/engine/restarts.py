"""Whether and when an ended container is started again: Docker's rules as pure functions."""

from boxship.engine.model import Container
from boxship.spec.container import SECOND, RestartPolicy

FIRST_DELAY = SECOND // 10
LONGEST_DELAY = 60 * SECOND
SETTLED_AFTER = 10 * SECOND  # a run this long starts the delays anew


def wants_restart(policy: RestartPolicy, exit_code: int, restart_count: int, stopped_by_user: bool) -> bool:
    """Whether the policy starts the container again after it ended (Docker: "Start containers automatically")."""
    if stopped_by_user:
        return False
    match policy.name:
        case "always" | "unless-stopped":
            return True
        case "on-failure":
            return exit_code != 0 and (policy.maximum_retries == 0 or restart_count < policy.maximum_retries)
        case _:
            return False


def next_delay(previous: int, ran_for: int) -> int:
    """Nanoseconds to wait before the next start: doubled from 100 ms to a minute, anew after a run of ten seconds."""
    if previous == 0 or ran_for >= SETTLED_AFTER:
        return FIRST_DELAY
    return min(previous * 2, LONGEST_DELAY)


def wants_start_with_daemon(container: Container, exit_code: int) -> bool:
    """Whether a container that isn't running when the daemon starts is to be started."""
    state = container.state
    match container.spec.restart.name:
        case "always":
            return True
        case "unless-stopped":
            return not state.stopped_by_user
        case "on-failure":
            return wants_restart(container.spec.restart, exit_code, state.restart_count, state.stopped_by_user)
        case _:
            return False
