"""A backend's rules out of the annotations of its Ingress, in the order in which they are applied. Pure.

Whatever text comes from an annotation stands between single quotes, and a quote in it ends nothing; in a format a
percent sign is doubled, so that nothing of it is evaluated. What stands without quotes is a number, a range or a name
of the form that `objects.ingress.reading` lets through.
"""

import re
from collections.abc import Iterator, Mapping

from boxship.cluster.ingress.model import Backend
from boxship.cluster.ingress.older_hashes import older_of
from boxship.cluster.objects.ingress.annotations import Cors, Limits

ENTRIES = 100_000  # clients whose rates are counted, for each backend
UNAVAILABLE = 503


def rules_of(backend: Backend, accounts: Mapping[str, str] | None, tls_port: int) -> Iterator[str]:
    """`accounts` are those who may come in, None where the secret of them is missing. `tls_port` 0: there is no TLS."""
    settings = backend.settings
    if settings.closed:
        yield f"http-request return status {UNAVAILABLE}"
        return
    if tls_port and (settings.force_ssl_redirect or (backend.tls and settings.ssl_redirect)):
        where = "" if tls_port == 443 else f":{tls_port}"
        target = f"https://%[req.hdr(host),field(1,:)]{where}%[pathq]"
        yield f"http-request redirect location {target} code 308 if !{{ ssl_fc }}"
    if settings.allowed:
        yield f"http-request deny deny_status 403 unless {{ src {' '.join(settings.allowed)} }}"
    if settings.denied:
        yield f"http-request deny deny_status 403 if {{ src {' '.join(settings.denied)} }}"
    yield from _limits(settings.limits)
    if settings.cors is not None:
        yield from _preflight(settings.cors)
    if settings.auth_secret:
        if accounts is None:
            yield f"http-request return status {UNAVAILABLE}"
        else:
            name = users_name(backend)
            proof = f"{{ http_auth({name}) }}"
            if older_of(accounts):
                proof += f" || {{ lua.listed({name}) -m bool }}"
            realm = settings.auth_realm.replace("'", "")
            yield f"http-request auth realm {_quoted(realm)} unless {proof}"
    if settings.body_bytes:
        yield f"http-request deny deny_status 413 if {{ req.body_size gt {settings.body_bytes} }}"
    if backend.only_at_root:
        yield f"http-request redirect location {_format(backend.only_at_root)} code 302"
        return
    if settings.redirect:
        yield f"http-request redirect location {_format(settings.redirect)} code {settings.redirect_code}"
        return
    if settings.vhost:
        yield f"http-request set-header Host {_format(settings.vhost)}"
    if settings.forwarded_prefix:
        yield f"http-request set-header X-Forwarded-Prefix {_format(settings.forwarded_prefix)}"
    if settings.rewrite and backend.regex:
        yield f"http-request replace-path '^(?i:{backend.regex})' {_rewriting(settings.rewrite)}"
    if settings.cors is not None:
        yield from _answers(settings.cors)


def users_name(backend: Backend) -> str:
    """Of the list of those who may come in; one secret, read in two ways, is two lists."""
    kind = "map" if backend.settings.auth_is_map else "file"
    return f"users_{kind}_{backend.namespace}_{backend.settings.auth_secret}"


def _limits(limits: Limits) -> Iterator[str]:
    counted = []
    if limits.per_second:
        counted.append("http_req_rate(1s)")
    if limits.per_minute:
        counted.append("gpc0_rate(60s)")
    if limits.connections:
        counted.append("conn_cur")
    if not counted:
        return
    yield f"stick-table type ip size {ENTRIES} expire 120s store {','.join(counted)}"
    spared = f" unless {{ src {' '.join(limits.spared)} }}" if limits.spared else ""
    yield f"http-request track-sc0 src{spared}"
    if limits.per_minute:
        yield "http-request sc-inc-gpc0(0)"
        yield f"http-request deny deny_status 503 if {{ sc_gpc0_rate(0) gt {limits.per_minute * limits.burst} }}"
    if limits.per_second:
        yield f"http-request deny deny_status 503 if {{ sc_http_req_rate(0) gt {limits.per_second * limits.burst} }}"
    if limits.connections:
        yield f"http-request deny deny_status 503 if {{ sc_conn_cur(0) gt {limits.connections} }}"


def _origins(cors: Cors) -> tuple[str, str]:
    """The condition under which an origin may ask, and what it is told."""
    if "*" in cors.origins:
        return "{ req.hdr(origin) -m found }", "*"
    patterns = []
    for origin in cors.origins:
        parts = [re.escape(part) for part in origin.split("*")]
        patterns.append("[A-Za-z0-9-]+".join(parts))
    return f"{{ req.hdr(origin) -m reg '^({'|'.join(patterns)})$' }}", "%[var(txn.origin)]"


def _preflight(cors: Cors) -> Iterator[str]:
    allowed, origin = _origins(cors)
    yield f"http-request set-var(txn.origin) req.hdr(origin) if {allowed}"
    headers = [
        f"hdr Access-Control-Allow-Origin {origin}",
        f"hdr Access-Control-Allow-Methods {_format(cors.methods)}",
        f"hdr Access-Control-Allow-Headers {_format(cors.headers)}",
        f"hdr Access-Control-Max-Age {cors.max_age}",
    ]
    if cors.credentials:
        headers.append("hdr Access-Control-Allow-Credentials true")
    yield f"http-request return status 204 {' '.join(headers)} if METH_OPTIONS {{ var(txn.origin) -m found }}"


def _answers(cors: Cors) -> Iterator[str]:
    _, origin = _origins(cors)
    known = "if { var(txn.origin) -m found }"
    yield f"http-response set-header Access-Control-Allow-Origin {origin} {known}"
    if origin != "*":
        yield f"http-response add-header Vary Origin {known}"
    if cors.credentials:
        yield f"http-response set-header Access-Control-Allow-Credentials true {known}"
    if cors.exposed:
        yield f"http-response set-header Access-Control-Expose-Headers {_format(cors.exposed)} {known}"


def _rewriting(target: str) -> str:
    """nginx's $1 is haproxy's \\1."""
    escaped = target.replace("%", "%%")
    return _quoted(re.sub(r"\$(\d)", r"\\\1", escaped))


def _format(text: str) -> str:
    return _quoted(text.replace("%", "%%"))


def _quoted(text: str) -> str:
    """One word for haproxy, whatever is in it."""
    return "'" + text.replace("'", r"'\''") + "'"
