"""IP addresses, ranges and ports in the rules of core/v1 and its neighbours.

Source: k8s.io/apimachinery, util/validation (IP and CIDR values), documentation "Service", "Endpoints"; since 1.36
addresses must be written canonically enough that everybody reads the same one: no leading zeros, no IPv4 in IPv6.
"""

import ipaddress
import re
from collections.abc import Sequence

from boxship.cluster.objects import names
from boxship.cluster.objects.kinds.checking import PORT_RANGE, Found

Address = ipaddress.IPv4Address | ipaddress.IPv6Address
NO_ADDRESS = "must be a valid IP address, (e.g. 10.9.8.7 or 2001:db8::ffff)"
NO_RANGE = "must be a valid CIDR value, (e.g. 10.9.8.0/24 or 2001:db8::/64)"
LEADING_ZEROS = "must not have leading 0s"
MAPPED = "must not be an IPv4-mapped IPv6 address"
_DOTTED = re.compile(r"\d+\.\d+\.\d+\.\d+", re.ASCII)


def parse_address(text: str) -> Address | None:
    try:
        address = ipaddress.ip_address(text)
    except ValueError:
        return None
    return None if getattr(address, "scope_id", None) else address


def _without_zeros(text: str) -> str:
    return ".".join(part.lstrip("0") or "0" for part in text.split("."))


def wrong_address(text: str) -> str:
    address = parse_address(text)
    if address is None:
        padded = _DOTTED.fullmatch(text) and parse_address(_without_zeros(text)) is not None
        return LEADING_ZEROS if padded else NO_ADDRESS
    return MAPPED if isinstance(address, ipaddress.IPv6Address) and address.ipv4_mapped else ""


def wrong_range(text: str) -> str:
    prefix, slash, length = text.partition("/")
    if not slash or not length.isascii() or not length.isdigit() or wrong_address(prefix):
        return NO_RANGE
    address = parse_address(prefix)
    if address is None or int(length) > address.max_prefixlen or (len(length) > 1 and length[0] == "0"):
        return NO_RANGE
    return ""


def validate_address(found: Found, text: str, path: str) -> None:
    found.because(path, text, wrong_address(text))


def validate_range(found: Found, text: str, path: str) -> None:
    found.because(path, text, wrong_range(text))


def validate_reachable(found: Found, text: str, path: str) -> None:
    """An address of something else than the node itself or its link."""
    address = parse_address(text)
    if address is None:
        found.invalid(path, text, "must be a valid IP address")
        return
    if address.is_unspecified:
        found.invalid(path, text, f"may not be unspecified ({text})")
    if address.is_loopback:
        found.invalid(path, text, "may not be in the loopback range (127.0.0.0/8, ::1/128)")
    if address.is_link_local:
        found.invalid(path, text, "may not be in the link-local range (169.254.0.0/16, fe80::/10)")
    if is_link_local_multicast(address):
        found.invalid(path, text, "may not be in the link-local multicast range (224.0.0.0/24, ff02::/10)")


def is_link_local_multicast(address: Address) -> bool:
    if isinstance(address, ipaddress.IPv4Address):
        return address.packed[:3] == b"\xe0\x00\x00"
    return address.packed[0] == 0xFF and address.packed[1] & 0x0F == 0x02


def is_dual_stack(texts: Sequence[str]) -> bool:
    """Are there addresses of both families?"""
    versions = {address.version for address in map(parse_address, texts) if address is not None}
    return len(versions) == 2


def validate_pair(found: Found, texts: Sequence[str], path: str, shown: object) -> None:
    """A list of at most one address of each family."""
    for index, text in enumerate(texts):
        validate_address(found, text, f"{path}[{index}]")
    if len(texts) > 1:
        if not is_dual_stack(texts) or len(texts) > 2:
            found.invalid(path, shown, "may specify no more than one IP for each IP family")
        for index, text in enumerate(texts):
            if text in texts[:index]:
                found.duplicate(f"{path}[{index}]", {"ip": text})


def validate_port_number(found: Found, number: int, path: str) -> None:
    if not 1 <= number <= 65535:
        found.invalid(path, number, PORT_RANGE)


def validate_port(found: Found, port: int | str | None, path: str) -> None:
    """A number, or the name of a port."""
    if isinstance(port, str):
        found.because(path, port, names.port_name(port))
    else:
        validate_port_number(found, port or 0, path)
