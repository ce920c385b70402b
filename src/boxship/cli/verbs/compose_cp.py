"""boxship compose cp: files between a service's containers and here."""

from __future__ import annotations

from boxship.cli.call import Call, Failure
from boxship.cli.composing.flags import DRY_RUN, INDEX
from boxship.cli.flags import Command, Flag

COMMAND = Command(
    "SERVICE:SRC_PATH DEST_PATH|-  |  SRC_PATH|- SERVICE:DEST_PATH",
    (
        Flag("--all", "Include containers created by the run command"),
        Flag("-a, --archive", "Archive mode (copy all uid/gid information)"),
        DRY_RUN,
        Flag("-L, --follow-link", "Always follow symbol link in SRC_PATH"),
        INDEX,
    ),
    least=2,
    most=2,
    completes=("services", "files"),
)


def run(call: Call) -> int:
    from boxship.cli.composing.observing import first_name
    from boxship.cli.composing.opening import Opening
    from boxship.cli.composing.seen import containers, number_of
    from boxship.cli.copying import split_argument
    from boxship.cli.verbs.cp import copy_in, copy_out

    source, destination = call.arguments
    (source_service, source_path), (service, path) = split_argument(source), split_argument(destination)
    if bool(source_service) == bool(service):
        raise Failure("cannot copy: exactly one of the two must be SERVICE:PATH")
    opening, index = Opening(call), call.options.number("index")
    wanted = source_service or service
    found = containers(opening, opening.project(), (wanted,), one_off=call.options.on("all"))
    found = [item for item in found if not index or number_of(item) == index]
    if not found:
        raise Failure(f"no container found for service {wanted!r}" + (f" with index {index}" if index else ""))
    for item in found[:1] if source_service or source == "-" else found:
        if opening.settings.dry_run:
            call.line(f"DRY-RUN MODE - copy {source} to {destination} ({first_name(item)})")
        elif source_service:
            copy_out(call, item["Id"], source_path, path)
        else:
            copy_in(call, source_path, item["Id"], path)
    return 0
