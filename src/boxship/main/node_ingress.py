"""Ingress on this machine: where it listens, and as whom its program runs."""

import pwd
from pathlib import Path

from boxship.cluster.access import Client
from boxship.cluster.ingress.facts import Place
from boxship.cluster.ingress.process import Haproxy
from boxship.cluster.ingress.server import IngressServer
from boxship.main.rooms import Rooms

FOLDER = "ingress"  # in the run root
USER = "haproxy"  # whom the package makes
LOOPBACK = "127.0.0.1"


def ingress_server(client: Client, rooms: Rooms, address: str) -> IngressServer:
    """On the node's address, and for the machine's own programs on loopback."""
    hosts = dict.fromkeys((address, LOOPBACK))
    plain, tls = ([Place(host, port) for host in hosts] if port else [] for port in rooms.ingress_ports)
    return IngressServer(client, _folder(rooms), plain, tls, user=_user())


async def clear_ingress(rooms: Rooms) -> None:
    """End it: this machine is no node any more."""
    haproxy = Haproxy(_folder(rooms))
    haproxy.find()
    await haproxy.stop()


def _folder(rooms: Rooms) -> Path:
    return rooms.run_root / FOLDER


def _user() -> str:
    try:
        pwd.getpwnam(USER)
    except KeyError:
        return ""
    return USER
