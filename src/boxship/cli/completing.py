"""What could come next on a command line: verbs, flags, and the names of the daemon's things.

The shells' scripts ask the program itself (`boxship __complete -- WORDS…`), so that they never know less than it does.
A daemon that does not answer means no names, never an error on the user's prompt.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from importlib import import_module

from boxship.cli.call import Call
from boxship.cli.flags import Command, Flag, parse
from boxship.cli.verbs import GROUP_FLAGS, GROUPS, VERBS
from boxship.errors import BoxshipError

FILES = ":files"  # tells the shell's script to complete file names itself
SIGNALS = ("HUP", "INT", "QUIT", "KILL", "USR1", "USR2", "TERM", "STOP", "CONT")


def complete(call: Call, words: Sequence[str], global_flags: Sequence[Flag]) -> list[str]:
    """The candidates for the last of the words, which may be empty."""
    *before, current = words or [""]
    before = _after_globals(before, global_flags)
    if not before:
        names = [name for line in VERBS for name in line[2:3] if name[0] != "_" and " " not in name]
        flags = [f"--{flag.name}" for flag in global_flags]
        return _matching(flags if current.startswith("-") else sorted([*names, *GROUPS]), current)
    if before[0] in GROUP_FLAGS:
        from boxship.cli.program import flags_of_group

        own = flags_of_group(before[0])
        group, rest = before[:1], before[1:]
        previous = _flag_of(own, rest[-1]) if rest and "=" not in rest[-1] else None
        after = _after_globals(rest, own)
        if not after and previous is not None and previous.kind:
            return _matching(_values(call, previous.completes), current)
        if not after and current.startswith("-"):
            return _matching([f"--{flag.name}" for flag in own if flag.help], current)
        call.group = parse(own, rest[: len(rest) - len(after)], interspersed=False)[0]
        before = [*group, *after]
    if before[0] in GROUPS and len(before) == 1:
        verbs = {name.partition(" ")[2] for line in VERBS for name in line[2:] if name.startswith(f"{before[0]} ")}
        return _matching(sorted(verbs), current)
    size = 2 if before[0] in GROUPS else 1
    name = " ".join(before[:size])
    line = next((line for line in VERBS if name in line[2:]), None)
    if line is None:
        return []
    command: Command = import_module(f"boxship.cli.verbs.{line[0]}").COMMAND
    return _matching(_candidates(call, command, before[size:], current), current)


def _after_globals(words: list[str], flags: Sequence[Flag]) -> list[str]:
    position = 0
    while position < len(words) and words[position].startswith("-"):
        flag = _flag_of(flags, words[position])
        position += 2 if flag is not None and flag.kind and "=" not in words[position] else 1
    return words[position:]


def _flag_of(flags: Sequence[Flag], word: str) -> Flag | None:
    if word.startswith("--"):
        return next((flag for flag in flags if flag.name == word[2:].partition("=")[0]), None)
    if word.startswith("-") and len(word) > 1:
        return next((flag for flag in flags if flag.short == word[-1]), None)
    return None


def _candidates(call: Call, command: Command, before: list[str], current: str) -> list[str]:
    previous = _flag_of(command.flags, before[-1]) if before and "=" not in before[-1] else None
    if previous is not None and previous.kind:
        return _values(call, previous.completes)
    positionals, position = 0, 0
    while position < len(before):
        word = before[position]
        flag = _flag_of(command.flags, word)
        if positionals and not command.interspersed:
            flag = None
        elif word.startswith("-"):
            position += 2 if flag is not None and flag.kind and "=" not in word else 1
            continue
        positionals += 1
        position += 1
    if current.startswith("-") and (command.interspersed or not positionals):
        if "=" in current:
            flag = _flag_of(command.flags, current)
            return [f"--{flag.name}={value}" for value in _values(call, flag.completes)] if flag else []
        return [f"--{flag.name}" for flag in command.flags if flag.help] + ["--help"]
    if not command.completes or (command.most is not None and positionals >= command.most):
        return []
    return _values(call, command.completes[min(positionals, len(command.completes) - 1)])


def _values(call: Call, kind: str) -> list[str]:
    fetch = SOURCES.get(kind)
    if fetch is None:
        return []
    if fetch is _files:
        return [FILES]
    try:
        return fetch(call)
    except (BoxshipError, OSError):
        return []


def _containers(call: Call, statuses: str = "") -> list[str]:
    query = {"all": True, "filters": statuses or None}
    found = call.daemon.get("/containers/json", query)
    return [name.removeprefix("/") for container in found for name in container.get("Names") or []]


def _running(call: Call) -> list[str]:
    return _containers(call, '{"status":{"running":true,"paused":true}}')


def _stopped(call: Call) -> list[str]:
    return _containers(call, '{"status":{"exited":true,"created":true}}')


def _images(call: Call) -> list[str]:
    return [name for image in call.daemon.get("/images/json") for name in image.get("RepoTags") or []]


def _networks(call: Call) -> list[str]:
    return [network["Name"] for network in call.daemon.get("/networks")]


def _volumes(call: Call) -> list[str]:
    return [volume["Name"] for volume in call.daemon.get("/volumes").get("Volumes") or []]


def _files(call: Call) -> list[str]:
    return [FILES]


def _services(call: Call) -> list[str]:
    from boxship.cli.composing.opening import service_names

    return service_names(call)


def _projects(call: Call) -> list[str]:
    label = "com.docker.compose.project"
    found = call.daemon.get("/containers/json", {"all": True, "filters": f'{{"label":["{label}"]}}'})
    return sorted({container["Labels"][label] for container in found})


def _copies(call: Call) -> list[str]:
    return [f"{name}:" for name in _containers(call)] + [FILES]


SOURCES: dict[str, Callable[[Call], list[str]]] = {
    "containers": _containers,
    "running": _running,
    "stopped": _stopped,
    "images": _images,
    "networks": _networks,
    "volumes": _volumes,
    "files": _files,
    "copies": _copies,
    "projects": _projects,
    "services": _services,
    "signals": lambda call: list(SIGNALS),
    "shells": lambda call: ["bash", "fish", "zsh"],
}


def _matching(candidates: Sequence[str], current: str) -> list[str]:
    return [word for word in candidates if word == FILES or word.startswith(current)]
