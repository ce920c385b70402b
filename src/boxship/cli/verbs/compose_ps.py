"""boxship compose ps: the project's containers as a table."""

from __future__ import annotations

from boxship.cli.call import Call, Failure
from boxship.cli.composing.flags import DRY_RUN
from boxship.cli.flags import Command, Flag, UsageError

STATES = ("paused", "restarting", "removing", "running", "dead", "created", "exited")
COMMAND = Command(
    "[SERVICE...]",
    (
        Flag("-a, --all", "Show all stopped containers (including those created by the run command)"),
        DRY_RUN,
        Flag("--filter string", "Filter services by a property (supported filters: status)"),
        Flag("--format string", "Format output: 'table', 'table TEMPLATE', 'json' or a Go template", "table"),
        Flag("--no-trunc", "Don't truncate output"),
        Flag("--orphans", "Include orphaned services (not declared by project)", True),
        Flag("-q, --quiet", "Only display IDs"),
        Flag("--services", "Display services"),
        Flag("--status list", f"Filter services by status. Values: {', '.join(STATES)}"),
    ),
    most=None,
    completes=("services",),
)


def run(call: Call) -> int:
    from boxship.cli.composing.opening import Opening
    from boxship.cli.composing.seen import containers, service_of
    from boxship.cli.composing.tables import containers_listing

    options = call.options
    wanted = states_of(options.texts("status"), options.text("filter"))
    opening = Opening(call)
    project = opening.project()
    every = options.on("all")
    found = containers(opening, project, call.arguments, stopped=every or bool(wanted), one_off=every)
    if not options.on("orphans"):
        known = {*project.services, *project.disabled}
        found = [item for item in found if service_of(item) in known]
    if wanted:
        found = [item for item in found if item.get("State") in wanted]
    if options.on("quiet"):
        call.write("".join(f"{item['Id']}\n" for item in found))
    elif options.on("services"):
        call.write("".join(f"{name}\n" for name in sorted({service_of(item) for item in found})))
    else:
        call.write(containers_listing(options.on("no-trunc")).render(found, options.text("format")))
    return 0


def states_of(words: list[str], filtered: str) -> set[str]:
    """What --status and --filter ask for. Raises what names a wrong one."""
    found = set(words)
    if filtered:
        name, equals, value = filtered.partition("=")
        if not equals:
            raise UsageError("arguments to --filter should be in form KEY=VAL", 1)
        if name == "source":
            raise Failure("unsupported: --filter source")
        if name != "status":
            raise Failure(f"unknown filter {name}")
        found.add(value)
    for state in found:
        if state not in STATES:
            raise UsageError(f"unknown status {state!r}: it must be one of {', '.join(STATES)}", 1)
    return found
