"""boxship cluster kubeconfig: print the administrator's kubeconfig, or write it into a file beside what is there."""

from __future__ import annotations

from boxship.cli.call import Call, Failure
from boxship.cli.cluster.places import ROOT_FLAGS
from boxship.cli.flags import Command, Flag

COMMAND = Command(
    "",
    (
        *ROOT_FLAGS,
        Flag("--merge", "Write it into KUBECONFIG or ~/.kube/config and make it the current context"),
        Flag("-o, --output string", "Write it into this file, beside what is there", completes="files"),
    ),
)


def run(call: Call) -> int:
    from boxship.cli.cluster.kubeconfig import default_file, merge_into, read_own
    from boxship.cli.cluster.places import places_of

    places = places_of(call)
    target = call.options.text("output")
    if call.options.on("merge"):
        if target:
            raise Failure("--merge and --output say two places: choose one")
        target = default_file(call.environment)
    if not target:
        call.write(read_own(places).decode())
        return 0
    call.line(f"context {merge_into(places, target)} in {target}")
    return 0
