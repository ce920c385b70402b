"""boxship network connect: join a container to a network while it lives."""

from __future__ import annotations

from boxship.cli.call import Call
from boxship.cli.daemon import Object
from boxship.cli.escape import escape
from boxship.cli.flags import Command, Flag
from boxship.cli.option_text import pairs_of

COMMAND = Command(
    "NETWORK CONTAINER",
    (
        Flag("--alias list", "Add network-scoped alias for the container"),
        Flag("--driver-opt list", "Driver options for the network"),
        Flag("--gw-priority int", "Highest gw-priority provides the default gateway"),
        Flag("--ip string", "IPv4 address (e.g., 172.30.100.104)"),
        Flag("--ip6 string", "IPv6 address (e.g., 2001:db8::33)"),
        Flag("--link list", "Add link to another container"),
        Flag("--link-local-ip list", "Add a link-local address for the container"),
    ),
    least=2,
    most=2,
    completes=("networks", "containers"),
)


def run(call: Call) -> int:
    options = call.options
    network, container = call.arguments
    addresses = {
        "IPv4Address": options.text("ip"),
        "IPv6Address": options.text("ip6"),
        "LinkLocalIPs": options.texts("link-local-ip"),
    }
    endpoint: Object = {"IPAMConfig": {name: value for name, value in addresses.items() if value}}
    if options.texts("alias"):
        endpoint["Aliases"] = options.texts("alias")
    if options.texts("link"):
        endpoint["Links"] = options.texts("link")
    if options.texts("driver-opt"):
        endpoint["DriverOpts"] = pairs_of(options.texts("driver-opt"), "driver-opt")
    if options.given("gw-priority"):
        endpoint["GwPriority"] = options.number("gw-priority")
    call.daemon.post(f"/networks/{escape(network)}/connect", body={"Container": container, "EndpointConfig": endpoint})
    return 0
