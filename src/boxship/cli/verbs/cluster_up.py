"""boxship cluster up: start what is not running of a cluster, and say what was done."""

from __future__ import annotations

import time

from boxship.cli.call import Call, Failure
from boxship.cli.cluster.places import PORT, ROOT_FLAGS
from boxship.cli.flags import Command, Flag

COMMAND = Command(
    "[-- OPTION...]",
    (
        *ROOT_FLAGS,
        Flag("--port int", f"Port of the API on 127.0.0.1 (default {PORT}, or what it was before)"),
        Flag("--kubeconfig string", "Write the cluster into this kubeconfig, beside what is there", completes="files"),
        Flag("--no-engine", "Leave the engine alone: the API by itself"),
        Flag("--wait", "Return when the API is ready", True),
        Flag("-q, --quiet", "Print nothing"),
    ),
    most=None,
    details="What follows -- is given to boxship-control, such as --store etcd:https://10.0.0.1:2379.",
)


def run(call: Call) -> int:
    from boxship.cli.cluster.bringing import bring_up
    from boxship.cli.cluster.places import places_of

    options = call.options
    if any(not word.startswith("--") for word in call.arguments[:1]):
        raise Failure(f"unknown argument {call.arguments[0]!r}: options of boxship-control follow --")
    begun = time.monotonic()
    say = (lambda text: None) if options.on("quiet") else call.line
    places = places_of(call)
    port = bring_up(
        places,
        port=options.number("port"),
        extra=tuple(call.arguments),
        engine=not options.on("no-engine"),
        wait=options.on("wait"),
        say=say,
    )
    if options.text("kubeconfig"):
        from boxship.cli.cluster.kubeconfig import merge_into

        if not options.on("wait"):
            raise Failure(
                "cannot write a kubeconfig with --wait=false: the cluster's certificates may not be there yet"
            )
        context = merge_into(places, options.text("kubeconfig"))
        say(f"kubeconfig: context {context} in {options.text('kubeconfig')}")
    say(f"https://127.0.0.1:{port} after {time.monotonic() - begun:.1f} s")
    return 0
