"""How admission and conversion webhooks are reached: the form of a clientConfig.

Source: apiserver/pkg/util/webhook (validation), documentation "Dynamic Admission Control". The calls themselves are the
API's.
"""

import urllib.parse
from collections.abc import Mapping
from typing import Any

from boxship.cluster.objects import names
from boxship.cluster.objects.kinds.checking import Found

FORM = "; desired format: https://host[/path]"
Item = Mapping[str, Any]


def validate_url(found: Found, text: str, path: str) -> None:
    try:
        url = urllib.parse.urlsplit(text)
        host = url.hostname or ""
    except ValueError as error:
        found.required(path, f"url must be a valid URL: {error}{FORM}")
        return
    if url.scheme != "https":
        found.invalid(path, url.scheme, f"'https' is the only allowed URL scheme{FORM}")
    if not host:
        found.invalid(path, host, f"host must be specified{FORM}")
    if "@" in url.netloc:
        found.invalid(path, url.netloc.rpartition("@")[0], "user information is not permitted in the URL")
    if url.fragment:
        found.invalid(path, url.fragment, "fragments are not permitted in the URL")
    if url.query:
        found.invalid(path, url.query, "query parameters are not permitted in the URL")


def _validate_path(found: Found, text: str, path: str) -> None:
    if text in ("", "/"):
        return
    if text == "//":
        found.invalid(path, text, "segment[0] may not be empty")
        return
    if not text.startswith("/"):
        found.invalid(path, text, "must start with a '/'")
    for index, step in enumerate(text[1:].removesuffix("/").split("/")):
        why = names.subdomain(step) if step else ""
        if not step:
            found.invalid(path, text, f"segment[{index}] may not be empty")
        elif why:
            found.invalid(path, text, f"segment[{index}]: {why}")


def validate_service(found: Found, service: Item, path: str) -> None:
    for key in ("name", "namespace"):
        if not service.get(key):
            found.required(f"{path}.{key}", f"service {key} is required")
    port = service.get("port")
    if port is not None:
        why = names.port(port)
        found.because(f"{path}.port", port, why and f"port is not valid: {why}")
    if service.get("path") is not None:
        _validate_path(found, service["path"], f"{path}.path")


def validate_client(found: Found, client: Item, path: str) -> None:
    """Either a URL or a service."""
    url, service = client.get("url"), client.get("service")
    if (url is None) == (service is None):
        found.required(path, "exactly one of url or service is required")
    elif url is not None:
        validate_url(found, url, f"{path}.url")
    elif service is not None:
        validate_service(found, service, f"{path}.service")


def default_client(client: dict[str, Any] | None) -> None:
    service = (client or {}).get("service")
    if service is not None and service.get("port") is None:
        service["port"] = 443
