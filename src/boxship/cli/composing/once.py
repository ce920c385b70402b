"""The verb `run`: a service changed by flags, its dependencies brought up, and one container of it before us."""

from __future__ import annotations

import os
import shlex
import time

from msgspec import structs

from boxship.cli.call import Call, Failure
from boxship.cli.composing.acting import Once
from boxship.cli.composing.build_flags import watcher
from boxship.cli.composing.executing import wants_terminal
from boxship.cli.composing.opening import Opening, orphans_of
from boxship.cli.option_text import pairs_of, variables
from boxship.cli.port_options import publish
from boxship.cli.session import Session, check_terminal, resizer, signaller
from boxship.cli.waiting import Wait
from boxship.compose.model import Project, Service
from boxship.compose.parts import BindOptions, Mount, Port
from boxship.compose.planning.actions import StartContainer
from boxship.compose.planning.options import RunOptions, UpOptions
from boxship.compose.planning.selecting import named
from boxship.compose.planning.up import run as plan_run
from boxship.compose.running.session import image_phases

PULLS = ("policy", "always", "missing", "never", "")
SLUG_BYTES = 6


def run_once(call: Call) -> int:
    options = call.options
    opening = Opening(call)
    name, *command = call.arguments
    if options.on("service-ports") and options.texts("publish"):
        raise Failure("--service-ports and --publish are incompatible")
    attached = not options.on("detach")
    tty = attached and wants_terminal(call)
    check_terminal(attached and options.on("interactive") and options.on("tty"), tty)
    if not (options.on("quiet") or options.on("quiet-build")):
        opening.watch_builds = watcher(opening)
    project = opening.load((name,), grants=True, builds=options.on("build"))
    service = changed_service(call, project, named(project, (name,))[name], command, tty=tty)
    project = structs.replace(project, services={**project.services, name: service})
    opening.host.once = once = Once(
        streams=_streams(service, attached), aliases=options.on("use-aliases"), remove=options.on("rm")
    )
    identifier, made_as = _make(opening, project, name)
    if not identifier:
        return 0  # a dry run
    start = StartContainer(service=name, container=identifier, name=made_as)
    if not attached:
        opening.host.perform(project, start, lambda news: None)
        call.line(identifier)
        return 0
    return _stay(call, opening, project, start, tty=tty, once=once)


def _streams(service: Service, attached: bool) -> tuple[str, ...]:
    if not attached:
        return ()
    return (*(("stdin",) if service.stdin_open else ()), "stdout", "stderr")


def _make(opening: Opening, project: Project, name: str) -> tuple[str, str]:
    """The id and the name of the container, which was not started yet."""
    call = opening.call
    options = call.options
    pull = options.text("pull")
    if pull not in PULLS:
        raise Failure(f"invalid --pull option {pull!r}: it must be one of always, missing, never")
    pull = "" if pull == "policy" else pull
    remove, ignore = orphans_of(call, project)
    now, slug = time.time_ns(), os.urandom(SLUG_BYTES).hex()
    asked = RunOptions(
        service=name,
        slug=slug,
        name=options.text("name"),
        no_deps=options.on("no-deps"),
        build=options.on("build"),
        pull=pull,
        remove_orphans=remove,
        ignore_orphans=ignore,
        now=now,
    )
    images = UpOptions(services=(name,), no_deps=asked.no_deps, build=asked.build, pull=pull, now=now)
    view = opening.view(f"Run {project.name}", quiet=options.on("quiet"))
    outcome = opening.run(
        project, "Run", *image_phases(project, images), lambda seen: plan_run(project, seen, asked), view=view
    )
    if outcome.code:
        raise Failure("", int(outcome.code))
    container = asked.name or f"{project.name}-{name}-run-{slug}"
    return outcome.made.get(container, ""), container


def _stay(call: Call, opening: Opening, project: Project, start: StartContainer, *, tty: bool, once: Once) -> int:
    """The container's streams until it ends. The daemon is asked for the end before there can be one."""
    path = f"/containers/{start.container}"
    response = call.daemon.request(
        "POST",
        f"{path}/attach",
        {"stream": True, **dict.fromkeys(once.streams, True)},
        headers={"Connection": "Upgrade", "Upgrade": "tcp"},
        own_connection=True,
    )
    session = Session(
        response,
        tty=tty,
        stdin="stdin" in once.streams,
        resize=resizer(call, path),
        proxy=signaller(call, start.container),
    )
    wait = Wait(call.daemon, start.container, "removed" if once.remove else "next-exit")
    if not session.run(lambda: opening.host.perform(project, start, lambda news: None), wait.channel):
        return 0  # detached: the container goes on
    return wait.exit_code()


def changed_service(call: Call, project: Project, service: Service, command: list[str], *, tty: bool) -> Service:
    """The service as the flags want it for this one container."""
    options = call.options
    given = variables(options.texts("env"), options.texts("env-from-file"), call.environment)
    environment = {name: value if equals else None for name, equals, value in (word.partition("=") for word in given)}
    deploy = structs.replace(service.deploy, restart_policy=None, replicas=None) if service.deploy else None
    ports = service.ports if options.on("service-ports") else ()
    changes = {
        "deploy": deploy,
        "post_start": (),  # they are for the service; this container may be gone before they could run
        "pre_stop": (),
        "scale": 1,
        "restart": "",
        "container_name": "",
        "ports": (*ports, *published(options.texts("publish"))),
        "environment": {**service.environment, **environment},
        "labels": {**service.labels, **pairs_of(options.texts("label"))},
        "cap_add": (*service.cap_add, *options.texts("cap-add")),
        "cap_drop": (*service.cap_drop, *options.texts("cap-drop")),
        "volumes": _with_mounts(project, service, options.texts("volume")),
        "tty": tty,
        "stdin_open": options.on("interactive") and not options.on("detach"),
    }
    if command:
        changes["command"] = tuple(command)
    if options.given("entrypoint"):
        try:
            changes["entrypoint"] = tuple(shlex.split(options.text("entrypoint")))
        except ValueError as error:
            raise Failure(f"invalid argument for --entrypoint: {str(error).lower()}") from None
        changes["command"] = tuple(command)
    for flag, field in (("user", "user"), ("workdir", "working_dir")):
        if options.text(flag):
            changes[field] = options.text(flag)
    return structs.replace(service, **changes)


def published(words: list[str]) -> tuple[Port, ...]:
    _, bindings = publish(words)
    return tuple(
        Port(
            target=int(port.partition("/")[0]),
            protocol=port.partition("/")[2] or "tcp",
            host_ip=binding.get("HostIp", ""),
            published=binding.get("HostPort", ""),
        )
        for port, found in bindings.items()
        for binding in found
    )


def _with_mounts(project: Project, service: Service, words: list[str]) -> tuple[Mount, ...]:
    added = [mount_of(project, word) for word in words]
    targets = {mount.target for mount in added}
    return (*(mount for mount in service.volumes if mount.target not in targets), *added)


def mount_of(project: Project, word: str) -> Mount:
    """ "SOURCE:TARGET[:ro]" or "TARGET" as a mount; paths are relative to where we are."""
    parts = word.split(":")
    if len(parts) == 1:
        return Mount(type="volume", target=word)
    source, target, *modes = parts
    words = modes[0].split(",") if modes else []
    for mode in words:
        if mode not in ("ro", "rw"):
            raise Failure(f"unsupported: mode {mode!r} in --volume {word!r}: it must be ro or rw")
    if not target.startswith("/") or len(modes) > 1:
        raise Failure(f"invalid argument {word!r} for --volume: it must be SOURCE:TARGET[:ro]")
    if source.startswith((".", "/", "~")):
        path = os.path.abspath(os.path.expanduser(source))
        bind = BindOptions(create_host_path=True)
        return Mount(type="bind", source=path, target=target, read_only="ro" in words, bind=bind)
    if source not in project.volumes:
        raise Failure(f"undefined volume {source!r} in --volume {word!r}: the file has no such volume")
    return Mount(type="volume", source=source, target=target, read_only="ro" in words)
