"""Kubernetes's value types: quantities, URLs, addresses, versions, named formats."""

import ipaddress
import re
from collections.abc import Callable
from typing import Any
from urllib.parse import parse_qs, urlsplit

import msgspec

from boxship.cluster.objects import names, quantity
from boxship.cluster.objects.cel import values
from boxship.cluster.objects.cel.values import Failed, Optional
from boxship.errors import Invalid

Address = ipaddress.IPv4Address | ipaddress.IPv6Address
Network = ipaddress.IPv4Network | ipaddress.IPv6Network
NANO = quantity.NANO


class Amount(msgspec.Struct, frozen=True):
    cel_type = "kubernetes.Quantity"
    amount: quantity.Quantity

    def compared(self, other: "Amount") -> int:
        return (self.amount.nanos > other.amount.nanos) - (self.amount.nanos < other.amount.nanos)

    @property
    def text(self) -> str:
        return self.amount.text


class Url(msgspec.Struct, frozen=True):
    cel_type = "kubernetes.URL"
    text: str


class Ip(msgspec.Struct, frozen=True):
    cel_type = "net.IP"
    address: Address

    @property
    def text(self) -> str:
        return str(self.address)


class Cidr(msgspec.Struct, frozen=True):
    """`address` keeps the bits behind the prefix."""

    cel_type = "net.CIDR"
    address: Address
    prefix: int

    @property
    def network(self) -> Network:
        return ipaddress.ip_network((self.address, self.prefix), strict=False)

    @property
    def text(self) -> str:
        return f"{self.address}/{self.prefix}"


class Semver(msgspec.Struct, frozen=True):
    cel_type = "kubernetes.Semver"
    major: int
    minor: int
    patch: int
    before: tuple[str, ...] = ()  # the pre-release's parts
    build: str = ""

    def compared(self, other: "Semver") -> int:
        one, two = (self.major, self.minor, self.patch), (other.major, other.minor, other.patch)
        if one != two:
            return -1 if one < two else 1
        if not self.before or not other.before:
            return (not self.before) - (not other.before)
        left, right = _ranks(self.before), _ranks(other.before)
        return (left > right) - (left < right)

    @property
    def text(self) -> str:
        before = f"-{'.'.join(self.before)}" if self.before else ""
        return f"{self.major}.{self.minor}.{self.patch}{before}" + (f"+{self.build}" if self.build else "")


class NamedFormat(msgspec.Struct, frozen=True):
    cel_type = "kubernetes.NamedFormat"
    name: str


def _ranks(parts: tuple[str, ...]) -> list[tuple[int, int, str]]:
    return [(0, int(part), "") if part.isdigit() else (1, 0, part) for part in parts]


def _is(parse: Callable[..., Any]) -> Callable[..., bool]:
    """Whether the text can be read."""

    def run(*args: Any) -> bool:
        try:
            parse(*args)
        except (Failed, Invalid, ValueError):
            return False
        return True

    return run


def _quantity(text: str) -> Amount:
    return Amount(quantity.parse(text))


def _as_integer(value: Amount) -> int:
    if not _is_integer(value):
        raise Failed("cannot convert value to integer")
    return value.amount.nanos // NANO


def _is_integer(value: Amount) -> bool:
    return value.amount.nanos % NANO == 0 and abs(value.amount.nanos) < (1 << 63) * NANO


def _added(sign: int) -> Callable[[Amount, Any], Amount]:
    def run(one: Amount, other: Any) -> Amount:
        second = other.amount if isinstance(other, Amount) else quantity.of(other)
        return Amount(one.amount + second if sign > 0 else one.amount - second)

    return run


def _sign(value: Amount) -> int:
    return (value.amount.nanos > 0) - (value.amount.nanos < 0)


def _url(text: str) -> Url:
    parts = urlsplit(text)
    absolute = bool(parts.scheme) or text.startswith("/")
    if not absolute or any(character.isspace() or ord(character) < 32 for character in text):
        raise Failed(f"URL parse error during conversion from string: parse {text!r}: invalid URI for request")
    _ = parts.port
    return Url(text)


def _host(url: Url) -> str:
    return urlsplit(url.text).netloc.rpartition("@")[2]


def _hostname(url: Url) -> str:
    return urlsplit(url.text).hostname or ""


def _port(url: Url) -> str:
    port = urlsplit(url.text).port
    return "" if port is None else str(port)


def _query(url: Url) -> dict[str, list[str]]:
    return parse_qs(urlsplit(url.text).query, keep_blank_values=True)


def _ip(text: str) -> Ip:
    try:
        address = ipaddress.ip_address(text)
    except ValueError:
        raise Failed(f'IP Address "{text}" parse error during conversion from string') from None
    if "%" in text or (isinstance(address, ipaddress.IPv6Address) and address.ipv4_mapped is not None):
        raise Failed(f'IP Address "{text}" parse error during conversion from string: zones and mapped addresses')
    return Ip(address)


def _cidr(text: str) -> Cidr:
    address, slash, prefix = text.partition("/")
    try:
        found = _ip(address)
        ipaddress.ip_network(text, strict=False)
        if not slash or not prefix.isdigit() or (len(prefix) > 1 and prefix.startswith("0")):
            raise ValueError
    except (ValueError, Failed):
        raise Failed(f'network address parse error during conversion from string: "{text}"') from None
    return Cidr(found.address, int(prefix))


def _has_address(cidr: Cidr, address: Any) -> bool:
    found = address if isinstance(address, Ip) else _ip(address)
    return found.address.version == cidr.address.version and found.address in cidr.network


def _has_network(cidr: Cidr, other: Any) -> bool:
    found = other if isinstance(other, Cidr) else _cidr(other)
    same = found.address.version == cidr.address.version
    return same and found.prefix >= cidr.prefix and found.address in cidr.network


_SEMVER = re.compile(
    r"(0|[1-9]\d*)\.(0|[1-9]\d*)\.(0|[1-9]\d*)(?:-([0-9A-Za-z-]+(?:\.[0-9A-Za-z-]+)*))?(?:\+([0-9A-Za-z.-]+))?",
    re.ASCII,
)


def _semver(text: str, normalize: bool = False) -> Semver:
    if normalize:
        head, *rest = re.split(r"(?=[-+])", text.removeprefix("v"), maxsplit=1)
        parts = [part.lstrip("0") or "0" for part in head.split(".")]
        text = ".".join([*parts, *["0"] * (3 - len(parts))]) + "".join(rest)
    found = _SEMVER.fullmatch(text)
    before = tuple((found[4] or "").split(".")) if found and found[4] else ()
    if found is None or len(text) > 256 or any(part.isdigit() and len(part) > 1 and part[0] == "0" for part in before):
        raise Failed(f"invalid semantic version {text!r}")
    return Semver(int(found[1]), int(found[2]), int(found[3]), before, found[5] or "")


def _prefixed(check: Callable[[str], str]) -> Callable[[str], str]:
    """The format of what only begins a name."""
    return lambda text: check(text.removesuffix("-") if text.endswith("-") else text)


def _why(parse: Callable[[str], Any], text: str) -> Callable[[str], str]:
    return lambda value: "" if _is(parse)(value) else text


FORMATS: dict[str, Callable[[str], str]] = {
    "dns1123Label": names.label,
    "dns1123Subdomain": names.subdomain,
    "dns1035Label": names.label_1035,
    "qualifiedName": names.qualified,
    "dns1123LabelPrefix": _prefixed(names.label),
    "dns1123SubdomainPrefix": _prefixed(names.subdomain),
    "dns1035LabelPrefix": _prefixed(names.label_1035),
    "labelValue": names.label_value,
    "uri": _why(_url, "invalid URL"),
    "uuid": lambda text: (
        ""
        if re.fullmatch(r"[0-9a-fA-F]{8}(-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}", text)
        else "does not match the UUID format"
    ),
    "byte": lambda text: "" if re.fullmatch(r"[A-Za-z0-9+/]*={0,2}", text) and len(text) % 4 == 0 else "invalid base64",
    "date": lambda text: (
        "" if re.fullmatch(r"\d{4}-\d\d-\d\d", text) and _is(values.timestamp)(text) else "invalid date"
    ),
    "datetime": lambda text: "" if "T" in text and _is(values.timestamp)(text) else "invalid datetime",
}


def _named(name: str) -> Optional:
    return Optional(True, NamedFormat(name)) if name in FORMATS else values.ABSENT


def _validate(format_: NamedFormat, text: str) -> Optional:
    why = FORMATS[format_.name](text)
    return Optional(True, [why]) if why else values.ABSENT


def _format(name: str) -> Callable[[], NamedFormat]:
    return lambda: NamedFormat(name)


def _compared(test: Callable[[int], Any]) -> Callable[[Any, Any], Any]:
    return lambda one, other: test(one.compared(other))


_COMPARISONS: list[tuple[str, Callable[[int], Any]]] = [
    ("isLessThan({0}) -> bool", lambda order: order < 0),
    ("isGreaterThan({0}) -> bool", lambda order: order > 0),
    ("compareTo({0}) -> int", lambda order: order),
]

VALUES: list[tuple[str, Callable[..., Any]]] = [
    ("quantity(string) -> quantity", _quantity),
    ("isQuantity(string) -> bool", _is(_quantity)),
    ("quantity.isInteger() -> bool", _is_integer),
    ("quantity.asInteger() -> int", _as_integer),
    ("quantity.asApproximateFloat() -> double", lambda value: value.amount.nanos / NANO),
    ("quantity.sign() -> int", _sign),
    *((f"quantity.add({kind}) -> quantity", _added(1)) for kind in ("quantity", "int")),
    *((f"quantity.sub({kind}) -> quantity", _added(-1)) for kind in ("quantity", "int")),
    *(
        (f"{kind}.{form.format(kind)}", _compared(test))
        for kind in ("quantity", "semver")
        for form, test in _COMPARISONS
    ),
    ("url(string) -> url", _url),
    ("isURL(string) -> bool", _is(_url)),
    ("url.getScheme() -> string", lambda url: urlsplit(url.text).scheme),
    ("url.getHost() -> string", _host),
    ("url.getHostname() -> string", _hostname),
    ("url.getPort() -> string", _port),
    ("url.getEscapedPath() -> string", lambda url: urlsplit(url.text).path),
    ("url.getQuery() -> map(string,list(string))", _query),
    ("ip(string) -> ip", _ip),
    ("isIP(string) -> bool", _is(_ip)),
    ("!ip.isCanonical(string) -> bool", lambda text: _ip(text).text == text),
    ("ip.family() -> int", lambda ip: ip.address.version),
    ("ip.isUnspecified() -> bool", lambda ip: ip.address.is_unspecified),
    ("ip.isLoopback() -> bool", lambda ip: ip.address.is_loopback),
    ("ip.isLinkLocalUnicast() -> bool", lambda ip: ip.address.is_link_local),
    (
        "ip.isLinkLocalMulticast() -> bool",
        lambda ip: ip.address in ipaddress.ip_network("224.0.0.0/24" if ip.address.version == 4 else "ff02::/16"),
    ),
    (
        "ip.isGlobalUnicast() -> bool",
        lambda ip: (
            not (
                ip.address.is_multicast
                or ip.address.is_loopback
                or ip.address.is_link_local
                or ip.address.is_unspecified
                or str(ip.address) == "255.255.255.255"
            )
        ),
    ),
    ("cidr(string) -> cidr", _cidr),
    ("isCIDR(string) -> bool", _is(_cidr)),
    *((f"cidr.containsIP({kind}) -> bool", _has_address) for kind in ("string", "ip")),
    *((f"cidr.containsCIDR({kind}) -> bool", _has_network) for kind in ("string", "cidr")),
    ("cidr.ip() -> ip", lambda cidr: Ip(cidr.address)),
    ("cidr.masked() -> cidr", lambda cidr: Cidr(cidr.network.network_address, cidr.prefix)),
    ("cidr.prefixLength() -> int", lambda cidr: cidr.prefix),
    ("semver(string) -> semver", _semver),
    ("semver(string,bool) -> semver", _semver),
    ("isSemver(string) -> bool", _is(_semver)),
    ("isSemver(string,bool) -> bool", _is(_semver)),
    ("semver.major() -> int", lambda version: version.major),
    ("semver.minor() -> int", lambda version: version.minor),
    ("semver.patch() -> int", lambda version: version.patch),
    ("!format.named(string) -> optional(format)", _named),
    *((f"!format.{name}() -> format", _format(name)) for name in FORMATS),
    ("format.validate(string) -> optional(list(string))", _validate),
]
