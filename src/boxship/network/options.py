"""A bridge network's driver options, from text, pure. What is not known is refused by its name."""

import ipaddress
import re
from typing import Any

import msgspec

from boxship.errors import Invalid, NotFound, Unsupported
from boxship.network import addresses
from boxship.network.model import BridgeOptions
from boxship.spec.container import NetworkSpec

PREFIX = "com.docker.network."
ROUTED = "boxship.routed"  # subnets in CIDR notation, separated by commas
INTERFACE = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,14}")
INTERFACE_PREFIX = re.compile(r"[a-zA-Z][a-zA-Z0-9_]{0,11}")
NETWORK_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]*")
KNOWN_DRIVERS = ("macvlan", "ipvlan", "overlay")
MINIMUM_MTU, MAXIMUM_MTU = 68, 65535
TRUE, FALSE = ("1", "t", "T", "true", "TRUE", "True"), ("0", "f", "F", "false", "FALSE", "False")


def check_spec(spec: NetworkSpec) -> None:
    """Refuse what no network of ours can be; the parts of a request that no other check looks at."""
    if not NETWORK_NAME.fullmatch(spec.name) or len(spec.name) > 255:
        raise Invalid(f"invalid network name {spec.name[:80]!r}: only letters, digits, '_', '.' and '-' are allowed")
    if spec.driver in KNOWN_DRIVERS:
        raise Unsupported(f"unsupported: network driver {spec.driver}")
    if spec.driver not in ("bridge", "host", "null"):
        raise NotFound(f"could not find plugin {spec.driver} in v1 plugin registry: plugin not found")
    refused = {
        "EnableIPv6": spec.enable_ipv6,
        "EnableIPv4=false": not spec.enable_ipv4,
        "Ingress": spec.ingress,
        f"IPAM driver {spec.ipam_driver}": spec.ipam_driver not in ("default", ""),
        "IPAM options": bool(spec.ipam_options),
        "IPv6 subnet": any(":" in subnet.subnet for subnet in spec.subnets),
    }
    for name, asked in refused.items():
        if asked:
            raise Unsupported(f"unsupported: {name}")
    if len(spec.subnets) > 1:
        raise Invalid("bridge driver doesn't support multiple subnets")
    if any(not subnet.subnet and (subnet.gateway or subnet.ip_range) for subnet in spec.subnets):
        raise Invalid("a gateway or an ip-range needs a subnet")


def _switch(name: str, text: str) -> bool:
    if text in TRUE or text in FALSE:
        return text in TRUE
    raise Invalid(f"invalid value for {name}: {text!r} is neither true nor false")


def parse_bridge(network_id: str, options: dict[str, str]) -> BridgeOptions:
    """The options of a bridge network; the bridge's interface is named after the network's id unless it is given."""
    found = BridgeOptions(bridge=f"br-{network_id[:12]}")
    values: dict[str, Any] = {}
    for key, text in options.items():
        if key == f"{PREFIX}bridge.name":
            if not INTERFACE.fullmatch(text) or text in ("lo", "all", "default"):
                raise Invalid(f"invalid value for {key}: {text!r} is no interface name")
            values["bridge"] = text
        elif key == f"{PREFIX}bridge.enable_icc":
            values["connected"] = _switch(key, text)
        elif key == f"{PREFIX}bridge.enable_ip_masquerade":
            values["masquerade"] = _switch(key, text)
        elif key == f"{PREFIX}bridge.host_binding_ipv4":
            values["host_address"] = _host_address(key, text)
        elif key == f"{PREFIX}driver.mtu":
            if not text.isdecimal() or not MINIMUM_MTU <= int(text) <= MAXIMUM_MTU:
                raise Invalid(f"invalid value for {key}: {text!r} is no size between {MINIMUM_MTU} and {MAXIMUM_MTU}")
            values["mtu"] = int(text)
        elif key == f"{PREFIX}container_iface_prefix":
            if not INTERFACE_PREFIX.fullmatch(text) or text == "lo":
                raise Invalid(f"invalid value for {key}: {text!r} is no interface prefix")
            values["interface_prefix"] = text
        elif key == ROUTED:
            values["routed"] = tuple(str(addresses.parse_subnet(part)) for part in text.split(","))
        elif key == f"{PREFIX}bridge.gateway_mode_ipv4" and text == "nat":
            continue
        elif key.startswith("com.docker."):
            raise Unsupported(f"unsupported: network option {key}={text}")
    return msgspec.structs.replace(found, **values)


def predefined_options(options: BridgeOptions, mtu: int) -> dict[str, str]:
    """What inspect shows of the default bridge, in the words of a request."""
    return {
        f"{PREFIX}bridge.default_bridge": "true",
        f"{PREFIX}bridge.enable_icc": "true",
        f"{PREFIX}bridge.enable_ip_masquerade": "true",
        f"{PREFIX}bridge.host_binding_ipv4": options.host_address or "0.0.0.0",
        f"{PREFIX}bridge.name": options.bridge,
        f"{PREFIX}driver.mtu": str(mtu),
    }


def _host_address(key: str, text: str) -> str:
    try:
        return str(ipaddress.IPv4Address(text))
    except ValueError:
        raise Invalid(f"invalid value for {key}: {text!r} is no IPv4 address") from None
