"""RUN as an operation: the command, its environment, its mounts. Pure."""

from collections.abc import Callable, Mapping

import msgspec

from boxship.builder import history
from boxship.builder.dockerfile import heredocs, mounts
from boxship.builder.dockerfile.syntax import Run, RunMount
from boxship.builder.graph import RunAction
from boxship.builder.operations import InlineFile, RunOperation, StepMount
from boxship.builder.state import StageState, environment_tuple
from boxship.builder.variables import DEFAULT_PATH, proxies
from boxship.errors import Denied, Invalid, Unsupported
from boxship.spec.quantity import parse_bytes

PIPES = "/dev/pipes"
SECRETS = "/run/secrets"
AGENT = "/run/buildkit/ssh_agent"
NETWORKS = ("", "default", "none", "host")


class _Mounted(msgspec.Struct):
    """What the mounts of one RUN add up to."""

    mounts: list[StepMount]
    inputs: list[str]
    secrets: dict[str, str]
    environment: dict[str, str]


def run(state: StageState, instruction: Run, offers: Callable[[str], bool]) -> None:
    """Add the step of a RUN; `offers` says which ssh agents the client has. Raises Invalid, or Denied for what the
    request does not allow."""
    if instruction.devices:
        raise Unsupported("unsupported: RUN --device")
    arguments, files = _command(state, instruction)
    mounted = _mounts(state, instruction, offers)
    values = {name: value for name, value in state.arguments.items() if value is not None}
    environment = {"PATH": DEFAULT_PATH} | values | mounted.environment | state.environment
    request = state.request
    operation = RunOperation(
        arguments=arguments,
        environment=environment_tuple(environment),
        secrets=mounted.secrets,
        working_directory=state.working_directory,
        user=state.config.User,
        files=files,
        mounts=tuple(mounted.mounts),
        network=_network(state, instruction),
        insecure=_insecure(state, instruction),
        hostname=state.scope.given.get("BUILDKIT_SANDBOX_HOSTNAME") or "buildkitsandbox",
        extra_hosts=request.extra_hosts,
        shm_size=request.shm_size,
        ulimits=request.ulimits,
        resources=request.resources,
        cgroup_parent=request.cgroup_parent,
        host_ca=request.host_ca,
        epoch=request.epoch,
    )
    given = proxies(state.scope.given)
    hidden = {name: value for name, value in given.items() if name not in environment}
    shown = {name: state.variables.get(name, "") for name in state.arguments}
    state.emit(
        instruction,
        history.run(arguments, shown),
        RunAction(operation, tuple(mounted.inputs), hidden),
        shown=_shown(instruction),
        command=" ".join(arguments),
    )


def _command(state: StageState, instruction: Run) -> tuple[tuple[str, ...], tuple[InlineFile, ...]]:
    """What is executed. A script with an interpreter of its own is a file that the shell starts."""
    if instruction.words is not None:
        return instruction.words, ()
    script = heredocs.script_file(instruction)
    if script is not None:
        content = heredocs.content_of(script).encode(errors="surrogateescape")
        return (*state.shell, f"{PIPES}/{script.name}"), (InlineFile(script.name, content),)
    return (*state.shell, heredocs.shell_text(instruction)), ()


def _shown(instruction: Run) -> str:
    """The instruction in one line; a here-document's first line follows in brackets."""
    text = instruction.text.partition("\n")[0] if instruction.heredocs else instruction.text
    if not instruction.heredocs:
        return text
    lines = instruction.heredocs[0].content.strip("\n").split("\n")
    return f"{text} ({lines[0]}{'...' if len(lines) > 1 else ''})"


def _network(state: StageState, instruction: Run) -> str:
    asked = state.word(instruction.network) if instruction.network else ""
    if asked not in NETWORKS:
        raise Invalid(f'unsupported network mode "{asked}"')
    request = state.request
    if asked == "host" and not (request.host_network or request.network == "host"):
        raise Denied("network.host is not allowed")
    return asked if asked not in ("", "default") else request.network or "default"


def _insecure(state: StageState, instruction: Run) -> bool:
    if instruction.security not in ("", "sandbox", "insecure"):
        raise Invalid(f'security "{instruction.security}" is not valid')
    insecure = instruction.security == "insecure"
    if insecure and not state.request.insecure:
        raise Denied("security.insecure is not allowed")
    return insecure


def _mounts(state: StageState, instruction: Run, offers: Callable[[str], bool]) -> _Mounted:
    mounted = _Mounted([], [], {}, {})
    for written in instruction.mounts:
        mount = mounts.expanded(written, state.word)
        if mount.kind == "ssh":
            _ssh(state, mount, mounted, offers)
        elif mount.kind in KINDS:
            KINDS[mount.kind](state, mount, mounted)
        else:
            raise Invalid(f'unsupported mount type "{mount.kind}"')
    return mounted


def _target(state: StageState, mount: RunMount, default: str = "") -> str:
    text = mount.target or default
    if not text:
        raise Invalid(f"mount of type {mount.kind} needs a target")
    target = state.absolute(text).rstrip("/")
    if not target:
        raise Invalid(f"invalid mount target {text!r}")
    return target


def _last(path: str) -> str:
    return path.rstrip("/").rpartition("/")[2]


def _add(mounted: _Mounted, mount: StepMount, step: str = "") -> None:
    mounted.mounts.append(mount)
    mounted.inputs.append(step)


def _bind(state: StageState, mount: RunMount, mounted: _Mounted) -> None:
    made = StepMount(
        kind="bind",
        target=_target(state, mount),
        source=mount.source or "/",
        read_only=mount.read_only is not False,
    )
    _add(mounted, made, state.inputs.of(state, mount.origin))


def _cache(state: StageState, mount: RunMount, mounted: _Mounted) -> None:
    target = _target(state, mount)
    identifier = mount.identifier or target
    namespace = state.scope.given.get("BUILDKIT_CACHE_MOUNT_NS", "")
    made = StepMount(
        kind="cache",
        target=target,
        source=mount.source or "/",
        read_only=bool(mount.read_only),
        identifier=f"{namespace}/{identifier}" if namespace else identifier,
        sharing=mount.sharing,
        mode=int(mount.mode, 8) if mount.mode else 0o755,
        uid=int(mount.uid or "0"),
        gid=int(mount.gid or "0"),
    )
    _add(mounted, made, state.inputs.of(state, mount.origin) if mount.origin else "")


def _tmpfs(state: StageState, mount: RunMount, mounted: _Mounted) -> None:
    size = parse_bytes(mount.size or "0")
    made = StepMount(kind="tmpfs", target=_target(state, mount), size=size, read_only=bool(mount.read_only))
    _add(mounted, made)


def _secret(state: StageState, mount: RunMount, mounted: _Mounted) -> None:
    identifier = mount.identifier or mount.source or _last(mount.target)
    if not identifier:
        if not mount.environment:
            raise Invalid("one of source, target required")
        identifier = mount.environment
    content = state.request.secrets.get(identifier)
    if content is None:
        if mount.required:
            raise Invalid(f"secret {identifier}: not found")
        return
    if mount.environment:
        text = content.decode(errors="surrogateescape")
        if "\0" in text:
            raise Invalid(f"secret {identifier}: a variable cannot hold a zero byte")
        mounted.secrets[mount.environment] = text
        if not mount.target:
            return
    made = StepMount(
        kind="secret",
        target=_target(state, mount, f"{SECRETS}/{_last(identifier)}"),
        identifier=identifier,
        content=content,
        read_only=True,
        mode=int(mount.mode, 8) if mount.mode else 0o400,
        uid=int(mount.uid or "0"),
        gid=int(mount.gid or "0"),
    )
    _add(mounted, made)


def _ssh(state: StageState, mount: RunMount, mounted: _Mounted, offers: Callable[[str], bool]) -> None:
    identifier = mount.identifier or "default"
    count = sum(known.kind == "ssh" for known in mounted.mounts)
    target = _target(state, mount, f"{AGENT}.{count}")
    if not offers(identifier):
        if mount.required:
            raise Invalid(f'no SSH key "{identifier}" forwarded from the client')
        return
    mounted.environment.setdefault("SSH_AUTH_SOCK", target)
    made = StepMount(
        kind="ssh",
        target=target,
        read_only=bool(mount.read_only),
        identifier=identifier,
        mode=int(mount.mode, 8) if mount.mode else 0o600,
        uid=int(mount.uid or "0"),
        gid=int(mount.gid or "0"),
    )
    _add(mounted, made)


KINDS: Mapping[str, Callable[[StageState, RunMount, _Mounted], None]] = {
    "bind": _bind,
    "cache": _cache,
    "secret": _secret,
    "tmpfs": _tmpfs,
}
