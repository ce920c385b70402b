"""`--network` and its companions to the API's network mode and endpoint settings."""

from __future__ import annotations

from collections.abc import Sequence

from boxship.cli.daemon import Object
from boxship.cli.flags import Options
from boxship.cli.option_text import split_commas
from boxship.errors import Invalid


def parse_network(text: str) -> tuple[str, Object]:
    """The network's name and endpoint settings of "NAME" or "name=NAME,alias=A,ip=ADDRESS,…"."""
    if "=" not in text:
        return text, {}
    name = ""
    endpoint: Object = {}
    for field in split_commas(text):
        key, equals, value = field.partition("=")
        key = key.strip().lower()
        value = value.strip()
        if not equals:
            raise Invalid(f"invalid field {field!r} in --network: it must be a key=value pair")
        if key == "name":
            name = value
        elif key == "alias":
            endpoint.setdefault("Aliases", []).append(value)
        elif key == "ip":
            endpoint.setdefault("IPAMConfig", {})["IPv4Address"] = value
        elif key == "ip6":
            endpoint.setdefault("IPAMConfig", {})["IPv6Address"] = value
        elif key == "mac-address":
            endpoint["MacAddress"] = value
        elif key == "link-local-ip":
            endpoint.setdefault("IPAMConfig", {}).setdefault("LinkLocalIPs", []).append(value)
        elif key == "driver-opt":
            option, _, content = value.partition("=")
            endpoint.setdefault("DriverOpts", {})[option] = content
        elif key == "gw-priority":
            endpoint["GwPriority"] = _whole(value)
        else:
            raise Invalid(f"invalid field key {key!r} in --network")
    if not name:
        raise Invalid(f"network name is missing in --network {text!r}")
    return name, endpoint


def _whole(text: str) -> int:
    try:
        return int(text)
    except ValueError:
        raise Invalid(f"invalid gw-priority {text!r}: not a whole number") from None


def choose_networks(options: Options) -> tuple[str, dict[str, Object]]:
    """The network mode and the endpoints by network. The flags --ip, --network-alias, … belong to the first one."""
    words: Sequence[str] = options.texts("network") + options.texts("net") or ["default"]
    endpoints: dict[str, Object] = {}
    mode = ""
    for word in words:
        name, endpoint = parse_network(word)
        if name in endpoints:
            raise Invalid(f"network {name!r} is specified multiple times")
        if not mode:
            mode = name
            _merge_flags(options, endpoint)
        endpoints[name] = endpoint
    if len(endpoints) > 1 and any(name in ("host", "none") or name.startswith("container:") for name in endpoints):
        raise Invalid("conflicting options: cannot attach both user-defined and non-user-defined network-modes")
    if len(endpoints) == 1 and not endpoints[mode]:
        endpoints = {}
    return mode, endpoints


def _merge_flags(options: Options, endpoint: Object) -> None:
    addresses = {
        "IPv4Address": options.text("ip"),
        "IPv6Address": options.text("ip6"),
        "LinkLocalIPs": options.texts("link-local-ip"),
    }
    given = {name: value for name, value in addresses.items() if value}
    if given:
        endpoint.setdefault("IPAMConfig", {}).update(given)
    if aliases := options.texts("network-alias") + options.texts("net-alias"):
        endpoint["Aliases"] = endpoint.get("Aliases", []) + aliases
    if options.text("mac-address"):
        endpoint["MacAddress"] = options.text("mac-address")
    if options.texts("link"):
        endpoint["Links"] = options.texts("link")
