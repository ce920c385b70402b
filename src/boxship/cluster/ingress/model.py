"""Ingresses as sites (hosts), routes (paths) and backends. Pure.

Of two Ingresses that claim the same host and path the older one has it. What no rule of any Ingress matches goes to the
default backend of an Ingress that names the host, else to the oldest one's that has any. Source: documentation
"Ingress"; ingress-nginx (aliases, canaries).
"""

import hashlib
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

import msgspec

from boxship.cluster.objects import Object
from boxship.cluster.objects.ingress import reading
from boxship.cluster.objects.ingress.annotations import Settings, is_expression, parse
from boxship.cluster.reconcile.cache import Key

EXACT, PREFIX, REGEX = "exact", "prefix", "regex"
ANY_HOST = ""
Identity = tuple[str, int]


class Backend(msgspec.Struct, frozen=True):
    """`name` is haproxy's. `path` and `regex` say what was matched, for rewriting. Where `service` is empty there is
    nothing behind it but what the settings answer themselves."""

    name: str
    namespace: str
    service: str
    port: str | int
    settings: Settings
    regex: str = ""
    tls: bool = False  # the host has TLS: plain requests are sent there
    only_at_root: str = ""  # a redirect for "/" alone


class Route(msgspec.Struct, frozen=True):
    """`is_default`: it has what no rule matches, so it comes after all rules."""

    host: str
    kind: str
    path: str
    backend: Backend
    canary: Backend | None = None
    is_default: bool = False


class Plan(msgspec.Struct, frozen=True):
    """`certificates`: host → secret. `redirects`: host → the host to go to."""

    routes: tuple[Route, ...] = ()
    certificates: Mapping[str, Key] = {}
    aliases: Mapping[str, str] = {}
    redirects: Mapping[str, str] = {}

    @property
    def backends(self) -> dict[str, Backend]:
        found = {}
        for route in self.routes:
            found[route.backend.name] = route.backend
            if route.canary is not None:
                found[route.canary.name] = route.canary
        return found


class Parsed(msgspec.Struct, frozen=True):
    """An Ingress with its annotations read."""

    object: Object
    settings: Settings


def parsed_of(ingress: Object) -> Parsed:
    metadata = ingress["metadata"]
    return Parsed(ingress, parse(metadata.get("annotations") or {}, metadata.get("namespace", "")))


def plan_of(ingresses: Iterable[Parsed]) -> Plan:
    """Of Ingresses that are ours."""
    parsed = [(one.object, one.settings) for one in sorted(ingresses, key=age_of)]
    certificates: dict[str, Key] = {}
    tls: set[str] = set()
    for ingress, _ in parsed:
        for entry in (ingress.get("spec") or {}).get("tls") or ():
            for host in entry.get("hosts") or ():
                tls.add(host)
                if entry.get("secretName"):
                    certificates.setdefault(host, (ingress["metadata"]["namespace"], entry["secretName"]))
    routes: dict[tuple[str, str, str], Route] = {}
    canaries: list[Route] = []
    aliases: dict[str, str] = {}
    redirects: dict[str, str] = {}
    found = [(settings, route) for ingress, settings in parsed for route in _routes(ingress, settings, tls)]
    for settings, route in sorted(found, key=lambda one: one[1].is_default):
        if settings.canary is not None:
            canaries.append(route)
            continue
        routes.setdefault((route.host, route.kind, route.path), route)
        for alias in settings.aliases if route.host else ():
            aliases.setdefault(alias, route.host)
        if settings.www_redirect and route.host and not route.host.startswith("*."):
            www = route.host.removeprefix("www.") if route.host.startswith("www.") else f"www.{route.host}"
            redirects.setdefault(www, route.host)
    for one in canaries:
        place = (one.host, one.kind, one.path)
        main = routes.get(place)
        if main is not None and main.canary is None:
            routes[place] = msgspec.structs.replace(main, canary=one.backend)
    known = {host for host, _, _ in routes}
    return Plan(
        tuple(routes.values()),
        certificates,
        {alias: host for alias, host in aliases.items() if alias not in known},
        {www: host for www, host in redirects.items() if www not in known},
    )


def _routes(ingress: Object, settings: Settings, tls: set[str]) -> Iterator[Route]:
    spec = ingress.get("spec") or {}
    default = (spec.get("defaultBackend") or {}).get("service")
    hosts = {}
    for rule in spec.get("rules") or ():
        host = (rule.get("host") or ANY_HOST).lower()
        hosts[host] = host in tls
        for entry in (rule.get("http") or {}).get("paths") or ():
            service = (entry.get("backend") or {}).get("service")
            if service is None:
                continue
            kind, path = _match(entry, settings)
            if (kind == REGEX and not _is_right(path)) or not _is_plain(path):
                continue  # the control plane says so of expressions; no request has such a path
            yield Route(host, kind, path, _backend(ingress, settings, service, kind, path, host in tls))
        if settings.app_root:
            yield Route(host, EXACT, "/", _root(ingress, settings, host in tls))
    if default is None:
        return
    for host, has_tls in {**hosts, ANY_HOST: False}.items():
        backend = _backend(ingress, settings, default, PREFIX, "/", has_tls)
        yield Route(host, PREFIX, "/", backend, is_default=True)


def _match(entry: Object, settings: Settings) -> tuple[str, str]:
    """How a path is compared, and with what."""
    path, kind = entry.get("path") or "/", entry.get("pathType") or "ImplementationSpecific"
    if is_expression(settings, kind):
        return REGEX, path
    if kind == "Exact":
        return EXACT, path
    return PREFIX, path.rstrip("/") or "/"


def _backend(ingress: Object, settings: Settings, service: Object, kind: str, path: str, tls: bool) -> Backend:
    metadata = ingress["metadata"]
    port = service.get("port") or {}
    wanted: str | int = port.get("name") or int(port.get("number") or 0)
    expression = {REGEX: path, EXACT: f"{_literal(path)}$"}.get(kind, _literal(path)).replace("'", "\\x27")
    return Backend(
        _name(metadata, service["name"], wanted, kind, path, tls),
        metadata["namespace"],
        service["name"],
        wanted,
        settings,
        regex=expression if settings.rewrite else "",
        tls=tls,
    )


def _root(ingress: Object, settings: Settings, tls: bool) -> Backend:
    metadata = ingress["metadata"]
    name = _name(metadata, "", 0, "root", "/", tls)
    return Backend(name, metadata["namespace"], "", 0, settings, tls=tls, only_at_root=settings.app_root)


def _name(metadata: Object, *parts: Any) -> str:
    """Like "default_web_3f2a91c0": readable, and not the same for two."""
    whole = "\0".join([metadata["namespace"], metadata["name"], *map(str, parts)])
    return f"{metadata['namespace']}_{metadata['name']}_{hashlib.sha256(whole.encode()).hexdigest()[:12]}"


def _is_plain(path: str) -> bool:
    return not any(character.isspace() or ord(character) < 32 for character in path)


def _is_right(expression: str) -> bool:
    try:
        return reading.pattern(expression) == expression
    except ValueError:
        return False


def _literal(path: str) -> str:
    return "".join(f"\\{character}" if character in ".^$*+?()[]{}|\\" else character for character in path)


def age_of(ingress: Parsed) -> tuple[str, str, str]:
    """For sorting: the oldest first."""
    metadata = ingress.object["metadata"]
    return metadata.get("creationTimestamp", ""), metadata.get("namespace", ""), metadata["name"]


def identity(ingress: Parsed) -> Identity:
    """Another one as soon as it is changed."""
    metadata = ingress.object["metadata"]
    return str(metadata.get("uid", metadata["name"])), hash(repr(rules_part(ingress.object)))


def rules_part(object: Object) -> tuple[Any, ...]:
    """All of an Ingress or a class that decides anything."""
    return object.get("spec"), object["metadata"].get("annotations")
