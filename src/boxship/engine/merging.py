"""What a container becomes when the request meets its image: Docker's rules of merging, pure."""

from boxship.engine.model import Process
from boxship.errors import Invalid
from boxship.spec.container import ContainerSpec, HealthCheck
from boxship.spec.image import ExecutionConfig

DEFAULT_PATH = "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
DEFAULT_STOP_SIGNAL = "SIGTERM"


def merge_environment(requested: tuple[str, ...], image: tuple[str, ...]) -> tuple[str, ...]:
    """The user's variables first, then those of the image that the user neither set nor took away."""
    named = {entry.partition("=")[0] for entry in requested}
    kept = (entry for entry in image if entry.partition("=")[0] not in named)
    merged: dict[str, str] = {}
    for entry in (*(entry for entry in requested if "=" in entry), *kept):
        merged[entry.partition("=")[0]] = entry
    return tuple(merged.values())


def merge_process(spec: ContainerSpec, image: ExecutionConfig) -> Process:
    """Program, arguments, environment, folder and user.

    An entrypoint of the user's discards the image's command; an entrypoint of one empty string discards the image's
    entrypoint. Raises Invalid where nothing is left to run.
    """
    entrypoint, command = spec.entrypoint, spec.command
    if entrypoint is None:
        entrypoint = image.Entrypoint
        if not command:
            command = image.Cmd
    elif entrypoint == ("",):
        entrypoint = None
    arguments = (*(entrypoint or ()), *(command or ()))
    if not arguments:
        raise Invalid("no command specified")
    return Process(
        arguments=arguments,
        environment=merge_environment(spec.environment, image.Env or ()),
        working_directory=spec.working_directory or image.WorkingDir,
        user=spec.user or image.User,
        entrypoint=entrypoint,
        command=command,
    )


def merge_health(spec: ContainerSpec, image: ExecutionConfig) -> HealthCheck | None:
    """The health check, field by field: the user's value where it is given, else the image's."""
    theirs, ours = image.Healthcheck, spec.health
    if theirs is None:
        return ours
    if ours is None:
        ours = HealthCheck()
    return HealthCheck(
        test=ours.test or theirs.Test,
        interval=ours.interval or theirs.Interval,
        timeout=ours.timeout or theirs.Timeout,
        start_period=ours.start_period or theirs.StartPeriod,
        start_interval=ours.start_interval or theirs.StartInterval,
        retries=ours.retries or theirs.Retries,
    )


def runtime_environment(process: Process, *, hostname: str, home: str, tty: bool) -> tuple[str, ...]:
    """What the process really gets: the record's variables and the ones that every container has."""
    given = {entry.partition("=")[0] for entry in process.environment}
    added = [DEFAULT_PATH, f"HOSTNAME={hostname}", *(["TERM=xterm"] if tty else []), f"HOME={home}"]
    extra = tuple(entry for entry in added if entry.partition("=")[0] not in given)
    return (*extra[:1], *extra[1:], *process.environment)
