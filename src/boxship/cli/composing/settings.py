"""What flags and environment say about every verb of `boxship compose`: how much side by side, how progress looks,
whether anything is done at all."""

from __future__ import annotations

from collections.abc import Mapping

from msgspec import Struct

from boxship.cli.call import Call
from boxship.cli.flags import Options, UsageError
from boxship.cli.terminal import is_terminal
from boxship.errors import Unsupported

WAYS = ("auto", "tty", "plain", "json", "quiet")
ANSI = ("never", "always", "auto")
LOCKS = ("wait", "refuse")
TRUE = ("1", "t", "true", "yes", "on")


class Settings(Struct, frozen=True, kw_only=True):
    """`way` is tty, plain, json or quiet; `parallel` 0 is no limit; `wait` says whether the lock is waited for."""

    dry_run: bool = False
    parallel: int = 0
    way: str = "plain"
    color: bool = False
    descriptor: int = 2  # where progress goes
    wait: bool = True


def is_true(environment: Mapping[str, str], name: str) -> bool:
    return environment.get(name, "").strip().lower() in TRUE


def read_settings(call: Call) -> Settings:
    """Raises UsageError for a value that means nothing, Unsupported for what there is not."""
    options, environment = call.group, call.environment
    progress = call.options if call.options.has("progress") and call.options.given("progress") else options
    if options.on("compatibility") or is_true(environment, "COMPOSE_COMPATIBILITY"):
        raise Unsupported("unsupported: --compatibility: containers are named with hyphens")
    ansi = choice(options, environment, "ansi", "COMPOSE_ANSI", ANSI)
    way = choice(progress, environment, "progress", "COMPOSE_PROGRESS", WAYS)
    descriptor = 1 if is_true(environment, "COMPOSE_STATUS_STDOUT") else 2
    terminal = is_terminal(descriptor) and environment.get("TERM", "dumb") != "dumb"
    if way == "auto":
        way = "tty" if terminal and ansi != "never" else "plain"
    elif way == "tty" and not is_terminal(descriptor):
        raise UsageError("cannot show progress as tty: standard error is not a terminal")
    color = ansi == "always" or (ansi == "auto" and terminal and not environment.get("NO_COLOR"))
    return Settings(
        dry_run=options.on("dry-run") or (call.options.has("dry-run") and call.options.on("dry-run")),
        parallel=_parallel(options, environment),
        way=way,
        color=color,
        descriptor=descriptor,
        wait=choice(Options(()), environment, "lock", "COMPOSE_LOCK", LOCKS) != "refuse",
    )


def choice(options: Options, environment: Mapping[str, str], flag: str, variable: str, allowed: tuple[str, ...]) -> str:
    """The flag, else the variable, else the flag's default."""
    given = options.has(flag) and options.given(flag)
    value = options.text(flag) if given else environment.get(variable, "")
    if not value:
        return options.text(flag) if options.has(flag) else allowed[0]
    if value not in allowed:
        name = f"--{flag}" if given else variable
        raise UsageError(f"invalid value {value!r} for {name}: it must be one of {', '.join(allowed)}", 1)
    return value


def _parallel(options: Options, environment: Mapping[str, str]) -> int:
    if options.given("parallel"):
        found = options.number("parallel")
    else:
        text = environment.get("COMPOSE_PARALLEL_LIMIT", "") or "-1"
        if not text.removeprefix("-").isdigit():
            raise UsageError(f"invalid value {text!r} for COMPOSE_PARALLEL_LIMIT: it must be a number", 1)
        found = int(text)
    return max(found, 0)
