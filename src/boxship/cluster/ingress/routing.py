"""Routes as the tables by which haproxy finds a request's backend: a host leads to a site, site and path to a backend.
Each look costs the same, however many routes there are; only regular expressions are tried one after the other. Pure.
"""

import re
from collections.abc import Mapping

import msgspec

from boxship.cluster.ingress.model import ANY_HOST, EXACT, PREFIX, REGEX, Plan, Route

NOBODY = "s0-"  # the site of hosts that no Ingress names; no site's name is the beginning of another's
MAPS = ("hosts", "wildcards", "exact", "prefixes", "patterns", "moved")


class Tables(msgspec.Struct, frozen=True):
    """The text of each map, which backends have a canary, and whose is what no rule matches ("": nobody's)."""

    maps: Mapping[str, str]
    canaries: tuple[Route, ...]
    fallback: str = ""


def tables_of(plan: Plan) -> Tables:
    hosts = list(dict.fromkeys(route.host for route in plan.routes if route.host != ANY_HOST))
    sites = {ANY_HOST: NOBODY, **{host: f"s{number}-" for number, host in enumerate(hosts, 1)}}
    named = {host: sites[host] for host in hosts}
    named |= {alias: sites[host] for alias, host in plan.aliases.items() if host in sites}
    lines: dict[str, list[str]] = {name: [] for name in MAPS}
    for host, site in sorted(named.items()):
        if host.startswith("*."):
            lines["wildcards"].append(f"{host[1:]} {site}")
        else:
            lines["hosts"].append(f"{host} {site}")
    lines["moved"] = [f"{host} {target}" for host, target in sorted(plan.redirects.items())]
    by_pattern = {route.host for route in plan.routes if route.kind == REGEX}
    patterns: list[tuple[bool, int, str]] = []
    for route in plan.routes:
        site, name = sites[route.host], route.backend.name
        if route.kind == EXACT:
            lines["exact"].append(f"{site}{route.path} {name}")
        elif route.host in by_pattern:
            patterns.append((route.is_default, -len(route.path), f"^{site}{_pattern(route)} {name}"))
        else:
            lines["prefixes"].append(f"{site}{route.path.rstrip('/')}/ {name}")
    lines["patterns"] = [line for *_, line in sorted(patterns)]
    maps = {name: "".join(f"{line}\n" for line in found) for name, found in lines.items()}
    fallback = next((one.backend.name for one in plan.routes if one.is_default and one.host == ANY_HOST), "")
    return Tables(maps, tuple(route for route in plan.routes if route.canary is not None), fallback)


def _pattern(route: Route) -> str:
    if route.kind == PREFIX:
        return "(/|$)" if route.path == "/" else f"{re.escape(route.path)}(/|$)"
    return f"(?i:{route.path})"
