"""The texts that lists show: how long ago, a container's status, its command line. Pure."""

from boxship.engine.model import Container, Phase

MINUTE, HOUR, DAY = 60, 3600, 86400
SECOND = 1_000_000_000  # nanoseconds


def how_long(nanoseconds: int) -> str:
    """A duration in Docker's rough words."""
    seconds = max(nanoseconds, 0) // SECOND
    minutes = seconds // MINUTE
    hours = int(seconds / HOUR + 0.5)
    if seconds < 1:
        return "Less than a second"
    if seconds < MINUTE:
        return "1 second" if seconds == 1 else f"{seconds} seconds"
    if minutes < 60:
        return "About a minute" if minutes == 1 else f"{minutes} minutes"
    if hours < 48:
        return "About an hour" if hours == 1 else f"{hours} hours"
    for days, name in ((14, "days"), (60, "weeks"), (730, "months")):
        if hours < 24 * days:
            return f"{hours // {'days': 24, 'weeks': 168, 'months': 720}[name]} {name}"
    return f"{hours // 8760} years"


# The word that Docker has for each phase.
STATES: dict[Phase, str] = {
    Phase.CREATING: "created",
    Phase.CREATED: "created",
    Phase.STARTING: "created",
    Phase.RUNNING: "running",
    Phase.STOPPING: "running",
    Phase.PAUSED: "paused",
    Phase.RESTARTING: "restarting",
    Phase.EXITED: "exited",
    Phase.REMOVING: "removing",
    Phase.DEAD: "dead",
}


def state_word(container: Container) -> str:
    """ "running", "exited", …: a container that starts again shows what it was."""
    state = container.state
    if state.phase is Phase.STARTING and state.finished_at:
        return "restarting" if state.restart_count else "exited"
    return STATES[state.phase]


def status_text(container: Container, now: int) -> str:
    """The STATUS column of `ps`. `now` in nanoseconds since the epoch."""
    state = container.state
    word = state_word(container)
    if word == "running":
        text = f"Up {how_long(now - state.started_at)}"
        return f"{text} ({health_text(container)})" if health_text(container) else text
    if word == "paused":
        return f"Up {how_long(now - state.started_at)} (Paused)"
    if word == "restarting":
        return f"Restarting ({state.exit_code}) {how_long(now - state.finished_at)} ago"
    if word == "removing":
        return "Removal In Progress"
    if word == "dead":
        return "Dead"
    if word == "created":
        return "Created"
    return f"Exited ({state.exit_code}) {how_long(now - state.finished_at)} ago"


def health_word(container: Container) -> str:
    """ "none", "starting", "healthy" or "unhealthy"."""
    return container.state.health.status if container.state.health is not None else "none"


def health_text(container: Container) -> str:
    """What stands in parentheses after "Up 5 minutes"."""
    word = health_word(container)
    return {"none": "", "starting": "health: starting"}.get(word, word)


def command_text(container: Container) -> str:
    """The command line, words with blanks quoted."""
    first, *rest = container.process.arguments or ("",)
    return " ".join((first, *(f"'{word}'" if " " in word else word for word in rest)))
