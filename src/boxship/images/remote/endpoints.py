"""Which addresses serve a registry's names: its mirrors first, then itself; with which certificates, and how safe."""

import ipaddress
import re
from contextlib import suppress
from pathlib import Path
from urllib.parse import unquote, urlsplit

import msgspec

from boxship.errors import Invalid
from boxship.images.remote.model import Credentials, RemoteSettings
from boxship.spec.reference import DEFAULT_DOMAIN
from boxship.transport.client import Trust, is_loopback

DEFAULT_HOST = f"index.{DEFAULT_DOMAIN}"
_NUMBERS = re.compile(r"(?:0x[0-9a-f]*|[0-9]+)(?:\.(?:0x[0-9a-f]*|[0-9]+))*")  # 2130706433, 127.1, 0x7f.1


class Endpoint(msgspec.Struct, frozen=True):
    """One address of a registry: "https://host:port", perhaps with a path. `insecure`: it may turn out to speak plain
    HTTP. A mirror never sees the credentials of the registry that it mirrors; it may have some of its own."""

    base: str
    trust: Trust
    insecure: bool = False
    mirror: bool = False
    credentials: Credentials | None = None

    @property
    def host(self) -> str:
        return urlsplit(self.base).netloc


def endpoints(settings: RemoteSettings, domain: str, *, mirrors: bool = True) -> list[Endpoint]:
    """The addresses to try, in order. Blocks for a look into the certificate folders."""
    found = []
    if mirrors:
        found += [_mirror(settings, address) for address in settings.mirrors.get(domain, ())]
    host = DEFAULT_HOST if domain == DEFAULT_DOMAIN else domain
    insecure = is_insecure(settings, domain)
    found.append(Endpoint(f"https://{host}", trust_for(settings, domain), insecure))
    return found


def _mirror(settings: RemoteSettings, address: str) -> Endpoint:
    parts = urlsplit(check_mirror(settings, address))
    host = parts.netloc.rpartition("@")[2]
    own = Credentials(unquote(parts.username), unquote(parts.password or "")) if parts.username else None
    insecure = is_insecure(settings, host)
    base = f"{parts.scheme}://{host}{parts.path.rstrip('/')}"
    return Endpoint(base, trust_for(settings, host), insecure, mirror=True, credentials=own)


def check_mirror(settings: RemoteSettings, address: str) -> str:
    """A mirror's address. Raises Invalid for one that is none, or that is plain HTTP to a host not named insecure."""
    parts = urlsplit(address)
    if parts.scheme not in ("http", "https") or not parts.hostname or parts.query or parts.fragment:
        raise Invalid(f"cannot use mirror {address}: write https://HOST[:PORT][/PATH]")
    host = parts.netloc.rpartition("@")[2]
    if parts.scheme == "http" and not is_insecure(settings, host):
        raise Invalid(f"cannot use mirror {address}: plain HTTP only goes to loopback or an insecure-registry")
    return address


def is_insecure(settings: RemoteSettings, domain: str) -> bool:
    """Whether plain HTTP or an unknown certificate is accepted: loopback, or named by the operator."""
    return is_loopback(urlsplit(f"//{domain}").hostname or "") or is_named(settings, domain)


def is_named(settings: RemoteSettings, domain: str) -> bool:
    """Whether the operator called the registry insecure."""
    host = urlsplit(f"//{domain}").hostname or ""
    for rule in settings.insecure:
        if rule in (domain, host):
            return True
        with suppress(ValueError):
            if ipaddress.ip_address(host) in ipaddress.ip_network(rule, strict=False):
                return True
    return False


def is_network(rule: str) -> bool:
    """Whether the rule is a network, or an address."""
    try:
        ipaddress.ip_network(rule, strict=False)
    except ValueError:
        return False
    return True


def trust_for(settings: RemoteSettings, domain: str) -> Trust:
    """The system's authorities, those of the settings, and what the folder of that registry has. Where the folder has
    authorities, they hold on loopback too."""
    authorities = list(settings.extra_ca)
    certificate = key = ""
    named = 0
    for folder in settings.certificate_folders:
        own = Path(folder) / domain
        if "/" in domain or domain.startswith(".") or not own.is_dir():
            continue
        authorities += sorted(str(path) for path in own.glob("*.crt"))
        named = len(authorities) - len(settings.extra_ca)
        for path in sorted(own.glob("*.cert")):
            if path.with_suffix(".key").exists():
                certificate, key = str(path), str(path.with_suffix(".key"))
                break
            raise Invalid(f"cannot use {path}: its key {path.with_suffix('.key').name} is missing")
    verify = not is_insecure(settings, domain) or (named > 0 and not is_named(settings, domain))
    return Trust(tuple(authorities), certificate, key, verify)


def leads_inside(host: str, origin: str) -> bool:
    """Whether a server at `origin` points to what only this machine can reach: itself, or its link's own services.
    Spellings of an address that only some programs know are taken for such."""
    if is_loopback(origin):
        return False
    name = host.rstrip(".").lower()
    try:
        address = ipaddress.ip_address(name.partition("%")[0])
    except ValueError:
        return name == "localhost" or name.endswith(".localhost") or _NUMBERS.fullmatch(name) is not None
    if isinstance(address, ipaddress.IPv6Address):
        address = address.ipv4_mapped or address.sixtofour or address
    return address.is_loopback or address.is_link_local or address.is_unspecified
