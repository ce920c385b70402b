"""boxship volume create: make a volume."""

from boxship.cli.call import Call
from boxship.cli.flags import Command, Flag
from boxship.cli.option_text import pairs_of

COMMAND = Command(
    "[VOLUME]",
    (
        Flag("-d, --driver string", "Specify volume driver name", "local"),
        Flag("--label list", "Set metadata for a volume"),
        Flag("-o, --opt list", "Set driver specific options"),
    ),
    most=1,
)


def run(call: Call) -> int:
    options = call.options
    body = {
        "Name": call.arguments[0] if call.arguments else "",
        "Driver": options.text("driver"),
        "DriverOpts": pairs_of(options.texts("opt"), "opt"),
        "Labels": pairs_of(options.texts("label")),
    }
    call.line(call.daemon.post("/volumes/create", body=body)["Name"])
    return 0
