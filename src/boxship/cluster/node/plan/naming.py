"""A pod's names: host name, domain, and the resolver's settings. Pure but for the host's resolv.conf, whose text is
given.

Source: kubernetes.io, "DNS for Services and Pods", "Customizing DNS Service".
"""

from collections.abc import Iterable
from typing import Any

import msgspec

from boxship.cluster.node.plan.facts import NodeFacts
from boxship.cluster.node.planning import NotPossible
from boxship.cluster.objects import Object

NAME_LIMIT = 63
FULL_NAME_LIMIT = 64
SERVERS_LIMIT, SEARCHES_LIMIT, SEARCH_CHARACTERS = 3, 32, 2048
OPTION = "ndots:5"


class Resolver(msgspec.Struct, frozen=True):
    servers: tuple[str, ...] = ()
    searches: tuple[str, ...] = ()
    options: tuple[str, ...] = ()


def parse_resolv(text: str) -> Resolver:
    """resolv.conf(5), of which the last search line counts."""
    servers: list[str] = []
    searches: list[str] = []
    options: list[str] = []
    for line in text.splitlines():
        words = line.strip().split()
        if not words or words[0][0] in "#;":
            continue
        if words[0] == "nameserver" and len(words) > 1:
            servers.append(words[1])
        elif words[0] == "search":
            searches = [word if word == "." else word.rstrip(".") for word in words[1:]]
        elif words[0] == "options":
            options = words[1:]
    return Resolver(tuple(servers), tuple(searches), tuple(options))


def resolver_of(pod: Object, facts: NodeFacts, host: Resolver) -> Resolver:
    """What the pod's policy says, then its own settings over it."""
    spec = pod["spec"]
    policy = spec.get("dnsPolicy") or "ClusterFirst"
    if policy == "ClusterFirst" and spec.get("hostNetwork"):
        policy = "Default"
    if policy == "None":
        found = Resolver()
    elif policy == "Default" or not facts.dns:
        found = host
    else:
        domain = facts.domain
        own = (f"{pod['metadata']['namespace']}.svc.{domain}", f"svc.{domain}", domain)
        found = Resolver(facts.dns, _once((*own, *host.searches)), (OPTION,))
    return _limited(_with_settings(found, spec.get("dnsConfig") or {}))


def _with_settings(found: Resolver, settings: dict[str, Any]) -> Resolver:
    options = {text.partition(":")[0]: text for text in found.options}
    for option in settings.get("options") or ():
        value = option.get("value")
        options[option["name"]] = option["name"] + (f":{value}" if value not in (None, "") else "")
    return Resolver(
        _once((*found.servers, *(settings.get("nameservers") or ()))),
        _once((*found.searches, *(settings.get("searches") or ()))),
        tuple(options.values()),
    )


def _limited(found: Resolver) -> Resolver:
    """As much of it as resolvers take: they read no more."""
    searches: list[str] = []
    for search in found.searches[:SEARCHES_LIMIT]:
        if len(" ".join((*searches, search))) > SEARCH_CHARACTERS:
            break
        searches.append(search)
    return Resolver(found.servers[:SERVERS_LIMIT], tuple(searches), found.options)


def _once(words: Iterable[str]) -> tuple[str, ...]:
    return tuple(dict.fromkeys(words))


def names_of(pod: Object, facts: NodeFacts) -> tuple[str, str]:
    """Host name and domain ("" for none). Raises NotPossible for one that the kernel does not take."""
    spec, metadata = pod["spec"], pod["metadata"]
    override = spec.get("hostnameOverride")
    if override:
        return override, ""
    if spec.get("hostNetwork"):
        return facts.node, ""
    name = spec.get("hostname") or metadata["name"]
    if len(name) > NAME_LIMIT:
        name = name[:NAME_LIMIT].rstrip("-.")
    subdomain = spec.get("subdomain")
    domain = f"{subdomain}.{metadata['namespace']}.svc.{facts.domain}" if subdomain else ""
    if spec.get("setHostnameAsFQDN") and domain:
        full = f"{name}.{domain}"
        if len(full) > FULL_NAME_LIMIT:
            why = (
                f"failed to construct FQDN from pod hostname and cluster domain, FQDN {full} is too long "
                f"({FULL_NAME_LIMIT} characters is the max, {len(full)} characters requested)"
            )
            raise NotPossible("FailedCreatePodSandBox", why)
        return full, domain
    return name, domain
