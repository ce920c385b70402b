"""The annotations of ingress-nginx that are acted upon. What is unknown or wrongly written is named, so that nobody
believes in it; where it was to protect something, the Ingress serves nothing until it is right.

Source: ingress-nginx, "Annotations".
"""

import re
from collections.abc import Callable, Mapping
from typing import Any

import msgspec

from boxship.cluster.objects.ingress import reading

PREFIX = "nginx.ingress.kubernetes.io/"
PROTOCOLS = ("HTTP", "HTTPS", "GRPC", "GRPCS", "AUTO_HTTP")
PROTECTING = (
    "auth-url",
    "auth-tls-secret",
    "auth-tls-verify-client",
    "auth-type",
    "auth-secret",
    "auth-secret-type",
    "enable-modsecurity",
    "modsecurity-snippet",
    "enable-global-auth",
    "whitelist-source-range",
    "allowlist-source-range",
    "denylist-source-range",
    "satisfy",
    "limit-rps",
    "limit-rpm",
    "limit-connections",
)
# What we do anyhow: (annotation, value).
AS_IT_IS = {
    ("affinity-mode", "balanced"),
    ("auth-secret-type", "auth-file"),
    ("proxy-buffering", "off"),
    ("proxy-request-buffering", "off"),
    ("proxy-http-version", "1.1"),
    ("satisfy", "all"),
    ("ssl-prefer-server-ciphers", "true"),
    ("enable-modsecurity", "false"),
    ("enable-opentelemetry", "false"),
    ("enable-global-auth", "false"),
    ("enable-access-log", "false"),
    ("enable-rewrite-log", "false"),
    ("ssl-passthrough", "false"),
    ("affinity-canary-behavior", "sticky"),
}
METHODS = "GET, PUT, POST, DELETE, PATCH, OPTIONS"
HEADERS = "DNT,Keep-Alive,User-Agent,X-Requested-With,If-Modified-Since,Cache-Control,Content-Type,Range,Authorization"
_HEADER_VALUE = re.compile(r"\$http_[a-z0-9_]+")
REDIRECTS = (301, 302, 303, 307, 308)
SAME_SITE = {"strict": "Strict", "lax": "Lax", "none": "None"}


class Cookie(msgspec.Struct, frozen=True):
    """Affinity by a cookie."""

    name: str = "INGRESSCOOKIE"
    path: str = "/"
    max_age: int = 0
    secure: bool = False
    same_site: str = ""
    domain: str = ""


class Cors(msgspec.Struct, frozen=True):
    origins: tuple[str, ...] = ("*",)
    methods: str = METHODS
    headers: str = HEADERS
    exposed: str = ""
    credentials: bool = True
    max_age: int = 1_728_000


class Canary(msgspec.Struct, frozen=True):
    weight: int = 0
    total: int = 100
    header: str = ""
    value: str = ""
    pattern: str = ""
    cookie: str = ""


class Limits(msgspec.Struct, frozen=True):
    """Of one client's address."""

    per_second: int = 0
    per_minute: int = 0
    connections: int = 0
    burst: int = 5
    spared: tuple[str, ...] = ()


class Settings(msgspec.Struct, frozen=True):
    rewrite: str = ""
    use_regex: bool = False
    ssl_redirect: bool = True
    force_ssl_redirect: bool = False
    body_bytes: int = 0  # 0: any
    connect_seconds: int = 5
    read_seconds: int = 60
    send_seconds: int = 60
    tunnel_seconds: int = 3600
    protocol: str = "HTTP"
    cookie: Cookie | None = None
    allowed: tuple[str, ...] = ()
    denied: tuple[str, ...] = ()
    cors: Cors | None = None
    auth_secret: str = ""  # of the Ingress's namespace; "": nobody has to say who he is
    auth_is_map: bool = False
    auth_realm: str = "Authentication Required"
    canary: Canary | None = None
    app_root: str = ""
    redirect: str = ""
    redirect_code: int = 0
    limits: Limits = Limits()
    aliases: tuple[str, ...] = ()
    vhost: str = ""
    forwarded_prefix: str = ""
    www_redirect: bool = False
    hash_by: str = ""
    least_connections: bool = False
    one_server: bool = False  # the Service's own address instead of its endpoints
    unsupported: tuple[str, ...] = ()
    wrong: tuple[str, ...] = ()
    closed: str = ""  # why nothing is served


def is_expression(settings: Settings, kind: str) -> bool:
    """Whether paths of that type are regular expressions."""
    return settings.use_regex or (bool(settings.rewrite) and kind == "ImplementationSpecific")


Read = Callable[[str], Any]
SIMPLE: dict[str, tuple[str, Read]] = {
    "rewrite-target": ("rewrite", reading.visible),
    "use-regex": ("use_regex", reading.flag),
    "ssl-redirect": ("ssl_redirect", reading.flag),
    "force-ssl-redirect": ("force_ssl_redirect", reading.flag),
    "proxy-body-size": ("body_bytes", reading.size_bytes),
    "proxy-connect-timeout": ("connect_seconds", reading.seconds),
    "proxy-read-timeout": ("read_seconds", reading.seconds),
    "proxy-send-timeout": ("send_seconds", reading.seconds),
    "whitelist-source-range": ("allowed", reading.networks),
    "allowlist-source-range": ("allowed", reading.networks),
    "denylist-source-range": ("denied", reading.networks),
    "auth-realm": ("auth_realm", reading.plain),
    "app-root": ("app_root", reading.visible),
    "server-alias": ("aliases", lambda text: tuple(map(reading.host, reading.names(text)))),
    "upstream-vhost": ("vhost", reading.visible),
    "x-forwarded-prefix": ("forwarded_prefix", reading.visible),
    "from-to-www-redirect": ("www_redirect", reading.flag),
    "service-upstream": ("one_server", reading.flag),
}
COOKIE: dict[str, tuple[str, Read]] = {
    "session-cookie-name": ("name", reading.header),
    "session-cookie-path": ("path", reading.visible),
    "session-cookie-max-age": ("max_age", reading.number),
    "session-cookie-expires": ("max_age", reading.number),
    "session-cookie-secure": ("secure", reading.flag),
    "session-cookie-samesite": ("same_site", lambda text: _choice(SAME_SITE, text.lower())),
    "session-cookie-domain": ("domain", reading.host),
}
CORS: dict[str, tuple[str, Read]] = {
    "cors-allow-origin": ("origins", lambda text: tuple(map(reading.visible, reading.names(text)))),
    "cors-allow-methods": ("methods", reading.plain),
    "cors-allow-headers": ("headers", reading.plain),
    "cors-expose-headers": ("exposed", reading.plain),
    "cors-allow-credentials": ("credentials", reading.flag),
    "cors-max-age": ("max_age", reading.number),
}
CANARY: dict[str, tuple[str, Read]] = {
    "canary-weight": ("weight", reading.number),
    "canary-weight-total": ("total", lambda text: reading.number(text, 1)),
    "canary-by-header": ("header", reading.header),
    "canary-by-header-value": ("value", reading.visible),
    "canary-by-header-pattern": ("pattern", reading.pattern),
    "canary-by-cookie": ("cookie", reading.header),
}
LIMITS: dict[str, tuple[str, Read]] = {
    "limit-rps": ("per_second", reading.number),
    "limit-rpm": ("per_minute", reading.number),
    "limit-connections": ("connections", reading.number),
    "limit-burst-multiplier": ("burst", lambda text: reading.number(text, 1)),
    "limit-whitelist": ("spared", reading.networks),
}


def parse(annotations: Mapping[str, str], namespace: str) -> Settings:
    """Of an Ingress in that namespace."""
    given = {key.removeprefix(PREFIX): value for key, value in annotations.items() if key.startswith(PREFIX)}
    wrong: dict[str, str] = {}
    known: set[str] = set()

    def gathered(table: Mapping[str, tuple[str, Read]]) -> dict[str, Any]:
        found: dict[str, Any] = {}
        for name, (field, read) in table.items():
            if name not in given:
                continue
            known.add(name)
            try:
                found[field] = read(given[name])
            except ValueError as error:
                wrong[name] = str(error)
        return found

    fields = gathered(SIMPLE)
    cookie, cors, canary = gathered(COOKIE), gathered(CORS), gathered(CANARY)
    fields["limits"] = Limits(**gathered(LIMITS))
    switches = gathered({name: (name, reading.flag) for name in ("enable-cors", "canary")})
    if given.get("affinity") == "cookie":
        fields["cookie"] = Cookie(**cookie)
        known.add("affinity")
    if switches.get("enable-cors"):
        fields["cors"] = Cors(**cors)
    if switches.get("canary"):
        fields["canary"] = Canary(**canary)
    if "proxy-read-timeout" in given and "read_seconds" in fields:
        fields["tunnel_seconds"] = fields["read_seconds"]
    for extra in (_redirect, _auth, _balance, _protocol):
        try:
            fields |= extra(given, known, namespace)
        except _Wrong as error:
            wrong[error.name] = str(error)
    unsupported = sorted(
        name for name, value in given.items() if name not in known and (name, value.strip()) not in AS_IT_IS
    )
    closing = sorted({*unsupported, *wrong} & set(PROTECTING))
    return Settings(
        **fields,
        unsupported=tuple(PREFIX + name for name in unsupported),
        wrong=tuple(f"{PREFIX}{name}: {why}" for name, why in sorted(wrong.items())),
        closed=f"{PREFIX}{closing[0]}" if closing else "",
    )


class _Wrong(ValueError):
    def __init__(self, name: str, why: str) -> None:
        super().__init__(why)
        self.name = name


def _redirect(given: Mapping[str, str], known: set[str], namespace: str) -> dict[str, Any]:
    for name, code in (("temporal-redirect", 302), ("permanent-redirect", 301)):
        known |= {name, f"{name}-code"}
        if given.get(name):
            try:
                chosen = reading.number(given.get(f"{name}-code") or str(code))
                target = reading.visible(given[name])
            except ValueError as error:
                raise _Wrong(name, str(error)) from None
            return {"redirect": target, "redirect_code": chosen if chosen in REDIRECTS else code}
    return {}


def _auth(given: Mapping[str, str], known: set[str], namespace: str) -> dict[str, Any]:
    if "auth-type" not in given:
        return {}
    if given["auth-type"].strip() != "basic":
        return {}  # stays unknown
    known |= {"auth-type", "auth-secret", "auth-secret-type"}
    place, _, name = given.get("auth-secret", "").strip().rpartition("/")
    if not name or place not in ("", namespace):
        raise _Wrong("auth-secret", "name a secret of the same namespace")
    try:
        reading.object_name(name)
    except ValueError as error:
        raise _Wrong("auth-secret", str(error)) from None
    kind = given.get("auth-secret-type", "auth-file").strip()
    if kind not in ("auth-file", "auth-map"):
        raise _Wrong("auth-secret-type", "write auth-file or auth-map")
    return {"auth_secret": name, "auth_is_map": kind == "auth-map"}


def _balance(given: Mapping[str, str], known: set[str], namespace: str) -> dict[str, Any]:
    fields: dict[str, Any] = {}
    if given.get("load-balance") in ("round_robin", "ewma"):
        known.add("load-balance")
        fields["least_connections"] = given["load-balance"] == "ewma"
    keys = {"$remote_addr": "source", "$binary_remote_addr": "source", "$request_uri": "uri whole"}
    wanted = given.get("upstream-hash-by", "").strip()
    if wanted in keys:
        known.add("upstream-hash-by")
        fields["hash_by"] = keys[wanted]
    elif _HEADER_VALUE.fullmatch(wanted):
        known.add("upstream-hash-by")
        fields["hash_by"] = f"hdr({wanted.removeprefix('$http_').replace('_', '-')})"
    return fields


def _protocol(given: Mapping[str, str], known: set[str], namespace: str) -> dict[str, Any]:
    wanted = given.get("backend-protocol", "HTTP").strip().upper()
    if wanted not in PROTOCOLS:
        return {}  # stays unknown
    known.add("backend-protocol")
    return {"protocol": wanted}


def _choice(table: Mapping[str, str], text: str) -> str:
    if text.strip() not in table:
        raise ValueError(f"write one of {', '.join(table)}")
    return table[text.strip()]
