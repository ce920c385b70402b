"""One logical line becomes one instruction: for each keyword one function, listed in KEYWORDS. Pure."""

import difflib
import re
from collections.abc import Callable

import msgspec

from boxship.builder.dockerfile import flags, heredocs, mounts
from boxship.builder.dockerfile.flags import Flags, Kind
from boxship.builder.dockerfile.jsonform import json_words
from boxship.builder.dockerfile.lines import Line
from boxship.builder.dockerfile.pairs import names_and_defaults, pairs_of
from boxship.builder.dockerfile.syntax import (
    Add,
    Arg,
    Cmd,
    Copy,
    Entrypoint,
    Env,
    Expose,
    From,
    HealthCheck,
    Heredoc,
    Instruction,
    Label,
    Location,
    Maintainer,
    OnBuild,
    Run,
    Shell,
    StopSignal,
    User,
    Volume,
    WorkingDirectory,
)
from boxship.errors import Invalid
from boxship.images.changes import duration

RETRIES_LIMIT = 2**31 - 1
_STAGE_NAME = re.compile(r"[a-z][a-z0-9-_.]*")
_GAP = re.compile(r"[\t\v\f\r ]+")
_TEXT, _SWITCH, _MANY = Kind.TEXT, Kind.SWITCH, Kind.MANY
_COPY_FLAGS = {
    "from": _TEXT,
    "chown": _TEXT,
    "chmod": _TEXT,
    "link": _SWITCH,
    "parents": _SWITCH,
    "exclude": _MANY,
}
_ADD_FLAGS = {
    "chown": _TEXT,
    "chmod": _TEXT,
    "link": _SWITCH,
    "exclude": _MANY,
    "checksum": _TEXT,
    "keep-git-dir": _SWITCH,
    "unpack": _SWITCH,
}
FLAGS: dict[str, dict[str, Kind]] = {
    "FROM": {"platform": _TEXT},
    "RUN": {"mount": _MANY, "network": _TEXT, "security": _TEXT, "device": _MANY},
    "COPY": _COPY_FLAGS,
    "ADD": _ADD_FLAGS,
    "HEALTHCHECK": dict.fromkeys(("interval", "timeout", "start-period", "start-interval", "retries"), _TEXT),
}


class Call(msgspec.Struct, frozen=True):
    """One line, taken apart: `rest` is what follows the flags."""

    name: str
    location: Location
    text: str
    rest: str
    flags: Flags
    heredocs: tuple[Heredoc, ...]
    escape: str


def instruction_of(line: Line, escape: str) -> Instruction:
    """The instruction of one line. Raises Invalid with the plain reason."""
    name, rest = flags.command_of(line.text)
    reader = KEYWORDS.get(name)
    if reader is None:
        near = difflib.get_close_matches(name[:40], KEYWORDS, 1)
        written = flags.written_command(line.text)[0][:100]
        raise Invalid(f"unknown instruction: {written}" + (f" (did you mean {near[0]}?)" if near else ""))
    words, rest = flags.taken(rest)
    given = flags.read(words, FLAGS.get(name, {}))
    return reader(Call(name, line.location, line.text, rest, given, line.heredocs, escape))


def _some(call: Call) -> str:
    if not call.rest:
        raise Invalid(f"{call.name} requires at least one argument")
    return call.rest


def _one(call: Call) -> str:
    if not call.rest:
        raise Invalid(f"{call.name} requires exactly one argument")
    return call.rest


def _list(call: Call) -> tuple[str, ...]:
    """Words of the JSON form, or between blanks."""
    words = json_words(call.rest)
    return tuple(_GAP.split(call.rest)) if words is None else words


def _from(call: Call) -> Instruction:
    words = tuple(_GAP.split(call.rest)) if call.rest else ()
    name = ""
    if len(words) == 3 and words[1].lower() == "as":
        name = words[2].lower()
        if not _STAGE_NAME.fullmatch(name):
            raise Invalid(
                f'invalid name for build stage: "{words[2]}", name can\'t start with a number or contain symbols'
            )
    elif len(words) != 1:
        raise Invalid("FROM requires either one or three arguments")
    platform = call.flags.text("platform")
    return From(location=call.location, text=call.text, base=words[0], platform=platform, name=name)


def _arg(call: Call) -> Instruction:
    _some(call)
    return Arg(location=call.location, text=call.text, pairs=names_and_defaults(call.rest, call.escape))


def _env(call: Call) -> Instruction:
    pairs, legacy = pairs_of("ENV", _some(call), call.escape)
    return Env(location=call.location, text=call.text, pairs=pairs, legacy=legacy)


def _label(call: Call) -> Instruction:
    pairs, legacy = pairs_of("LABEL", _some(call), call.escape)
    return Label(location=call.location, text=call.text, pairs=pairs, legacy=legacy)


def _run(call: Call) -> Instruction:
    words = json_words(_some(call))
    network, security = call.flags.text("network"), call.flags.text("security")
    if network not in ("", "default", "none", "host"):
        raise Invalid(f'unsupported network mode "{network}"')
    if security not in ("", "sandbox", "insecure"):
        raise Invalid(f'security "{security}" is not valid')
    if words is not None and not words:
        raise Invalid("RUN requires at least one argument")
    return Run(
        location=call.location,
        text=call.text,
        words=words,
        line=call.rest if words is None else "",
        heredocs=call.heredocs,
        mounts=tuple(mounts.read(text) for text in call.flags.every("mount")),
        network=network,
        security=security,
        devices=call.flags.every("device"),
    )


class _Sources(msgspec.Struct, frozen=True):
    paths: tuple[str, ...]
    heredocs: tuple[Heredoc, ...]
    destination: str


def _sources(call: Call) -> _Sources:
    words = _list(call) if call.rest else ()
    if len(words) < 2:
        raise Invalid(
            f"{call.name} requires at least two arguments, but only {'one was' if words else 'none were'} provided. "
            "Destination could not be determined"
        )
    if heredocs.mark(words[-1]) is not None:
        raise Invalid(f"{call.name} cannot use a heredoc as a destination")
    paths: list[str] = []
    waiting = list(reversed(call.heredocs))
    names: set[str] = set()
    documents: list[Heredoc] = []
    for word in words[:-1]:
        mark = heredocs.mark(word) if waiting else None
        if mark is None:
            paths.append(word)
            continue
        document = waiting.pop()
        if document.name in names:
            raise Invalid(f"{call.name} has two heredocs named {document.name}")
        names.add(document.name)
        documents.append(msgspec.structs.replace(document, content=heredocs.content_of(document)))
    return _Sources(tuple(paths), tuple(documents), words[-1])


def _copy(call: Call) -> Instruction:
    sources = _sources(call)
    origin = call.flags.text("from")
    if "$" in origin:
        raise Invalid(
            "variable expansion is not supported for --from, define a new stage with FROM using ARG from global scope "
            "as a workaround"
        )
    return Copy(
        location=call.location,
        text=call.text,
        sources=sources.paths,
        destination=sources.destination,
        heredocs=sources.heredocs,
        origin=origin,
        owner=call.flags.text("chown"),
        mode=call.flags.text("chmod"),
        link=call.flags.switch("link"),
        parents=call.flags.switch("parents"),
        exclude=call.flags.every("exclude"),
    )


def _add(call: Call) -> Instruction:
    sources = _sources(call)
    return Add(
        location=call.location,
        text=call.text,
        sources=sources.paths,
        destination=sources.destination,
        heredocs=sources.heredocs,
        owner=call.flags.text("chown"),
        mode=call.flags.text("chmod"),
        link=call.flags.switch("link"),
        exclude=call.flags.every("exclude"),
        checksum=call.flags.text("checksum"),
        keep_git_dir=call.flags.switch("keep-git-dir"),
        unpack=call.flags.switches.get("unpack"),
    )


def _cmd(call: Call) -> Instruction:
    words = json_words(call.rest)
    return Cmd(location=call.location, text=call.text, words=words, line=call.rest if words is None else "")


def _entrypoint(call: Call) -> Instruction:
    words = json_words(call.rest)
    return Entrypoint(location=call.location, text=call.text, words=words, line=call.rest if words is None else "")


def _shell(call: Call) -> Instruction:
    words = json_words(call.rest)
    if words is None:
        raise Invalid("SHELL requires the arguments to be in JSON form")
    if not words:
        raise Invalid("SHELL requires at least one argument")
    return Shell(location=call.location, text=call.text, words=words)


def _expose(call: Call) -> Instruction:
    return Expose(location=call.location, text=call.text, ports=tuple(_GAP.split(_some(call))))


def _volume(call: Call) -> Instruction:
    _some(call)
    paths = tuple(path.strip() for path in _list(call))
    if not paths:
        raise Invalid("VOLUME requires at least one argument")
    if "" in paths:
        raise Invalid("VOLUME specified can not be an empty string")
    return Volume(location=call.location, text=call.text, paths=paths)


def _user(call: Call) -> Instruction:
    return User(location=call.location, text=call.text, user=_one(call))


def _working_directory(call: Call) -> Instruction:
    return WorkingDirectory(location=call.location, text=call.text, path=_one(call))


def _stop_signal(call: Call) -> Instruction:
    return StopSignal(location=call.location, text=call.text, signal=_one(call))


def _maintainer(call: Call) -> Instruction:
    return Maintainer(location=call.location, text=call.text, name=_one(call))


def _on_build(call: Call) -> Instruction:
    trigger = flags.command_of(_some(call))[0]
    if trigger == "ONBUILD":
        raise Invalid("Chaining ONBUILD via `ONBUILD ONBUILD` isn't allowed")
    if trigger in ("FROM", "MAINTAINER"):
        raise Invalid(f"{trigger} isn't allowed as an ONBUILD trigger")
    text = call.rest + "".join(f"\n{document.content}{document.name}" for document in call.heredocs)
    instruction_of(Line(call.location, call.rest, call.heredocs), call.escape)  # it has to be right already now
    return OnBuild(location=call.location, text=call.text, trigger=text)


def _health_check(call: Call) -> Instruction:
    kind, rest = flags.command_of(_some(call))
    if kind == "NONE":
        if rest:
            raise Invalid("HEALTHCHECK NONE takes no arguments")
        if call.flags.texts:
            raise Invalid("HEALTHCHECK NONE takes no flags")
        return HealthCheck(location=call.location, text=call.text, none=True)
    if kind != "CMD":
        raise Invalid(f'Unknown type "{kind}" in HEALTHCHECK (try CMD)')
    words = json_words(rest)
    if not rest or words == ():
        raise Invalid("Missing command after HEALTHCHECK CMD")
    times = {
        name: duration(value, name) for name, value in call.flags.texts.items() if name != "retries" and value != ""
    }
    return HealthCheck(
        location=call.location,
        text=call.text,
        words=words,
        line=rest if words is None else "",
        interval=times.get("interval", 0),
        timeout=times.get("timeout", 0),
        start_period=times.get("start-period", 0),
        start_interval=times.get("start-interval", 0),
        retries=_retries(call.flags.text("retries")),
    )


def _retries(text: str) -> int:
    if text == "":
        return 0
    if not re.fullmatch(r"[+-]?\d{1,12}", text, re.ASCII) or int(text) > RETRIES_LIMIT:
        raise Invalid(f"--retries is not a number: {text}")
    if int(text) < 0:
        raise Invalid(f"--retries must be at least 0 (not {int(text)})")
    return int(text)


KEYWORDS: dict[str, Callable[[Call], Instruction]] = {
    "ADD": _add,
    "ARG": _arg,
    "CMD": _cmd,
    "COPY": _copy,
    "ENTRYPOINT": _entrypoint,
    "ENV": _env,
    "EXPOSE": _expose,
    "FROM": _from,
    "HEALTHCHECK": _health_check,
    "LABEL": _label,
    "MAINTAINER": _maintainer,
    "ONBUILD": _on_build,
    "RUN": _run,
    "SHELL": _shell,
    "STOPSIGNAL": _stop_signal,
    "USER": _user,
    "VOLUME": _volume,
    "WORKDIR": _working_directory,
}
