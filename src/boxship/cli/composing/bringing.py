"""The verb `up`: its flags, and whether it ends at once or stays with the containers."""

from __future__ import annotations

from boxship.cli.call import Call, Failure
from boxship.cli.composing.attached import Attachment, Foreground
from boxship.cli.composing.build_flags import watcher
from boxship.cli.composing.making import making_phases, up_options
from boxship.cli.composing.opening import Opening
from boxship.cli.composing.reading import printer_of
from boxship.compose.model import Project
from boxship.compose.planning.selecting import named, select
from boxship.compose.planning.up import up
from boxship.errors import Unsupported

ALONE = (  # flags that mean nothing to a program that goes away
    "abort-on-container-exit",
    "abort-on-container-failure",
    "attach-dependencies",
    "watch",
)


def bring_up(call: Call) -> int:
    check_flags(call)
    opening = Opening(call)
    options = call.options
    if not options.on("quiet-build"):
        opening.watch_builds = watcher(opening)
    project = opening.load(call.arguments, grants=True, builds=options.on("build"))
    asked = up_options(call, project)
    phases = making_phases(call, project, asked, lambda seen: up(project, seen, asked))
    gone = options.on("detach") or options.on("wait") or options.on("no-start") or opening.settings.dry_run
    if gone:
        return opening.change(project, "Up", *phases)
    foreground = Foreground(opening, project, attachment(call, project), printer_of(opening, errors=2))
    if options.on("watch"):
        from boxship.cli.composing.watching import Watching

        watching = Watching(opening, project, call.arguments, prune=True, quiet=False)
        return foreground.run(*phases, after=watching.start)
    return foreground.run(*phases)


def check_flags(call: Call) -> None:
    """Raises for flags that contradict each other, before anything is read."""
    options = call.options
    if options.on("menu"):
        raise Unsupported("unsupported: --menu")
    for gone in ("detach", "wait"):
        for flag in ALONE:
            if options.on(gone) and options.on(flag):
                raise Failure(f"--{gone} and --{flag} are incompatible")
        if options.on(gone) and (options.texts("attach") or options.text("exit-code-from")):
            other = "attach" if options.texts("attach") else "exit-code-from"
            raise Failure(f"--{gone} and --{other} are incompatible")
    if options.on("abort-on-container-exit") and options.on("abort-on-container-failure"):
        raise Failure("--abort-on-container-exit and --abort-on-container-failure are incompatible")
    if options.texts("attach") and options.on("attach-dependencies"):
        raise Failure("cannot combine --attach and --attach-dependencies")
    if options.on("no-start") and options.on("wait"):
        raise Failure("--no-start and --wait are incompatible")


def attachment(call: Call, project: Project) -> Attachment:
    """Whose output is shown, and whose end is the end."""
    options = call.options
    chosen = select(project, call.arguments, dependencies=not options.on("no-deps"))
    every = tuple(chosen.services)
    if options.texts("attach"):
        shown = set(named(chosen, options.texts("attach")))
    elif call.arguments and not options.on("attach-dependencies"):
        shown = set(call.arguments)
    else:
        shown = {name for name, service in chosen.services.items() if service.attach}
    shown -= set(named(chosen, options.texts("no-attach")) if options.texts("no-attach") else ())
    staying = frozenset(every)
    if options.texts("attach"):
        staying = frozenset(shown)
    elif call.arguments and not options.on("attach-dependencies"):
        staying = frozenset(call.arguments)
    code_from = options.text("exit-code-from")
    if code_from:
        named(chosen, (code_from,))
    abort = "exit" if options.on("abort-on-container-exit") or code_from else ""
    if options.on("abort-on-container-failure"):
        abort = "failure"
    timeout = float(options.number("timeout")) if options.given("timeout") else None
    return Attachment(
        shown=frozenset(shown), services=every, staying=staying, code_from=code_from, abort=abort, timeout=timeout
    )
