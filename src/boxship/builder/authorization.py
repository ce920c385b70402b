"""Who a build is to web servers and git servers: secrets with certain names, as BuildKit has them. Pure.

`HTTP_AUTH_HEADER_<host>` and `HTTP_AUTH_TOKEN_<host>` are for files that ADD fetches; `GIT_AUTH_HEADER` and
`GIT_AUTH_TOKEN`, alone or with `.<host>` behind them, for repositories. A header is the whole value of Authorization.
"""

import base64
from collections.abc import Mapping
from urllib.parse import urlsplit

from boxship.errors import Invalid

WEB = ("http", "https")


def web_headers(url: str, secrets: Mapping[str, bytes]) -> dict[str, str]:
    """The headers for a file's address."""
    host = urlsplit(url).netloc.rpartition("@")[2]
    header = _first(secrets, f"HTTP_AUTH_HEADER_{host}")
    token = _first(secrets, f"HTTP_AUTH_TOKEN_{host}")
    value = header or (f"Bearer {token}" if token else "")
    return {"Authorization": value} if value else {}


def git_environment(url: str, secrets: Mapping[str, bytes]) -> dict[str, str]:
    """What git has to know for a repository's address. The header goes to that very server, and to none that it
    leads on to."""
    parts = urlsplit(url)
    if parts.scheme.lower() not in WEB:
        return {}
    host = parts.netloc.rpartition("@")[2]
    header = _first(secrets, f"GIT_AUTH_HEADER.{host}", "GIT_AUTH_HEADER")
    token = _first(secrets, f"GIT_AUTH_TOKEN.{host}", "GIT_AUTH_TOKEN")
    if not header and token:
        header = "basic " + base64.b64encode(f"x-access-token:{token}".encode()).decode()
    if not header:
        return {}
    settings = {
        f"http.{parts.scheme.lower()}://{host}/.extraHeader": f"Authorization: {header}",
        "http.followRedirects": "false",
    }
    found = {"GIT_CONFIG_COUNT": str(len(settings))}
    for number, (name, value) in enumerate(settings.items()):
        found |= {f"GIT_CONFIG_KEY_{number}": name, f"GIT_CONFIG_VALUE_{number}": value}
    return found


def _first(secrets: Mapping[str, bytes], *names: str) -> str:
    """The first of the secrets that is there, without the line's end that files have."""
    for name in names:
        text = secrets.get(name, b"").decode(errors="surrogateescape").rstrip("\r\n")
        if text and not text.isprintable():
            raise Invalid(f"secret {name}: it is no single line of text")
        if text:
            return text
    return ""
