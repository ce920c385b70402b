"""Who a certificate is for: names and addresses, checked before they enter a certificate or a path."""

import ipaddress
import re

import msgspec

from boxship.errors import Invalid

_FOLDER = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.@-]{0,62}")
_LABEL = re.compile(r"[a-z0-9_]([a-z0-9_-]{0,61}[a-z0-9_])?")


class Subject(msgspec.Struct, frozen=True):
    """A certificate's holder. `name` is also the name of its folder; addresses are host names or IP addresses."""

    name: str
    hosts: tuple[str, ...] = ()
    addresses: tuple[str, ...] = ()


def check_name(name: str) -> str:
    """The name itself. Raises Invalid for one that is no plain file name of up to 63 characters."""
    if not _FOLDER.fullmatch(name):
        raise Invalid(f"cannot use the name {name!r}: not 1 to 63 letters, digits and '_.@-', a letter or digit first")
    return name


def subject_for(name: str, places: tuple[str, ...]) -> Subject:
    """The holder `name`, reachable at `places` (host names and IP addresses in any order)."""
    hosts: list[str] = []
    addresses: list[str] = []
    for place in places:
        address = _as_address(place)
        if address is not None:
            addresses.append(address)
        else:
            hosts.append(_as_host(place))
    return Subject(check_name(name), tuple(dict.fromkeys(hosts)), tuple(dict.fromkeys(addresses)))


def _as_address(text: str) -> str | None:
    try:
        return str(ipaddress.ip_address(text.strip("[]")))
    except ValueError:
        return None


def _as_host(text: str) -> str:
    host = text.lower().rstrip(".")
    labels = host.split(".")
    if len(labels) > 1 and labels[0] == "*":
        labels = labels[1:]
    if len(host) > 253 or not all(_LABEL.fullmatch(label) for label in labels):
        raise Invalid(f"cannot use the address {text!r}: neither a host name nor an IP address")
    if all(label.isdigit() for label in labels):
        raise Invalid(f"cannot use the address {text!r}: it looks like an IP address, but is none")
    return host
