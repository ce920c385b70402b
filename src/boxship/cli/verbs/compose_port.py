"""boxship compose port: the address under which a service's port is published."""

from __future__ import annotations

from boxship.cli.call import Call, Failure
from boxship.cli.composing.flags import DRY_RUN, INDEX
from boxship.cli.flags import Command, Flag

COMMAND = Command(
    "SERVICE PRIVATE_PORT",
    (DRY_RUN, INDEX, Flag("--protocol string", "tcp or udp", "tcp")),
    least=2,
    most=2,
    completes=("services", "none"),
)


def run(call: Call) -> int:
    from boxship.cli.composing.observing import first_name
    from boxship.cli.composing.opening import Opening
    from boxship.cli.composing.seen import one_container
    from boxship.cli.text import host_port

    service, port = call.arguments
    protocol = call.options.text("protocol").lower()
    if not (port.isascii() and port.isdigit()):
        raise Failure(f"invalid port {port!r}: it must be a number")
    opening = Opening(call)
    container = one_container(opening, opening.project(), service, call.options.number("index"), running=False)
    for one in container.get("Ports") or []:
        if one["PrivatePort"] == int(port) and one.get("Type") == protocol and one.get("PublicPort"):
            call.line(host_port(one.get("IP") or "0.0.0.0", one["PublicPort"]))
            return 0
    raise Failure(f"no port {port}/{protocol} for container {first_name(container)}")
