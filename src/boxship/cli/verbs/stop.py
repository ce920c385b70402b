"""boxship stop: ask containers to end, kill them after the grace time."""

from __future__ import annotations

from boxship.cli.call import Call
from boxship.cli.escape import escape
from boxship.cli.flags import Command, Flag
from boxship.cli.targets import for_each

STOP_FLAGS = (
    Flag("-s, --signal string", "Signal to send to the container"),
    Flag("--time int", ""),
    Flag("-t, --timeout int", "Seconds to wait before killing the container"),
)
COMMAND = Command("CONTAINER [CONTAINER...]", STOP_FLAGS, least=1, most=None, completes=("running",))


def run(call: Call) -> int:
    return stop_each(call, "stop")


def stop_each(call: Call, action: str) -> int:
    """`stop` or `restart` every named container."""
    options = call.options
    flag = next((name for name in ("timeout", "time") if options.given(name)), None)
    query = {"signal": options.text("signal") or None, "t": options.number(flag) if flag else None}
    return for_each(call, call.arguments, lambda name: call.daemon.post(f"/containers/{escape(name)}/{action}", query))
