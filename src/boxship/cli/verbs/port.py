"""boxship port: the published ports of a container."""

from __future__ import annotations

from boxship.cli.call import Call, Failure
from boxship.cli.escape import escape
from boxship.cli.flags import Command
from boxship.cli.text import host_port

COMMAND = Command("CONTAINER [PRIVATE_PORT[/PROTO]]", least=1, most=2, completes=("running", "none"))


def run(call: Call) -> int:
    name, *wanted = call.arguments
    container = call.daemon.get(f"/containers/{escape(name)}/json")
    ports = (container.get("NetworkSettings") or {}).get("Ports") or {}
    if wanted:
        number, slash, protocol = wanted[0].partition("/")
        key = f"{number}/{protocol.lower() if slash else 'tcp'}"
        bindings = ports.get(key)
        if not bindings:
            raise Failure(f"no public port '{wanted[0] if slash else key}' published for {name}")
        lines = [host_port(binding["HostIp"], binding["HostPort"]) for binding in bindings]
    else:
        lines = [
            f"{port} -> {host_port(binding['HostIp'], binding['HostPort'])}"
            for port, bindings in ports.items()
            for binding in bindings or []
        ]
        lines.sort(key=lambda line: (int(line.partition("/")[0]), line))
    for line in lines:
        call.line(line)
    return 0
