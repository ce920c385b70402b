"""Connection tracking: forget flows that were translated, or not, by rules that have changed since.

TCP heals by itself with the next connection. A UDP flow never ends while packets go on, so one that began before a port
was published would pass it by for ever, and one of a container that is gone would go nowhere.
"""

import socket
import struct
from collections.abc import Collection

from boxship.sys.netlink import ACK, DONE, DUMP, ERROR, REQUEST, attribute, attributes

SUBSYSTEM = 1 << 8  # NFNL_SUBSYS_CTNETLINK
GET, DELETE = 1, 2
ORIGINAL, ANSWER, FILTER = 1, 2, 25  # CTA_TUPLE_ORIG, CTA_TUPLE_REPLY, CTA_FILTER
ADDRESSES, SOURCE, DESTINATION = 1, 1, 2  # CTA_TUPLE_IP, CTA_IP_V4_SRC, CTA_IP_V4_DST
PROTOCOL, NUMBER, DESTINATION_PORT = 2, 1, 3  # CTA_TUPLE_PROTO, CTA_PROTO_NUM, CTA_PROTO_DST_PORT
NESTED = 0x8000
BY_PROTOCOL, BY_PORT = 1 << 3, 1 << 5
NETFILTER = 12
ANSWER_SECONDS = 10
BUFFER_BYTES = 1 << 18


def _message(kind: int, flags: int, sequence: int, body: bytes) -> bytes:
    head = struct.pack("BBH", socket.AF_INET, 0, 0)
    return struct.pack("IHHII", 20 + len(body), SUBSYSTEM | kind, REQUEST | flags, sequence, 0) + head + body


def _flows(channel: socket.socket, port: int, address: str, answered_by: Collection[str]) -> list[bytes]:
    """The original tuples, as the kernel writes them, of UDP flows to a port and an address (0 and "": any) that are
    answered by none of some addresses."""
    protocol, known = attribute(NUMBER, b"\x11"), BY_PROTOCOL
    if port:
        protocol, known = protocol + attribute(DESTINATION_PORT, struct.pack("!H", port)), BY_PROTOCOL | BY_PORT
    body = attribute(ORIGINAL | NESTED, attribute(PROTOCOL | NESTED, protocol))
    body += attribute(FILTER | NESTED, attribute(1, struct.pack("I", known)))
    channel.send(_message(GET, DUMP, 1, body))
    found: list[bytes] = []
    while True:
        data = channel.recv(BUFFER_BYTES)
        at = 0
        while at + 16 <= len(data):
            length, kind = struct.unpack_from("IH", data, at)
            if kind in (DONE, ERROR):
                return found
            values = dict(attributes(data[at + 20 : at + length]))
            flow, answer = values.get(ORIGINAL, b""), values.get(ANSWER, b"")
            wanted = _is_udp_to(flow, port) and address in ("", _address(flow, DESTINATION))
            if wanted and _address(answer, SOURCE) not in answered_by:
                found.append(flow)
            at += (length + 3) & ~3


def _is_udp_to(flow: bytes, port: int) -> bool:
    """Kernels that know no filter list every flow."""
    protocol = dict(attributes(dict(attributes(flow)).get(PROTOCOL, b"")))
    found = protocol.get(DESTINATION_PORT)
    return protocol.get(NUMBER) == b"\x11" and (not port or found == struct.pack("!H", port))


def _address(flow: bytes, kind: int) -> str:
    raw = dict(attributes(dict(attributes(flow)).get(ADDRESSES, b""))).get(kind, b"")
    return socket.inet_ntoa(raw) if len(raw) == 4 else ""


def forget_udp_flows(port: int = 0, address: str = "", *, answered_by: Collection[str] = ()) -> int:
    """Forget the UDP flows to a port (0: any) of an address ("": any) in the calling thread's namespace, but those that
    one of some addresses answers; how many they were. A kernel without connection tracking has none."""
    try:
        channel = socket.socket(socket.AF_NETLINK, socket.SOCK_RAW | socket.SOCK_CLOEXEC, NETFILTER)
    except OSError:
        return 0
    with channel:
        channel.settimeout(ANSWER_SECONDS)
        flows = _flows(channel, port, address, answered_by)
        for sequence, flow in enumerate(flows, 2):
            channel.send(_message(DELETE, ACK, sequence, attribute(ORIGINAL | NESTED, flow)))
            channel.recv(BUFFER_BYTES)  # one that ended meanwhile is fine
    return len(flows)
