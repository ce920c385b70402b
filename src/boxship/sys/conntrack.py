"""Connection tracking: forget flows that were translated, or not, by rules that have changed since.

TCP heals by itself with the next connection. A UDP flow never ends while packets go on, so one that began before a port
was published would pass it by for ever, and one of a container that is gone would go nowhere.
"""

import socket
import struct

from boxship.sys.netlink import ACK, DONE, DUMP, ERROR, REQUEST, attribute, attributes

SUBSYSTEM = 1 << 8  # NFNL_SUBSYS_CTNETLINK
GET, DELETE = 1, 2
ORIGINAL, FILTER = 1, 25  # CTA_TUPLE_ORIG, CTA_FILTER
PROTOCOL, NUMBER, DESTINATION_PORT = 2, 1, 3  # CTA_TUPLE_PROTO, CTA_PROTO_NUM, CTA_PROTO_DST_PORT
NESTED = 0x8000
BY_PROTOCOL_AND_PORT = 1 << 3 | 1 << 5
NETFILTER = 12
ANSWER_SECONDS = 10
BUFFER_BYTES = 1 << 18


def _message(kind: int, flags: int, sequence: int, body: bytes) -> bytes:
    head = struct.pack("BBH", socket.AF_INET, 0, 0)
    return struct.pack("IHHII", 20 + len(body), SUBSYSTEM | kind, REQUEST | flags, sequence, 0) + head + body


def _flows(channel: socket.socket, port: int) -> list[bytes]:
    """The original tuples of UDP flows to a port, as the kernel writes them."""
    protocol = attribute(NUMBER, b"\x11") + attribute(DESTINATION_PORT, struct.pack("!H", port))
    body = attribute(ORIGINAL | NESTED, attribute(PROTOCOL | NESTED, protocol))
    body += attribute(FILTER | NESTED, attribute(1, struct.pack("I", BY_PROTOCOL_AND_PORT)))
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
            if ORIGINAL in values and _is_udp_to(values[ORIGINAL], port):
                found.append(values[ORIGINAL])
            at += (length + 3) & ~3


def _is_udp_to(flow: bytes, port: int) -> bool:
    """Kernels that know no filter list every flow."""
    protocol = dict(attributes(dict(attributes(flow)).get(PROTOCOL, b"")))
    return protocol.get(NUMBER) == b"\x11" and protocol.get(DESTINATION_PORT) == struct.pack("!H", port)


def forget_udp_flows(port: int) -> int:
    """Forget the UDP flows to a port in the calling thread's namespace; how many they were. A kernel without connection
    tracking has none."""
    try:
        channel = socket.socket(socket.AF_NETLINK, socket.SOCK_RAW | socket.SOCK_CLOEXEC, NETFILTER)
    except OSError:
        return 0
    with channel:
        channel.settimeout(ANSWER_SECONDS)
        flows = _flows(channel, port)
        for sequence, flow in enumerate(flows, 2):
            channel.send(_message(DELETE, ACK, sequence, attribute(ORIGINAL | NESTED, flow)))
            channel.recv(BUFFER_BYTES)  # one that ended meanwhile is fine
    return len(flows)
