"""Instructions that change only the config, and WORKDIR. Pure: each changes a stage's state and adds one step."""

import re
from collections.abc import Callable
from typing import Any

from boxship.builder import history
from boxship.builder.dockerfile.syntax import (
    Arg,
    Cmd,
    Command,
    Entrypoint,
    Env,
    Expose,
    HealthCheck,
    Instruction,
    Label,
    Maintainer,
    OnBuild,
    Shell,
    StopSignal,
    User,
    Volume,
    WorkingDirectory,
)
from boxship.builder.graph import FolderAction
from boxship.builder.operations import FolderOperation
from boxship.builder.state import StageState, environment_tuple
from boxship.errors import Invalid
from boxship.spec.image import ImageHealthCheck
from boxship.spec.signals import signal_number

# What stands before the last colon, an address and the host's ports, is allowed and means nothing; a check warns.
_PORT = re.compile(
    r"(?:(?:(?:\d{1,3}(?:\.\d{1,3}){3}|\[[\da-f:.]+\])?:)?(?:\d+(?:-\d+)?)?:)?"
    r"(\d{1,9})(?:-(\d{1,9}))?(?:/(tcp|udp|sctp))?",
    re.IGNORECASE,
)
HIGHEST_PORT = 65535


def _words(state: StageState, instruction: Command | HealthCheck) -> tuple[str, ...]:
    if instruction.words is not None:
        return instruction.words
    return (*state.shell, instruction.line)


def _env(state: StageState, instruction: Env) -> None:
    texts = [text for pair in instruction.pairs for text in pair]
    values = state.words(texts)
    pairs = list(zip(values[::2], values[1::2], strict=True))
    for name, _ in pairs:
        if not name:
            raise Invalid("ENV names can not be blank")
    state.set(Env=environment_tuple(state.environment | dict(pairs)))
    state.emit(instruction, history.pairs("ENV", pairs))


def _arg(state: StageState, instruction: Arg) -> None:
    shown: list[tuple[str, str | None]] = []
    for written, default in instruction.pairs:
        name = state.word(written)
        if not name:
            raise Invalid("ARG names can not be blank")
        value = state.scope.given.get(name)
        if value is None:
            value = state.scope.default(name) if default is None else state.word(default)
        shown.append((name, value))
    for name, value in shown:
        state.declare(name, value)
    state.emit(instruction, history.pairs("ARG", shown))


def _label(state: StageState, instruction: Label) -> None:
    values = state.words([text for pair in instruction.pairs for text in pair])
    pairs = list(zip(values[::2], values[1::2], strict=True))
    state.set(Labels={**(state.config.Labels or {}), **dict(pairs)})
    state.emit(instruction, history.pairs("LABEL", pairs))


def _cmd(state: StageState, instruction: Cmd) -> None:
    words = _words(state, instruction)
    state.set(Cmd=words)
    state.command_set = True
    state.emit(instruction, f"CMD {history.words(words)}")


def _entrypoint(state: StageState, instruction: Entrypoint) -> None:
    words = _words(state, instruction)
    state.set(Entrypoint=words)
    if not state.command_set:  # the one below was meant for another program
        state.set(Cmd=None)
    state.emit(instruction, f"ENTRYPOINT {history.words(words)}")


def _health_check(state: StageState, instruction: HealthCheck) -> None:
    if instruction.none:
        test: tuple[str, ...] = ("NONE",)
    elif instruction.words is not None:
        test = ("CMD", *instruction.words)
    else:
        test = ("CMD-SHELL", instruction.line)
    check = ImageHealthCheck(
        Test=test,
        Interval=instruction.interval,
        Timeout=instruction.timeout,
        StartPeriod=instruction.start_period,
        StartInterval=instruction.start_interval,
        Retries=instruction.retries,
    )
    state.set(Healthcheck=check)
    state.emit(instruction, history.health_check(check))


def _shell(state: StageState, instruction: Shell) -> None:
    state.set(Shell=instruction.words)
    state.emit(instruction, history.plain_list("SHELL", instruction.words))


def _expose(state: StageState, instruction: Expose) -> None:
    ports: dict[str, dict[str, Any]] = {}
    for word in state.split(instruction.ports):
        match = _PORT.fullmatch(word)
        first, last = (int(match[1]), int(match[2] or match[1])) if match else (0, -1)
        if match is None or not 0 < first <= last <= HIGHEST_PORT:
            raise Invalid(f"invalid containerPort: {word}")
        ports |= {f"{port}/{(match[3] or 'tcp').lower()}": {} for port in range(first, last + 1)}
    state.set(ExposedPorts={**(state.config.ExposedPorts or {}), **ports})
    state.emit(instruction, history.expose(ports))


def _volume(state: StageState, instruction: Volume) -> None:
    paths = state.words(instruction.paths)
    for path in paths:
        if not path.strip():
            raise Invalid("VOLUME specified can not be an empty string")
    state.set(Volumes={**(state.config.Volumes or {}), **{path: {} for path in paths}})
    state.emit(instruction, history.plain_list("VOLUME", paths))


def _user(state: StageState, instruction: User) -> None:
    user = state.word(instruction.user)
    if not user:
        raise Invalid("USER requires exactly one argument, and it is empty")
    state.set(User=user)
    state.emit(instruction, f"USER {user}")


def _working_directory(state: StageState, instruction: WorkingDirectory) -> None:
    path = state.absolute(state.word(instruction.path)).rstrip("/") or "/"
    state.set(WorkingDir=path)
    operation = FolderOperation(path=path, owner=state.config.User, epoch=state.request.epoch)
    text = f"WORKDIR {path}"
    if path == "/":
        state.number += 1
        state.emit(instruction, text)
    else:
        state.emit(instruction, text, FolderAction(operation), shown=text)


def _stop_signal(state: StageState, instruction: StopSignal) -> None:
    signal = state.word(instruction.signal)
    signal_number(signal)  # refuses what is none
    state.set(StopSignal=signal)
    state.emit(instruction, f"STOPSIGNAL {signal}")


def _on_build(state: StageState, instruction: OnBuild) -> None:
    state.set(OnBuild=(*(state.config.OnBuild or ()), instruction.trigger))
    state.emit(instruction, "")


def _maintainer(state: StageState, instruction: Maintainer) -> None:
    state.author = state.word(instruction.name)
    state.emit(instruction, f"MAINTAINER {state.author}")


CONFIGURING: dict[type[Instruction], Callable[[StageState, Any], None]] = {
    Arg: _arg,
    Cmd: _cmd,
    Entrypoint: _entrypoint,
    Env: _env,
    Expose: _expose,
    HealthCheck: _health_check,
    Label: _label,
    Maintainer: _maintainer,
    OnBuild: _on_build,
    Shell: _shell,
    StopSignal: _stop_signal,
    User: _user,
    Volume: _volume,
    WorkingDirectory: _working_directory,
}
