"""Connection tracking: forget flows that were translated, or not, by rules that have changed since.

TCP heals by itself with the next connection. A UDP flow never ends while packets go on, so one that began before a port
was published would pass it by for ever, and one of a container that is gone would go nowhere.
"""

import socket
import struct
from collections.abc import Callable, Collection, Iterator, Mapping

from boxship.errors import Internal
from boxship.sys.netlink import ACK, DONE, DUMP, ERROR, REQUEST, attribute, attributes

SUBSYSTEM = 1 << 8  # NFNL_SUBSYS_CTNETLINK
GET, DELETE = 1, 2
ORIGINAL, ANSWER, FILTER = 1, 2, 25  # CTA_TUPLE_ORIG, CTA_TUPLE_REPLY, CTA_FILTER
ADDRESSES, SOURCE, DESTINATION = 1, 1, 2  # CTA_TUPLE_IP, CTA_IP_V4_SRC, CTA_IP_V4_DST
PROTOCOL, NUMBER = 2, 1  # CTA_TUPLE_PROTO, CTA_PROTO_NUM
SOURCE_PORT, DESTINATION_PORT = 2, 3  # CTA_PROTO_SRC_PORT, CTA_PROTO_DST_PORT
NESTED = 0x8000
ORIGINAL_FLAGS, ANSWER_FLAGS = 1, 2  # CTA_FILTER_ORIG_FLAGS, CTA_FILTER_REPLY_FLAGS
BY_SOURCE, BY_PROTOCOL, BY_PORT = 1 << 0, 1 << 3, 1 << 5
STATUS, STATUS_MASK, SEEN_ANSWER = 3, 26, 1 << 1  # CTA_STATUS, CTA_STATUS_MASK, IPS_SEEN_REPLY
NETFILTER = 12
ANSWER_SECONDS = 10
BUFFER_BYTES = 1 << 18


def _message(kind: int, flags: int, sequence: int, body: bytes) -> bytes:
    head = struct.pack("BBH", socket.AF_INET, 0, 0)
    return struct.pack("IHHII", 20 + len(body), SUBSYSTEM | kind, REQUEST | flags, sequence, 0) + head + body


Flow = dict[int, bytes]  # a flow's attributes


def _dump(channel: socket.socket, body: bytes) -> Iterator[Flow]:
    """The flows that match a filter; kernels that know no filter give all."""
    channel.send(_message(GET, DUMP, 1, body))
    while True:
        data = channel.recv(BUFFER_BYTES)
        at = 0
        while at + 16 <= len(data):
            length, kind = struct.unpack_from("IH", data, at)
            if kind in (DONE, ERROR):
                return
            yield dict(attributes(data[at + 20 : at + length]))
            at += (length + 3) & ~3


def _forget(choose: Callable[[socket.socket], list[bytes]]) -> int:
    """Forget the flows whose original tuples `choose` finds; how many they were. Raises Internal where the kernel stops
    answering."""
    try:
        channel = socket.socket(socket.AF_NETLINK, socket.SOCK_RAW | socket.SOCK_CLOEXEC, NETFILTER)
    except OSError:
        return 0
    with channel:
        channel.settimeout(ANSWER_SECONDS)
        try:
            flows = choose(channel)
            for sequence, flow in enumerate(flows, 2):
                channel.send(_message(DELETE, ACK, sequence, attribute(ORIGINAL | NESTED, flow)))
                channel.recv(BUFFER_BYTES)  # one that ended meanwhile is fine
        except OSError as error:
            raise Internal(f"cannot forget tracked connections: {error.strerror or error}") from error
    return len(flows)


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
    protocol, known = attribute(NUMBER, b"\x11"), BY_PROTOCOL
    if port:
        protocol, known = protocol + attribute(DESTINATION_PORT, struct.pack("!H", port)), BY_PROTOCOL | BY_PORT
    body = attribute(ORIGINAL | NESTED, attribute(PROTOCOL | NESTED, protocol))
    body += attribute(FILTER | NESTED, attribute(ORIGINAL_FLAGS, struct.pack("I", known)))

    def is_wanted(flow: bytes, answer: bytes) -> bool:
        wanted = _is_udp_to(flow, port) and address in ("", _address(flow, DESTINATION))
        return wanted and _address(answer, SOURCE) not in answered_by

    def choose(channel: socket.socket) -> list[bytes]:
        pairs = [(flow.get(ORIGINAL, b""), flow.get(ANSWER, b"")) for flow in _dump(channel, body)]
        return [flow for flow, answer in pairs if is_wanted(flow, answer)]

    return _forget(choose)


def forget_led_flows(flows: Collection[tuple[str, int, str]]) -> int:
    """Forget the UDP flows to an address ("": any) and port that a target ("address . port") answers; "" for a target
    are those that nobody else than who was asked answers. How many they were."""
    wanted = set(flows)

    def is_wanted(asked: str, port: int, target: str) -> bool:
        return (asked, port, target) in wanted or ("", port, target) in wanted

    return _forget_led(is_wanted)


def forget_astray(frontends: Mapping[tuple[str, int], Collection[str]]) -> int:
    """Forget the UDP flows to any of these addresses ("": any) and ports that somebody answers who is none of its
    targets ("address . port"). How many they were."""

    def is_wanted(asked: str, port: int, target: str) -> bool:
        targets = frontends.get((asked, port), frontends.get(("", port)) if target else None)
        return targets is not None and target not in targets

    return _forget_led(is_wanted)


def _forget_led(is_wanted: Callable[[str, int, str], bool]) -> int:
    """Forget the UDP flows that are wanted by the address and port that was asked and the "address . port" that
    answers ("": the same)."""
    protocol = attribute(PROTOCOL | NESTED, attribute(NUMBER, b"\x11"))
    body = attribute(ORIGINAL | NESTED, protocol)
    body += attribute(FILTER | NESTED, attribute(ORIGINAL_FLAGS, struct.pack("I", BY_PROTOCOL)))

    def is_meant(flow: bytes, answer: bytes) -> bool:
        if not _is_udp_to(flow, 0):
            return False
        asked, port = _address(flow, DESTINATION), _port(flow, DESTINATION_PORT)
        by, source = _address(answer, SOURCE), _port(answer, SOURCE_PORT)
        return is_wanted(asked, port, "" if (asked, port) == (by, source) else f"{by} . {source}")

    def choose(channel: socket.socket) -> list[bytes]:
        pairs = [(flow.get(ORIGINAL, b""), flow.get(ANSWER, b"")) for flow in _dump(channel, body)]
        return [flow for flow, answer in pairs if is_meant(flow, answer)]

    return _forget(choose)


def _port(flow: bytes, kind: int) -> int:
    protocol = dict(attributes(dict(attributes(flow)).get(PROTOCOL, b"")))
    return int.from_bytes(protocol.get(kind, b"")[:2], "big")


def forget_unanswered(*addresses: str) -> int:
    """Forget the TCP connections to these addresses of which they have answered nothing yet: who asks again may be led
    elsewhere. How many they were."""
    wanted = set(addresses)
    answer = attribute(PROTOCOL | NESTED, attribute(NUMBER, b"\x06"))
    known = BY_PROTOCOL
    if len(wanted) == 1:
        source = attribute(SOURCE, socket.inet_aton(*wanted))
        answer, known = attribute(ADDRESSES | NESTED, source) + answer, BY_SOURCE | BY_PROTOCOL
    body = attribute(ANSWER | NESTED, answer)
    body += attribute(FILTER | NESTED, attribute(ANSWER_FLAGS, struct.pack("I", known)))
    body += attribute(STATUS, bytes(4)) + attribute(STATUS_MASK, struct.pack("!I", SEEN_ANSWER))

    def is_wanted(flow: Flow) -> bool:
        """Kernels that know no filter, or not all of it, list more."""
        answer = flow.get(ANSWER, b"")
        protocol = dict(attributes(dict(attributes(answer)).get(PROTOCOL, b""))).get(NUMBER)
        answered = int.from_bytes(flow.get(STATUS, b""), "big") & SEEN_ANSWER
        return protocol == b"\x06" and not answered and _address(answer, SOURCE) in wanted

    def choose(channel: socket.socket) -> list[bytes]:
        return [flow[ORIGINAL] for flow in _dump(channel, body) if ORIGINAL in flow and is_wanted(flow)]

    return _forget(choose) if wanted else 0
