"""boxship logs: what a container wrote; or, as TYPE/NAME, a pod of the cluster."""

from __future__ import annotations

import sys

from boxship.cli.call import Call, Failure
from boxship.cli.escape import escape
from boxship.cli.flags import Command, Flag
from boxship.cli.kube.config import CONFIG_FLAGS
from boxship.cli.times import timestamp
from boxship.wire.stream import STDERR, FrameReader

COMMAND = Command(
    "CONTAINER | TYPE/NAME",
    (
        *(flag for flag in CONFIG_FLAGS if flag.name != "namespace"),
        Flag("-c, --container string", "Of a pod: this container of it"),
        Flag("--namespace string", "Of a pod: its namespace"),
        Flag("-p, --previous", "Of a pod: the container before the last restart"),
        Flag("--details", "Show extra details provided to logs"),
        Flag("-f, --follow", "Follow log output"),
        Flag("--since string", "Show logs since timestamp (2013-01-02T13:23:37Z) or relative (42m for 42 minutes)"),
        Flag("-n, --tail string", "Number of lines to show from the end of the logs", "all"),
        Flag("-t, --timestamps", "Show timestamps"),
        Flag("--until string", "Show logs before a timestamp (2013-01-02T13:23:37Z) or relative (42m for 42 minutes)"),
    ),
    least=1,
    most=1,
    completes=("containers",),
)


def run(call: Call) -> int:
    options = call.options
    if "/" in call.arguments[0]:
        from boxship.cli.kube.pods import show_logs

        return show_logs(call)
    container = call.daemon.get(f"/containers/{escape(call.arguments[0])}/json")
    query = {
        "stdout": True,
        "stderr": True,
        "follow": options.on("follow") or None,
        "since": timestamp(options.text("since")) if options.text("since") else None,
        "until": timestamp(options.text("until")) if options.text("until") else None,
        "timestamps": options.on("timestamps") or None,
        "details": options.on("details") or None,
        "tail": options.text("tail"),
    }
    response = call.daemon.request("GET", f"/containers/{container['Id']}/logs", query)
    outputs = {STDERR: sys.stderr.buffer}
    frames = None if container["Config"]["Tty"] else FrameReader()
    for piece in response.pieces():
        if frames is None:
            sys.stdout.buffer.write(piece)
        else:
            try:
                for stream, payload in frames.feed(piece):
                    outputs.get(stream, sys.stdout.buffer).write(payload)
            except ValueError as error:
                raise Failure(f"cannot read the logs: {error}") from None
        sys.stdout.buffer.flush()
        sys.stderr.buffer.flush()
    return 0
