"""boxship cluster down: end a cluster's processes; its data stays, and so do containers."""

from __future__ import annotations

from boxship.cli.call import Call
from boxship.cli.cluster.places import ROOT_FLAGS
from boxship.cli.flags import Command, Flag

COMMAND = Command(
    "",
    (
        *ROOT_FLAGS,
        Flag("--purge", "Remove this machine's pods, and all that the cluster knows"),
        Flag("-q, --quiet", "Print nothing"),
    ),
    details="Nothing is lost without --purge: pods go on, and boxship cluster up goes on with what there was.",
)


def run(call: Call) -> int:
    from boxship.cli.cluster.bringing import forget, purge, take_down
    from boxship.cli.cluster.places import places_of

    say = (lambda text: None) if call.options.on("quiet") else call.line
    places = places_of(call)
    if call.options.on("purge"):
        purge(places, say)
    take_down(places, say)
    if call.options.on("purge"):
        forget(places, say)
    return 0
