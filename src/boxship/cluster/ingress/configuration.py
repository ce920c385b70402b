"""haproxy's files, all of them, out of what is wanted. Pure."""

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

import msgspec

from boxship.cluster.ingress.body_sizes import ANSWER, FILTER, LIMITS, PROGRAM, TOO_LARGE
from boxship.cluster.ingress.facts import Place
from boxship.cluster.ingress.model import Backend, Plan
from boxship.cluster.ingress.older_hashes import older_of, program
from boxship.cluster.ingress.routing import NOBODY, Tables, tables_of
from boxship.cluster.ingress.rules import rules_of, users_name
from boxship.cluster.ingress.slots import Slots

OLD_SECONDS = 3600  # that connections of before the last change may last
NO_ROUTE = "no_route"
CONFIGURATION, CERTIFICATES, ACCOUNTS = "haproxy.cfg", "certificates.list", "accounts.lua"
BALANCES = {True: "leastconn", False: "roundrobin"}


class Wanted(msgspec.Struct, frozen=True):
    """`plain` and `tls` are the places to listen on. `certificates` are PEM files by name, `hosts` the hosts of each;
    the first is for hosts that no other is for. `accounts`: user → hash by the name of the list (`users_name`).
    `external`: backends whose only server is a name."""

    plan: Plan
    slots: Mapping[str, Slots]
    external: Mapping[str, Place]
    plain: Sequence[Place]
    tls: Sequence[Place]
    certificates: Mapping[str, bytes]
    hosts: Mapping[str, Sequence[str]]
    accounts: Mapping[str, Mapping[str, str]]
    user: str = ""
    connections: int = 1000


def files_of(wanted: Wanted, folder: Path, socket: Path) -> dict[str, bytes]:
    """Names in `folder` → contents. `socket` is where the program takes commands."""
    tables = tables_of(wanted.plan)
    files = {f"{name}.map": text.encode() for name, text in tables.maps.items()}
    files |= wanted.certificates
    listed = [f"{folder / name} {' '.join(hosts)}".rstrip() for name, hosts in wanted.hosts.items()]
    if any(map(older_of, wanted.accounts.values())):
        files[ACCOUNTS] = program({name: older_of(users) for name, users in wanted.accounts.items()}).encode()
    if any(backend.settings.body_bytes for backend in wanted.plan.backends.values()):
        files |= {LIMITS: PROGRAM, ANSWER: TOO_LARGE}
    files[CERTIFICATES] = "".join(f"{line}\n" for line in listed).encode()
    programs = [name for name in (ACCOUNTS, LIMITS) if name in files]
    files[CONFIGURATION] = "\n".join(_lines(wanted, tables, folder, socket, programs)).encode() + b"\n"
    return files


def _lines(wanted: Wanted, tables: Tables, folder: Path, socket: Path, programs: Sequence[str]) -> Iterator[str]:
    yield from _global(wanted, socket)
    yield from (f"    lua-load {folder / name}" for name in programs)
    yield from _defaults()
    yield from _frontend(wanted, tables, folder)
    for listed, users in sorted(wanted.accounts.items()):
        yield f"userlist {listed}"
        older = older_of(users)
        newer = [(name, hashed) for name, hashed in sorted(users.items()) if name not in older]
        yield from (f"    user {name} password {hashed}" for name, hashed in newer)
    yield f"backend {NO_ROUTE}"
    yield '    http-request return status 404 content-type text/plain string "default backend - 404"'
    for backend in sorted(wanted.plan.backends.values(), key=lambda one: one.name):
        yield f"backend {backend.name}"
        yield from (f"    {line}" for line in _backend(backend, wanted, folder))


def _global(wanted: Wanted, socket: Path) -> Iterator[str]:
    yield "global"
    yield f"    maxconn {wanted.connections}"
    yield "    no strict-limits"
    yield f"    hard-stop-after {OLD_SECONDS}s"
    yield f"    stats socket {socket} mode 600 level admin expose-fd listeners"
    yield "    expose-experimental-directives"
    yield "    tune.ssl.default-dh-param 2048"
    yield "    ssl-default-bind-options ssl-min-ver TLSv1.2 no-tls-tickets"
    if wanted.user:
        yield f"    user {wanted.user}"
        yield f"    group {wanted.user}"


def _defaults() -> Iterator[str]:
    yield "defaults"
    yield "    mode http"
    yield "    timeout client 60s"
    yield "    timeout http-request 30s"
    yield "    timeout http-keep-alive 75s"
    yield "    timeout connect 5s"
    yield "    timeout server 60s"
    yield "    timeout queue 10s"
    yield "    timeout tunnel 3600s"
    yield "    option http-keep-alive"
    yield "    option redispatch 1"
    yield "    retries 3"
    yield "    retry-on conn-failure empty-response"
    yield "resolvers host"
    yield "    parse-resolv-conf"
    yield "    hold valid 5s"


def _frontend(wanted: Wanted, tables: Tables, folder: Path) -> Iterator[str]:
    def found(name: str) -> str:
        return str(folder / f"{name}.map")

    yield "frontend ingress"
    for place in wanted.plain:
        yield f"    bind {place.host}:{place.port}"
    for place in wanted.tls:
        yield f"    bind {place.host}:{place.port} ssl crt-list {folder / CERTIFICATES} alpn h2,http/1.1"
    unknown = "!{ var(txn.route) -m found }"
    fallback = f"http-request set-var(txn.route) str({tables.fallback}) if {unknown}"
    lines = [
        "http-request normalize-uri percent-decode-unreserved",
        "http-request normalize-uri path-merge-slashes",
        "http-request normalize-uri path-strip-dot",
        "http-request normalize-uri path-strip-dotdot full",
        "http-request disable-l7-retry if !METH_GET !METH_HEAD !METH_OPTIONS",
        *_path(),
        "http-request set-var(txn.host) req.hdr(host),field(1,:),lower,rtrim(.)",
        f"http-request redirect prefix %[ssl_fc,iif(https,http)]://%[var(txn.host),map_str({found('moved')})] code 308 "
        f"if {{ var(txn.host),map_str({found('moved')}) -m found }}",
        f"http-request set-var(txn.site) var(txn.host),map_str({found('hosts')})",
        f"http-request set-var(txn.site) var(txn.host),regsub(^[^.]+,),map_str({found('wildcards')}) "
        "if !{ var(txn.site) -m found }",
        f"http-request set-var(txn.site) str({NOBODY}) if !{{ var(txn.site) -m found }}",
        "http-request set-var(txn.key) var(txn.site),concat(,txn.path)",
        f"http-request set-var(txn.route) var(txn.key),map_str({found('exact')})",
        f"http-request set-var(txn.route) var(txn.key),map_reg({found('patterns')}) if {unknown}",
        f"http-request set-var(txn.route) var(txn.key),concat(/),map_beg({found('prefixes')}) if {unknown}",
        *((fallback,) if tables.fallback else ()),
        *_canaries(tables),
        "http-request set-header X-Real-IP %[src]",
        "http-request set-header X-Forwarded-For %[src]",
        "http-request set-header X-Forwarded-Host %[req.hdr(host)]",
        "http-request set-header X-Forwarded-Port %[dst_port]",
        "http-request set-header X-Forwarded-Proto %[ssl_fc,iif(https,http)]",
        "http-request set-header X-Forwarded-Scheme %[ssl_fc,iif(https,http)]",
        "http-request set-header X-Scheme %[ssl_fc,iif(https,http)]",
        "http-request set-header X-Request-ID %[uuid] if !{ req.hdr(x-request-id) -m found }",
        "use_backend %[var(txn.route)] if { var(txn.route) -m found }",
        f"default_backend {NO_ROUTE}",
    ]
    yield from (f"    {line}" for line in lines)


def _path() -> Iterator[str]:
    """What rules are compared with: the path as servers understand it, for else "/%61dmin" or "/x%2F../admin" would
    pass by the rules for "/admin". What is no path for anybody is refused."""
    yield "http-request deny deny_status 400 if { path -m sub -i -- %00 }"
    yield "http-request set-var(txn.path) path,url_dec,regsub(//+,/,g)"
    climbs = "{ var(txn.path) -m sub /../ } || { var(txn.path) -m end /.. }"
    yield f"http-request deny deny_status 400 if !{{ var(txn.path) -m found }} || {climbs}"


def _canaries(tables: Tables) -> Iterator[str]:
    """By header, else by cookie, else by chance; each word is the last one."""
    for route in tables.canaries:
        assert route.canary is not None
        canary = route.canary.settings.canary
        if canary is None:
            continue
        here = f"{{ var(txn.route) -m str {route.backend.name} }} !{{ var(txn.decided) -m found }}"
        chosen = f"http-request set-var(txn.route) str({route.canary.name}) if"

        def decided(condition: str, here: str = here) -> str:
            return f"http-request set-var(txn.decided) str(main) if {here} {condition}"

        if canary.header:
            value = f"req.hdr({canary.header})"
            if canary.value:
                yield f"{chosen} {here} {{ {value} -m str -- '{canary.value}' }}"
            elif canary.pattern:
                yield f"{chosen} {here} {{ {value} -m reg -- '{canary.pattern}' }}"
            else:
                yield f"{chosen} {here} {{ {value} -m str always }}"
                yield decided(f"{{ {value} -m str never }}")
        if canary.cookie:
            yield f"{chosen} {here} {{ req.cook({canary.cookie}) -m str always }}"
            yield decided(f"{{ req.cook({canary.cookie}) -m str never }}")
        if canary.weight:
            yield f"{chosen} {here} {{ rand({canary.total}) lt {canary.weight} }}"
        yield f"http-request unset-var(txn.decided) if {{ var(txn.route) -m str {route.backend.name} }}"


def _backend(backend: Backend, wanted: Wanted, folder: Path) -> Iterator[str]:
    settings = backend.settings
    yield f"balance {settings.hash_by or BALANCES[settings.least_connections]}"
    if settings.hash_by:
        yield "hash-type consistent"
    yield f"timeout connect {settings.connect_seconds}s"
    yield f"timeout server {max(settings.read_seconds, settings.send_seconds)}s"
    yield f"timeout tunnel {settings.tunnel_seconds}s"
    if settings.body_bytes:
        yield f"errorfile 400 {folder / ANSWER}"
        yield f"filter lua.{FILTER} {settings.body_bytes}"
    accounts = wanted.accounts.get(users_name(backend))
    tls_port = wanted.tls[0].port if wanted.tls else 0
    yield from rules_of(backend, accounts, tls_port)
    if settings.cookie is not None:
        cookie = settings.cookie
        yield (
            f"cookie {cookie.name} insert indirect nocache httponly dynamic"
            + (" secure" if cookie.secure else "")
            + (f" domain {cookie.domain}" if cookie.domain else "")
            + (f" attr 'Max-Age={cookie.max_age}'" if cookie.max_age else "")
            + (f" attr 'SameSite={cookie.same_site}'" if cookie.same_site else "")
            + (f" attr 'Path={cookie.path}'" if cookie.path != "/" else "")
        )
        yield f"dynamic-cookie-key {backend.name}"
    options = _server_options(settings.protocol)
    external = wanted.external.get(backend.name)
    if external is not None:
        yield f"server e1 {external.host}:{external.port} resolvers host init-addr last,libc,none{options}"
        return
    for number, place in enumerate(wanted.slots.get(backend.name, ()), 1):
        if place is None:
            yield f"server e{number} 127.0.0.1:9 disabled{options}"
        else:
            yield f"server e{number} {place.host}:{place.port}{options}"


def _server_options(protocol: str) -> str:
    return {
        "HTTPS": " ssl verify none sni req.hdr(host),field(1,:)",
        "GRPCS": " ssl verify none alpn h2 sni req.hdr(host),field(1,:)",
        "GRPC": " proto h2",
    }.get(protocol, "")
