"""Dockerfile instructions that change an image's config: what `commit` and `import` accept as changes. Pure.

FROM, RUN, COPY and the like are refused with Docker's text; each instruction has one function, listed in INSTRUCTIONS.
"""

import posixpath
import re
from collections.abc import Callable, Sequence
from typing import Any

import msgspec

from boxship.errors import Invalid
from boxship.images.words import expand, split
from boxship.spec.duration import LONGEST
from boxship.spec.image import ExecutionConfig, ImageHealthCheck

DEFAULT_SHELL = ("/bin/sh", "-c")
KNOWN = frozenset("ADD ARG COPY FROM MAINTAINER RUN".split())
_PORT = re.compile(r"(\d{1,5})(?:-(\d{1,5}))?(?:/(tcp|udp|sctp))?", re.IGNORECASE)
DURATION_CHARACTERS = 100
_UNITS = {"ns": 1, "us": 1_000, "µs": 1_000, "ms": 1_000_000, "s": 10**9, "m": 60 * 10**9, "h": 3600 * 10**9}
_DURATION = re.compile(r"(?:\d+(?:\.\d*)?|\.\d+)(?:ns|us|µs|ms|s|m|h)")
_replace = msgspec.structs.replace


def apply(config: ExecutionConfig, changes: Sequence[str]) -> ExecutionConfig:
    """The config after the instructions, in order. Raises Invalid with Docker's texts."""
    command_given = False
    for change in changes:
        for line in _lines(change):
            word, _, rest = line.partition(" ") if " " in line else line.partition("\t")
            name = word.upper()
            if name in KNOWN:
                raise Invalid(f"{name} is not a valid change command")
            if name not in INSTRUCTIONS:
                raise Invalid(f"unknown instruction: {name}")
            rest = rest.strip()
            if not rest and name not in ("CMD", "ENTRYPOINT"):
                raise Invalid(f"{name} requires at least one argument")
            config = INSTRUCTIONS[name](config, rest)
            if name == "CMD":
                command_given = True
            elif name == "ENTRYPOINT" and not command_given:
                config = _replace(config, Cmd=None)  # the inherited command belonged to the inherited entrypoint
    return config


def _lines(change: str) -> list[str]:
    """The instructions of one change: lines, continued by a backslash; comments and blanks taken away."""
    joined = re.sub(r"\\[ \t]*\r?\n", "", change)
    lines = (line.strip() for line in joined.splitlines())
    return [line for line in lines if line and not line.startswith("#")]


def _environment(config: ExecutionConfig) -> dict[str, str]:
    return dict(entry.partition("=")[::2] for entry in config.Env or ())


def _expand(config: ExecutionConfig, text: str) -> str:
    return expand(text, _environment(config))


def _json_words(text: str) -> tuple[str, ...] | None:
    """The words of the JSON form, or None where it is not one."""
    if not text.startswith("["):
        return None
    try:
        return msgspec.json.decode(text.encode(), type=tuple[str, ...])
    except msgspec.MsgspecError:
        return None


def _command(config: ExecutionConfig, text: str) -> tuple[str, ...] | None:
    words = _json_words(text)
    if words is not None:
        return words
    return (*(config.Shell or DEFAULT_SHELL), text) if text else None


def _cmd(config: ExecutionConfig, text: str) -> ExecutionConfig:
    return _replace(config, Cmd=_command(config, text))


def _entrypoint(config: ExecutionConfig, text: str) -> ExecutionConfig:
    return _replace(config, Entrypoint=_command(config, text) or None)


def _pairs(config: ExecutionConfig, text: str, name: str) -> list[tuple[str, str]]:
    """`K=V K2="V 2"`, or the old form `K the rest`."""
    words = split(text)
    if "=" not in words[0]:
        key, _, rest = text.replace("\t", " ", 1).partition(" ")
        if not rest.strip():
            raise Invalid(f"{name} must have two arguments")
        return [(_expand(config, key), _expand(config, rest.strip()))]
    pairs = []
    for word in words:
        key, equals, value = word.partition("=")
        if not equals:
            raise Invalid(f"Syntax error - can't find = in {word!r}. Must be of the form: name=value")
        key = _expand(config, key)
        if not key:
            raise Invalid(f"{name} names can not be blank")
        pairs.append((key, _expand(config, value)))
    return pairs


def _env(config: ExecutionConfig, text: str) -> ExecutionConfig:
    values = _environment(config) | dict(_pairs(config, text, "ENV"))
    return _replace(config, Env=tuple(f"{key}={value}" for key, value in values.items()))


def _label(config: ExecutionConfig, text: str) -> ExecutionConfig:
    return _replace(config, Labels=(config.Labels or {}) | dict(_pairs(config, text, "LABEL")))


def _expose(config: ExecutionConfig, text: str) -> ExecutionConfig:
    ports: dict[str, dict[str, Any]] = dict(config.ExposedPorts or {})
    for word in split(_expand(config, text)):
        match = _PORT.fullmatch(word)
        first, last = (int(match[1]), int(match[2] or match[1])) if match else (0, -1)
        if match is None or not 0 < first <= last <= 65535:
            raise Invalid(f"invalid containerPort: {word}")
        for port in range(first, last + 1):
            ports[f"{port}/{(match[3] or 'tcp').lower()}"] = {}
    return _replace(config, ExposedPorts=ports)


def _user(config: ExecutionConfig, text: str) -> ExecutionConfig:
    return _replace(config, User=_single(config, text, "USER"))


def _single(config: ExecutionConfig, text: str, name: str) -> str:
    if len(split(text)) != 1:
        raise Invalid(f"{name} requires exactly one argument")
    return _expand(config, text)


def _volume(config: ExecutionConfig, text: str) -> ExecutionConfig:
    words = _json_words(text)
    volumes: dict[str, dict[str, Any]] = dict(config.Volumes or {})
    for word in split(text) if words is None else words:
        target = _expand(config, word).strip()
        if not target:
            raise Invalid("VOLUME specified can not be an empty string")
        volumes[target] = {}
    return _replace(config, Volumes=volumes)


def _workdir(config: ExecutionConfig, text: str) -> ExecutionConfig:
    path = posixpath.join("/", config.WorkingDir, _expand(config, text))
    return _replace(config, WorkingDir="/" + posixpath.normpath(path).lstrip("/"))


def _stop_signal(config: ExecutionConfig, text: str) -> ExecutionConfig:
    signal = _single(config, text, "STOPSIGNAL")
    if not re.fullmatch(r"(?:SIG)?[A-Z][A-Z0-9+-]*|[1-9]\d?", signal):
        raise Invalid(f"invalid signal: {signal}")
    return _replace(config, StopSignal=signal)


def _shell(config: ExecutionConfig, text: str) -> ExecutionConfig:
    words = _json_words(text)
    if not words:
        raise Invalid("SHELL requires the arguments to be in JSON form")
    return _replace(config, Shell=words)


def _on_build(config: ExecutionConfig, text: str) -> ExecutionConfig:
    trigger = text.split(None, 1)[0].upper()
    if trigger == "ONBUILD":
        raise Invalid("Chaining ONBUILD via `ONBUILD ONBUILD` isn't allowed")
    if trigger in ("FROM", "MAINTAINER"):
        raise Invalid(f"{trigger} isn't allowed as an ONBUILD trigger")
    return _replace(config, OnBuild=(*(config.OnBuild or ()), text))


def _health_check(config: ExecutionConfig, text: str) -> ExecutionConfig:
    options, text = _options(text)
    kind, _, rest = text.partition(" ")
    if kind.upper() == "NONE":
        if rest.strip() or options:
            raise Invalid("HEALTHCHECK NONE takes no arguments")
        return _replace(config, Healthcheck=ImageHealthCheck(Test=("NONE",)))
    if kind.upper() != "CMD":
        raise Invalid(f"Unknown type {kind!r} in HEALTHCHECK (try CMD)")
    rest = rest.strip()
    if not rest:
        raise Invalid("Missing command after HEALTHCHECK CMD")
    words = _json_words(rest)
    test = ("CMD", *words) if words is not None else ("CMD-SHELL", rest)
    fields = {
        "interval": "Interval",
        "timeout": "Timeout",
        "start-period": "StartPeriod",
        "start-interval": "StartInterval",
    }
    values: dict[str, int] = {}
    for name, value in options.items():
        if name in fields:
            values[fields[name]] = duration(value, name)
        elif name == "retries":
            if not re.fullmatch(r"\d{1,9}", value):
                raise Invalid(f"--retries must be at least 0 (not {value})")
            values["Retries"] = int(value)
        else:
            raise Invalid(f"unknown flag: {name}")
    return _replace(config, Healthcheck=ImageHealthCheck(Test=test, **values))


def _options(text: str) -> tuple[dict[str, str], str]:
    """Leading --name=value words, and the rest."""
    options: dict[str, str] = {}
    while match := re.match(r"--([a-z-]+)=(\S*)\s*", text):
        options[match[1]] = match[2]
        text = text[match.end() :]
    return options, text


def duration(text: str, name: str) -> int:
    """Nanoseconds of "1m30s", as Go reads it; nothing below a millisecond except 0."""
    if text == "0":
        return 0
    parts = _DURATION.findall(text) if len(text) <= DURATION_CHARACTERS else []
    if not parts or "".join(parts) != text:
        raise Invalid(f"invalid duration for {name}: {text[:DURATION_CHARACTERS]!r}")
    total = 0.0
    for part in parts:
        number = part.rstrip("nuµmsh")
        total += float(number) * _UNITS[part[len(number) :]]
    if 0 < total < 1_000_000:
        raise Invalid(f"interval {text!r} cannot be less than 1ms")
    if total > LONGEST:
        raise Invalid(f"invalid duration for {name}: {text!r}")
    return int(total)


INSTRUCTIONS: dict[str, Callable[[ExecutionConfig, str], ExecutionConfig]] = {
    "CMD": _cmd,
    "ENTRYPOINT": _entrypoint,
    "ENV": _env,
    "EXPOSE": _expose,
    "HEALTHCHECK": _health_check,
    "LABEL": _label,
    "ONBUILD": _on_build,
    "SHELL": _shell,
    "STOPSIGNAL": _stop_signal,
    "USER": _user,
    "VOLUME": _volume,
    "WORKDIR": _workdir,
}
