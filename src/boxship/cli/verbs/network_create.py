"""boxship network create: make a network."""

from __future__ import annotations

from boxship.cli.call import Call
from boxship.cli.daemon import Object
from boxship.cli.flags import Command, Flag, Options
from boxship.cli.option_text import pairs_of
from boxship.errors import Invalid

COMMAND = Command(
    "NETWORK",
    (
        Flag("--attachable", "Enable manual container attachment"),
        Flag("--aux-address list", "Auxiliary IPv4 or IPv6 addresses used by Network driver (NAME=ADDRESS)"),
        Flag("--config-from string", "The network from which to copy the configuration"),
        Flag("--config-only", "Create a configuration only network"),
        Flag("-d, --driver string", "Driver to manage the Network", "bridge"),
        Flag("--gateway list", "IPv4 or IPv6 Gateway for the master subnet"),
        Flag("--ingress", "Create swarm routing-mesh network"),
        Flag("--internal", "Restrict external access to the network"),
        Flag("--ip-range list", "Allocate container ip from a sub-range"),
        Flag("--ipam-driver string", "IP Address Management Driver", "default"),
        Flag("--ipam-opt list", "Set IPAM driver specific options (NAME=VALUE)"),
        Flag("--ipv4", "Enable or disable IPv4 address assignment", True),
        Flag("--ipv6", "Enable or disable IPv6 address assignment"),
        Flag("--label list", "Set metadata on a network"),
        Flag("-o, --opt list", "Set driver specific options (NAME=VALUE)"),
        Flag("--scope string", "Control the network's scope"),
        Flag("--subnet list", "Subnet in CIDR format that represents a network segment"),
    ),
    least=1,
    most=1,
)


def run(call: Call) -> int:
    options = call.options
    body: Object = {
        "Name": call.arguments[0],
        "Driver": options.text("driver"),
        "Options": pairs_of(options.texts("opt"), "opt"),
        "IPAM": {
            "Driver": options.text("ipam-driver"),
            "Options": pairs_of(options.texts("ipam-opt"), "ipam-opt"),
            "Config": address_ranges(options),
        },
        "Internal": options.on("internal"),
        "Attachable": options.on("attachable"),
        "Ingress": options.on("ingress"),
        "Scope": options.text("scope"),
        "ConfigOnly": options.on("config-only"),
        "ConfigFrom": {"Network": options.text("config-from")} if options.text("config-from") else None,
        "Labels": pairs_of(options.texts("label")),
        "CheckDuplicate": True,  # daemons before API 1.44 make a second network of the same name without it
    }
    for name in ("ipv4", "ipv6"):
        if options.given(name):
            body[f"EnableIP{name[2:]}"] = options.on(name)
    answer = call.daemon.post("/networks/create", body=body)
    if answer.get("Warning"):
        call.warn(f"WARNING: {answer['Warning']}")
    call.line(answer["Id"])
    return 0


def address_ranges(options: Options) -> list[Object]:
    """Each subnet with the range, gateway and reserved addresses that lie in it. Raises Invalid for one that lies in
    none."""
    subnets = [word for text in options.texts("subnet") for word in text.split(",")]
    ranges, gateways = options.texts("ip-range"), options.texts("gateway")
    reserved = pairs_of(options.texts("aux-address"), "aux-address")
    if not (subnets or ranges or gateways or reserved):
        return []
    import ipaddress

    def network(text: str, what: str) -> ipaddress.IPv4Network | ipaddress.IPv6Network:
        try:
            return ipaddress.ip_network(text, strict=False)
        except ValueError:
            raise Invalid(f"invalid {what} {text!r}") from None

    known = [(network(text, "subnet"), {"Subnet": text}) for text in subnets]
    found: list[tuple[ipaddress.IPv4Network | ipaddress.IPv6Network, Object]] = list(known)
    for index, (one, _) in enumerate(found):
        if any(one.version == other.version and one.overlaps(other) for other, _ in found[index + 1 :]):
            raise Invalid("multiple overlapping subnet configuration is not supported")

    def owner(text: str, what: str) -> Object:
        part = int(network(text, what).network_address)
        for whole, entry in found:
            same_family = (":" in text) == (whole.version == 6)
            if same_family and int(whole.network_address) <= part <= int(whole.broadcast_address):
                return entry
        raise Invalid(f"no matching subnet for {what} {text}")

    for text in ranges:
        _set_once(owner(text, "ip-range"), "IPRange", text)
    for text in gateways:
        _set_once(owner(text, "gateway"), "Gateway", text)
    for name, text in reserved.items():
        owner(text, "aux-address").setdefault("AuxiliaryAddresses", {})[name] = text
    return [entry for _, entry in found]


def _set_once(entry: Object, field: str, value: str) -> None:
    if field in entry:
        raise Invalid(f"cannot configure multiple values of {field} ({entry[field]}, {value}) on the same subnet")
    entry[field] = value
