"""Finds out whom to trust with nothing but an address, a token and a pin (kubeadm's token-based discovery).

The config map `cluster-info` is read without knowing the server; it counts only if the token's secret signed it and its
authority has the pinned key. Then it is read again from a server that this authority vouches for.
"""

import base64
import hashlib
import hmac
import re
from collections.abc import Mapping

import msgspec

from boxship.cluster.access.remote import Remote, Server
from boxship.errors import Denied, Invalid, NotFound
from boxship.pki.cluster_nodes import pins_of
from boxship.transport.client import HttpClient, Trust
from boxship.wire.yaml_text import read

NAMESPACE, NAME, KUBECONFIG = "kube-public", "cluster-info", "kubeconfig"
NETWORK = "network.json"
_TOKEN = re.compile(r"([a-z0-9]{6})\.([a-z0-9]{16})")
_PIN = re.compile(r"sha256:[0-9a-f]{64}")
_SERVER = re.compile(r"https://[^/]+")


class Network(msgspec.Struct, frozen=True):
    """The cluster's addresses."""

    pods: tuple[str, ...] = ("10.244.0.0/16",)
    services: tuple[str, ...] = ("10.96.0.0/16",)
    dns: str = "10.96.0.10"
    domain: str = "cluster.local"


async def discover(client: HttpClient, server: str, token: str, pin: str) -> tuple[str, Network]:
    """The authority (PEM) and the addresses of the cluster at `server` ("https://HOST:PORT"). Raises Denied where it
    is not the one."""
    check(server, token, pin)
    unknown = Remote(client, Server(server, Trust(verify=False)))
    authority = vouched(await _data(unknown), token, pin)
    known = Remote(client, Server(server, Trust(ca_data=authority)))
    data = await _data(known)
    if vouched(data, token, pin) != authority:
        raise Denied(f"cannot join {server}: it tells of several authorities")
    try:
        return authority, msgspec.json.decode(data.get(NETWORK, "{}"), type=Network)
    except msgspec.MsgspecError as error:
        raise Invalid(f"cannot join {server}: what it says of its addresses cannot be read: {error}") from error


def check(server: str, token: str, pin: str) -> None:
    """Raises Invalid for what cannot be meant."""
    if not _SERVER.fullmatch(server):
        raise Invalid(f"cannot join {server}: write https://HOST:PORT")
    if not _TOKEN.fullmatch(token):
        raise Invalid("cannot join: a token looks like abcdef.0123456789abcdef")
    if not _PIN.fullmatch(pin):
        raise Invalid("cannot join: the hash of the authority's key looks like sha256:… with 64 digits")


def vouched(data: Mapping[str, str], token: str, pin: str) -> str:
    """The authority that cluster-info names, if token and pin agree with it. Raises Denied."""
    name, _, secret = token.partition(".")
    text = data.get(KUBECONFIG, "")
    signature = data.get(f"jws-kubeconfig-{name}", "")
    if not signature:
        raise Denied(f"cannot join: the cluster knows no token {name}, or it has ended")
    if not is_signed(text, signature, secret):
        raise Denied(f"cannot join: what the server says of the cluster is not signed by the token {name}")
    authority = authority_in(text)
    if pin not in pins_of(authority.encode()):
        raise Denied("cannot join: the cluster's authority is not the one that the hash is of")
    return authority


def is_signed(text: str, signature: str, secret: str) -> bool:
    """Whether a detached JSON web signature (HS256) over the text was made with the secret."""
    parts = signature.split(".")
    if len(parts) != 3 or parts[1]:
        return False
    try:
        head = msgspec.json.decode(base64.urlsafe_b64decode(parts[0] + "=" * (-len(parts[0]) % 4)))
        made = base64.urlsafe_b64decode(parts[2] + "=" * (-len(parts[2]) % 4))
    except (ValueError, msgspec.MsgspecError):
        return False
    if not isinstance(head, dict) or head.get("alg") != "HS256":
        return False
    content = base64.urlsafe_b64encode(text.encode()).decode().rstrip("=")
    wanted = hmac.new(secret.encode(), f"{parts[0]}.{content}".encode(), hashlib.sha256).digest()
    return hmac.compare_digest(made, wanted)


def authority_in(kubeconfig: str) -> str:
    """Raises Invalid where there is none."""
    try:
        value, _ = read(kubeconfig.encode())
        data = value["clusters"][0]["cluster"]["certificate-authority-data"]
        return base64.b64decode(data).decode()
    except (KeyError, IndexError, TypeError, ValueError) as error:
        raise Invalid("cannot join: what the server says of the cluster names no authority") from error


async def _data(client: Remote) -> Mapping[str, str]:
    found = await client.get("v1/configmaps", NAMESPACE, NAME)
    data = found.get("data")
    if not isinstance(data, dict):
        raise NotFound("cannot join: the cluster says nothing of itself in cluster-info")
    return data
