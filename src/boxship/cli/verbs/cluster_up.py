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
        Flag("--port int", f"Port of the API (default {PORT}, or what it was before)"),
        Flag("--kubeconfig string", "Write the cluster into this kubeconfig, beside what is there", completes="files"),
        Flag("--listen string", "Address of the API (default 127.0.0.1, or what it was before)"),
        Flag("--no-engine", "Leave the engine alone: the API by itself"),
        Flag("--no-node", "This machine runs no pods"),
        Flag("--node-name string", "Name of this machine as a node (default: its own)"),
        Flag("--wait", "Return when the API and this machine's node are ready", True),
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
    record = bring_up(
        places,
        port=options.number("port"),
        host=options.text("listen"),
        extra=tuple(call.arguments),
        engine=not options.on("no-engine"),
        wait=options.on("wait"),
        say=say,
    )
    if not (options.on("no-engine") or options.on("no-node")):
        from boxship.cli.cluster.joining import join_here, wait_until_ready

        if options.on("wait"):
            name = join_here(places, record.server, options.text("node-name"))
            wait_until_ready(places, record.server, name)
            say(f"node {name} is ready")
        else:
            say("this machine becomes a node when boxship cluster up waits for the API")
    if options.text("kubeconfig"):
        from boxship.cli.cluster.kubeconfig import merge_into

        if not options.on("wait"):
            raise Failure(
                "cannot write a kubeconfig with --wait=false: the cluster's certificates may not be there yet"
            )
        context = merge_into(places, options.text("kubeconfig"))
        say(f"kubeconfig: context {context} in {options.text('kubeconfig')}")
    say(f"{record.server} after {time.monotonic() - begun:.1f} s")
    return 0
