"""What a container reads of the network in /etc/resolv.conf and /etc/hosts, pure: from settings to whole texts."""

import ipaddress
from collections.abc import Iterable, Sequence

import msgspec

from boxship.errors import Invalid

RESOLVER = "127.0.0.11"
FALLBACK_NAMESERVERS = ("8.8.8.8", "8.8.4.4")
HOST_GATEWAY = "host-gateway"
LOCAL_HOSTS = """127.0.0.1\tlocalhost
::1\tlocalhost ip6-localhost ip6-loopback
fe00::\tip6-localnet
ff00::\tip6-mcastprefix
ff02::1\tip6-allnodes
ff02::2\tip6-allrouters
"""


class ResolverConfig(msgspec.Struct, frozen=True):
    """The parts of a resolv.conf(5) that matter."""

    nameservers: tuple[str, ...] = ()
    search: tuple[str, ...] = ()
    options: tuple[str, ...] = ()


def parse_resolv_conf(text: str) -> ResolverConfig:
    """Read a resolv.conf; lines that say nothing known are passed over. The last search line counts."""
    nameservers: list[str] = []
    search: tuple[str, ...] = ()
    options: list[str] = []
    for line in text.splitlines():
        words = line.split("#")[0].split(";")[0].split()
        if len(words) < 2:
            continue
        if words[0] == "nameserver" and is_address(words[1]):
            nameservers.append(words[1])
        elif words[0] in ("search", "domain"):
            search = tuple(words[1:])
        elif words[0] == "options":
            options += words[1:]
    return ResolverConfig(tuple(nameservers), search, tuple(options))


def is_address(text: str) -> bool:
    try:
        ipaddress.ip_address(text.split("%")[0])
    except ValueError:
        return False
    return True


def reachable_nameservers(nameservers: Iterable[str]) -> tuple[str, ...]:
    """Those that a container can ask itself: IPv4 and not the host's loopback; public ones where none is left."""
    found = []
    for text in nameservers:
        address = ipaddress.ip_address(text.split("%")[0])
        if address.version == 4 and not address.is_loopback:
            found.append(text)
    return tuple(found) or FALLBACK_NAMESERVERS


def merge(host: ResolverConfig, dns: Sequence[str], search: Sequence[str], options: Sequence[str]) -> ResolverConfig:
    """The host's configuration with the container's own words in place of it; a search of "." means none."""
    domains = tuple(search) if search else host.search
    return ResolverConfig(
        nameservers=tuple(dns) or host.nameservers,
        search=() if domains == (".",) else tuple(domain for domain in domains if domain != "."),
        options=tuple(options) or host.options,
    )


def resolv_conf(config: ResolverConfig, *, own_resolver: bool) -> str:
    """The text of /etc/resolv.conf, with our resolver or with nameservers that the container asks itself."""
    options = config.options
    if own_resolver:
        nameservers: tuple[str, ...] = (RESOLVER,)
        if not any(option.startswith("ndots:") for option in options):
            options = (*options, "ndots:0")
    else:
        nameservers = reachable_nameservers(config.nameservers)
    lines = [f"nameserver {address}" for address in nameservers]
    lines += [f"search {' '.join(config.search)}"] if config.search else []
    lines += [f"options {' '.join(options)}"] if options else []
    return "\n".join(lines) + "\n"


def wants_dots(options: Iterable[str]) -> bool:
    """Whether the user set ndots above 0, so that names without a dot are meant to be completed by search domains."""
    return any(option.startswith("ndots:") and option[6:].isdecimal() and int(option[6:]) > 0 for option in options)


def parse_extra_host(text: str, gateway: str) -> tuple[str, str]:
    """Name and address of "name:address" or "name=address"; the address may be "host-gateway"."""
    separator = "=" if "=" in text else ":"
    name, found, address = text.partition(separator)
    if not found or not name:
        raise Invalid(f'bad format for add-host: "{text}"')
    if address == HOST_GATEWAY:
        if not gateway:
            raise Invalid("unable to derive the IP value for host-gateway")
        return name, gateway
    address = address.removeprefix("[").removesuffix("]")
    if not is_address(address):
        raise Invalid(f'invalid IP address in add-host: "{address}"')
    return name, address


def hosts(
    *, addresses: Iterable[str], hostname: str, domainname: str, extra: Iterable[tuple[str, str]], start: str = ""
) -> str:
    """The text of /etc/hosts: the local names (or `start`), what the user added, then the container's own addresses."""
    text = start or LOCAL_HOSTS
    if not text.endswith("\n"):
        text += "\n"
    own = f"{hostname}.{domainname} {hostname}" if domainname else hostname
    text += "".join(f"{address}\t{name}\n" for name, address in extra)
    if hostname:
        text += "".join(f"{address}\t{own}\n" for address in addresses)
    return text
