"""`--publish` and `--expose` to the API's port bindings."""

from __future__ import annotations

from collections.abc import Sequence

from boxship.cli.option_text import pairs_of, split_commas
from boxship.errors import Invalid

PROTOCOLS = ("tcp", "udp", "sctp")
LARGEST_PORT = 65535

Bindings = dict[str, list[dict[str, str]]]


def _port(text: str, whole: str) -> int:
    if not (text.isascii() and text.isdigit()) or len(text) > 5 or int(text) > LARGEST_PORT:
        raise Invalid(f"invalid port {text!r} in {whole!r}")
    return int(text)


def _range(text: str, whole: str) -> tuple[int, int]:
    first, dash, last = text.partition("-")
    start = _port(first, whole)
    end = _port(last, whole) if dash else start
    if end < start:
        raise Invalid(f"invalid range {text!r} in {whole!r}")
    return start, end


def _protocol(text: str, whole: str) -> str:
    lowered = text.lower()
    if lowered not in PROTOCOLS:
        raise Invalid(f"invalid protocol {text!r} in {whole!r}: it must be tcp, udp or sctp")
    return lowered


def _split(text: str) -> tuple[str, str, str, str]:
    """(address, host ports, container ports, protocol) of "[address:][host]:container[/protocol]"."""
    rest, slash, protocol = text.rpartition("/")
    if not slash:
        rest, protocol = text, "tcp"
    rest, _, container = rest.rpartition(":")
    address, colon, host = rest.rpartition(":")
    if not colon:
        address, host = "", rest
    if address.startswith("[") and address.endswith("]"):
        address = address[1:-1]
    elif ":" in address:
        raise Invalid(f"invalid address {address!r} in {text!r}: put an IPv6 address in brackets")
    return address, host, container, _protocol(protocol, text)


def _split_long(text: str) -> tuple[str, str, str, str]:
    words = pairs_of(split_commas(text), "publish")
    unknown = sorted(set(words) - {"target", "published", "protocol", "mode"})
    if unknown:
        raise Invalid(f"invalid field {unknown[0]!r} in --publish {text!r}")
    return "", words.get("published", ""), words.get("target", ""), _protocol(words.get("protocol", "tcp"), text)


def _check_address(address: str, whole: str) -> None:
    if not address or address == "localhost":
        return
    from ipaddress import ip_address

    try:
        ip_address(address)
    except ValueError:
        raise Invalid(f"invalid IP address {address!r} in {whole!r}") from None


def publish(words: Sequence[str]) -> tuple[set[str], Bindings]:
    """The exposed ports ("80/tcp") and the bindings of `--publish` words."""
    exposed: set[str] = set()
    bindings: Bindings = {}
    for word in words:
        address, host, container, protocol = _split_long(word) if "=" in word else _split(word)
        _check_address(address, word)
        if not container:
            raise Invalid(f"no port specified: {word}<empty>")
        start, end = _range(container, word)
        host_start, host_end = _range(host, word) if host else (0, 0)
        if host and host_end - host_start != end - start and end != start:
            raise Invalid(f"invalid ranges specified for container and host ports: {container} and {host}")
        for offset in range(end - start + 1):
            key = f"{start + offset}/{protocol}"
            chosen = str(host_start + offset) if host else ""
            if end == start and host_end > host_start:
                # One port of the container on a range of the host: the daemon takes the first free one.
                chosen = f"{host_start}-{host_end}"
            exposed.add(key)
            bindings.setdefault(key, []).append({"HostIp": address, "HostPort": chosen})
    return exposed, bindings


def expose(words: Sequence[str]) -> set[str]:
    """The exposed ports of `--expose` words such as "80" or "3000-3010/udp"."""
    exposed: set[str] = set()
    for word in words:
        if ":" in word:
            raise Invalid(f"invalid port format for --expose: {word}")
        ports, slash, protocol = word.partition("/")
        start, end = _range(ports, word)
        kind = _protocol(protocol, word) if slash else "tcp"
        exposed.update(f"{port}/{kind}" for port in range(start, end + 1))
    return exposed
