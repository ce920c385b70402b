"""Asks one webhook: where it is, by which authority it is known, how long it may take."""

import asyncio
import base64
import binascii
import itertools
import re
from collections.abc import Sequence
from urllib.parse import urlsplit

import msgspec

from boxship.cluster.api.admission import Lookup
from boxship.cluster.objects import Object
from boxship.errors import BoxshipError, Invalid, Unavailable
from boxship.transport.client import HttpClient, Trust

_turn = itertools.count()
_REQUESTED = re.compile(r'^Post "[^"]*": ')  # with the address of a pod, which nobody knows


class NoService(Unavailable):
    """The Service does not exist."""


class NoEndpoints(Unavailable):
    """Nothing stands behind the Service."""


class Target(msgspec.Struct, frozen=True):
    """Where a clientConfig or APIService leads: an address, and how the server there is known."""

    url: str
    trust: Trust
    host: str  # for the Host header


async def target_of(lookup: Lookup, config: Object) -> Target:
    """The target of a `clientConfig` (url, or service with a path). Raises Invalid, Unavailable."""
    ca = _authority(config.get("caBundle"))
    if config.get("url"):
        return Target(config["url"], Trust(ca_data=ca), urlsplit(config["url"]).netloc)
    service = config.get("service") or {}
    address, port = await endpoint_of(lookup, service["namespace"], service["name"], int(service.get("port") or 443))
    name = f"{service['name']}.{service['namespace']}.svc"
    shown = f"[{address}]" if ":" in address else address
    path = service.get("path") or "/"
    return Target(f"https://{shown}:{port}{path}", Trust(ca_data=ca, server_name=name), name)


def _authority(bundle: str | None) -> str:
    if not bundle:
        return ""
    try:
        return base64.b64decode(bundle, validate=True).decode()
    except (binascii.Error, UnicodeDecodeError) as error:
        raise Invalid(f"cannot use caBundle: {error}") from None


async def endpoint_of(lookup: Lookup, namespace: str, name: str, port: int) -> tuple[str, int]:
    """One ready address behind a Service's port, in turn: the API needs no proxy of its own in between. Raises
    NoService, NoEndpoints, and Unavailable for a port that the Service does not have."""
    service = await lookup.get("v1/services", namespace, name)
    if service is None:
        raise NoService(f'service "{name}" not found')
    entry = next((each for each in service["spec"].get("ports") or () if each["port"] == port), None)
    if entry is None:
        raise Unavailable(f'no service port {port} found for service "{name}"')
    if service["spec"].get("type") == "ExternalName":
        return service["spec"]["externalName"], port
    places = []
    for part in await lookup.list("discovery.k8s.io/v1/endpointslices", namespace):
        if (part["metadata"].get("labels") or {}).get("kubernetes.io/service-name") == name:
            places += _places(part, entry.get("name", ""))
    if not places:
        raise NoEndpoints(f'no endpoints available for service "{name}"')
    return sorted(places)[next(_turn) % len(places)]


def _places(part: Object, port_name: str) -> list[tuple[str, int]]:
    ports = [int(each["port"]) for each in part.get("ports") or () if (each.get("name") or "") == port_name]
    ready = [each for each in part.get("endpoints") or () if (each.get("conditions") or {}).get("ready") is not False]
    return [(address, port) for each in ready for address in each.get("addresses") or () for port in ports]


async def post(client: HttpClient, target: Target, body: bytes, seconds: float, limit: int) -> bytes:
    """Send JSON, read JSON. Raises Unavailable for every reason not to have an answer with status 200."""
    headers = {"Content-Type": "application/json", "Accept": "application/json", "Host": target.host}
    parts = urlsplit(target.url)
    separator = "&" if parts.query else "?"
    url = f"{target.url}{separator}timeout={seconds:g}s"
    try:
        async with (
            asyncio.timeout(seconds),
            client.request("POST", url, headers=headers, body=body, trust=target.trust) as reply,
        ):
            data = await reply.read(limit)
            if reply.status != 200:
                text = data[:200].decode(errors="replace")
                raise Unavailable(f"the server answered {reply.status}: {text}")
            return data
    except TimeoutError:
        raise Unavailable("context deadline exceeded") from None


async def ask(
    client: HttpClient, lookup: Lookup, config: Object, body: bytes, seconds: float, limit: int
) -> bytes | Sequence[str]:
    """The answer, or in a list the one reason why there is none."""
    shown = shown_url(config, seconds)
    try:
        return await post(client, await target_of(lookup, config), body, seconds, limit)
    except BoxshipError as error:
        why = _REQUESTED.sub("", str(error))
        return [f'Post "{shown}": {why}']


def shown_url(config: Object, seconds: float) -> str:
    """What messages call the webhook: by its Service, whichever pod was asked."""
    if config.get("url"):
        url = str(config["url"])
    else:
        service = config.get("service") or {}
        port = int(service.get("port") or 443)
        url = f"https://{service.get('name')}.{service.get('namespace')}.svc:{port}{service.get('path') or '/'}"
    return f"{url}{'&' if urlsplit(url).query else '?'}timeout={seconds:g}s"
