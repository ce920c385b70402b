"""Writes short forms out: ports, mounts, devices, grants and the other texts that stand for a mapping.

Each function takes the scalar as it was written and gives nodes at the same place; ValueError carries the reason when
the text makes no sense. It must never read a file or an environment.
"""

from __future__ import annotations

import ipaddress
import re

from boxship.compose.document import Entry, Mapping, Node, Plain, Scalar, Sequence
from boxship.compose.fields import number

PORT_MAX = 65535
PROTOCOLS = ("tcp", "udp", "sctp")
RANGE = re.compile(r"(\d+)(?:-(\d+))?")
PROPAGATIONS = ("shared", "slave", "private", "rshared", "rslave", "rprivate")
CONSISTENCIES = ("consistent", "cached", "delegated")


def made(given: Scalar, value: Plain | list[Node]) -> Node:
    """A node that stands where `given` was written."""
    if isinstance(value, list):
        return Sequence(tuple(value), given.place)
    return Scalar(value, given.place, "" if value is None else str(value), isinstance(value, str))


def mapping(given: Scalar, values: dict[str, Plain | Node]) -> Mapping:
    """A mapping that stands where `given` was written."""
    entries = []
    for key, value in values.items():
        node = value if isinstance(value, Mapping | Sequence | Scalar) else made(given, value)
        entries.append(Entry(key, node, given.place))
    return Mapping(tuple(entries), given.place, given.tag)


def text_of(given: Scalar) -> str:
    if not isinstance(given.value, str):
        raise ValueError("must be text or a mapping")
    return given.value


def ports(given: Scalar) -> tuple[Node, ...]:
    """ "[[ADDRESS:]PUBLISHED:]TARGET[/PROTOCOL]", each a port or a range; ranges of equal length become one mapping for
    each port."""
    text = number(given.value) if isinstance(given.value, int) and given.value is not True else text_of(given)
    address, published, target, protocol = _port_parts(text)
    first, last = _port_range(target, "container port")
    out_first, out_last = _port_range(published, "host port") if published else (0, 0)
    if published and last != first and out_last - out_first != last - first:
        raise ValueError(f'"{published}" and "{target}" are ranges of different lengths')
    several = published and last != first
    found = []
    for offset in range(last - first + 1):
        values: dict[str, Plain | Node] = {"mode": "ingress"}
        if address:
            values["host_ip"] = address
        values["target"] = first + offset
        if published:
            values["published"] = str(out_first + offset) if several else published
        values["protocol"] = protocol
        found.append(mapping(given, values))
    return tuple(found)


def _port_parts(text: str) -> tuple[str, str, str, str]:
    rest, slash, protocol = text.partition("/")
    protocol = protocol.lower() if slash else "tcp"
    if protocol not in PROTOCOLS:
        raise ValueError(f'"{protocol}" is no protocol: one of {", ".join(PROTOCOLS)}')
    front, _, target = rest.rpartition(":")
    address, _, published = front.rpartition(":")
    if address.startswith("[") and address.endswith("]"):
        address = address[1:-1]
    if address:
        try:
            ipaddress.ip_address(address)
        except ValueError:
            raise ValueError(f'"{address}" is no address of the host') from None
    if not target:
        raise ValueError(f'"{text}" names no container port')
    return address, published, target, protocol


def _port_range(text: str, what: str) -> tuple[int, int]:
    match = RANGE.fullmatch(text)
    first, last = (int(match[1]), int(match[2] or match[1])) if match else (-1, -1)
    if not 0 <= first <= last <= PORT_MAX:
        raise ValueError(f'"{text}" is no {what}: a number up to {PORT_MAX} or a range')
    return first, last


def mounts(given: Scalar) -> tuple[Node, ...]:
    """ "[SOURCE:]TARGET[:OPTIONS]": a source that begins with ".", "/" or "~" is a path, else a volume's name."""
    text = text_of(given)
    parts = text.split(":")
    if not all(parts) or len(parts) > 3:
        raise ValueError(f'"{text}" is no mount: write [SOURCE:]TARGET[:OPTIONS]')
    if len(parts) == 1:
        anonymous: dict[str, Plain | Node] = {"type": "volume", "target": parts[0]}
        if len(text) > 2:  # of "/x" the stock program makes no options, and the fingerprint tells the difference
            anonymous["volume"] = mapping(given, {})
        return (mapping(given, anonymous),)
    source, target = parts[:2]
    bound = source[0] in "./~"
    values: dict[str, Plain | Node] = {"type": "bind" if bound else "volume", "source": source, "target": target}
    bind: dict[str, Plain | Node] = {}
    volume: dict[str, Plain | Node] = {}
    for option in parts[2].split(",") if len(parts) == 3 else ():
        if option in ("ro", "rw"):
            values["read_only"] = option == "ro"
        elif option in ("z", "Z"):
            bind["selinux"] = option
        elif option in PROPAGATIONS:
            bind["propagation"] = option
        elif option in CONSISTENCIES:
            values["consistency"] = option
        elif option in ("nocopy", "copy"):
            volume["nocopy"] = option == "nocopy"
        else:
            raise ValueError(f'"{option}" is no option of a mount')
    if bound:
        values["bind"] = mapping(given, {**bind, "create_host_path": True})
    else:
        if bind:
            values["bind"] = mapping(given, bind)
        values["volume"] = mapping(given, volume)
    return (mapping(given, {name: value for name, value in values.items() if value is not False}),)


def devices(given: Scalar) -> tuple[Node, ...]:
    """ "SOURCE[:TARGET[:PERMISSIONS]]", or the name of a device that the engine looks up ("vendor/class=name")."""
    text = text_of(given)
    parts = text.split(":")
    if len(parts) > 3 or not all(parts):
        raise ValueError(f'"{text}" is no device: write SOURCE[:TARGET[:PERMISSIONS]]')
    target = parts[1] if len(parts) > 1 else parts[0]
    permissions = parts[2] if len(parts) > 2 else "rwm"
    return (mapping(given, {"source": parts[0], "target": target, "permissions": permissions}),)


def grants(given: Scalar) -> tuple[Node, ...]:
    return (mapping(given, {"source": text_of(given)}),)


def env_files(given: Scalar) -> tuple[Node, ...]:
    return (mapping(given, {"path": text_of(given)}),)


def build(given: Scalar) -> Node:
    return mapping(given, {"context": text_of(given)})


def extends(given: Scalar) -> Node:
    return mapping(given, {"service": text_of(given)})


def include(given: Scalar) -> Node:
    return mapping(given, {"path": made(given, [made(given, text_of(given))])})


def dependency(given: Scalar) -> Node:
    return mapping(given, {"condition": "service_started", "required": True})


def nothing(given: Scalar) -> Node:
    return made(given, None)


def gpus(given: Scalar) -> tuple[Node, ...]:
    """ "all" is one request for every card there is."""
    if given.value != "all":
        raise ValueError(f'must be "all" or a list, not "{given.value}"')
    return (mapping(given, {"count": -1}),)
