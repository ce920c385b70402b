"""boxship network inspect: everything about networks."""

from boxship.cli.call import Call
from boxship.cli.escape import escape
from boxship.cli.flags import Command, Flag
from boxship.cli.inspecting import FORMAT_FLAG, inspect_each

COMMAND = Command(
    "NETWORK [NETWORK...]",
    (
        FORMAT_FLAG,
        Flag("-v, --verbose", "Verbose output for diagnostics"),
    ),
    least=1,
    most=None,
    completes=("networks",),
)


def run(call: Call) -> int:
    return inspect_each(
        call,
        call.arguments,
        lambda name: call.daemon.get(f"/networks/{escape(name)}", {"verbose": call.options.on("verbose") or None}),
    )
