"""One request at the door, with what every handler needs: path names, typed query parameters, body, JSON replies."""

import base64
import re
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import TYPE_CHECKING, TypeVar

import msgspec

from boxship.doors.docker.builds import Builds
from boxship.doors.docker.decoding import decode
from boxship.doors.docker.errors import JSON
from boxship.engine import Engine
from boxship.errors import Invalid, Unavailable
from boxship.transport.exchange import Reply, Request

if TYPE_CHECKING:  # it imports this module
    from boxship.doors.docker.node import Membership

Version = tuple[int, int]
Body = TypeVar("Body")
BODY_BYTES = 4 << 20  # a JSON body
HEADER_BYTES = 64 << 10  # a header that is JSON
FALSE = ("", "0", "no", "false", "none")

_encode = msgspec.json.Encoder().encode


class Call:
    """A request on its way through a handler."""

    __slots__ = ("_builds", "_membership", "engine", "names", "request", "version")

    def __init__(
        self,
        engine: Engine,
        request: Request,
        version: Version,
        names: Mapping[str, str],
        builds: Builds | None = None,
        membership: "Membership | None" = None,
    ) -> None:
        self.engine = engine
        self._builds = builds
        self._membership = membership
        self.request = request
        self.version = version
        self.names = names

    @property
    def id(self) -> str:
        """The `{id}` or `{name}` of the path."""
        return self.names["id"]

    @property
    def builds(self) -> Builds:
        """The builder's side. Raises Unavailable where this daemon has none."""
        if self._builds is None:
            raise Unavailable("cannot build: this daemon has no builder")
        return self._builds

    @property
    def membership(self) -> "Membership":
        """Who makes a node of this machine. Raises Unavailable where this daemon cannot become one."""
        if self._membership is None:
            raise Unavailable("cannot be a node: this daemon is none that could join a cluster")
        return self._membership

    @property
    def can_build(self) -> bool:
        return self._builds is not None

    # query parameters

    def text(self, name: str, default: str = "") -> str:
        values = self.request.query.get(name)
        return values[0] if values else default

    def texts(self, name: str) -> list[str]:
        return self.request.query.get(name, [])

    def flag(self, name: str, default: bool = False) -> bool:
        """Docker's own rule: everything but "", 0, no, false and none is true."""
        values = self.request.query.get(name)
        return values[0].strip().lower() not in FALSE if values else default

    def number(self, name: str, default: int | None = None) -> int | None:
        """Raises Invalid where the parameter is given and no whole number."""
        text = self.text(name)
        if not text:
            return default
        if not re.fullmatch(r"[+-]?[0-9]{1,18}", text, re.ASCII):
            raise Invalid(f'invalid value for query parameter {name}: parsing "{text}": invalid syntax')
        return int(text)

    def needed_number(self, name: str) -> int:
        value = self.number(name)
        if value is None:
            raise Invalid(f'invalid value for query parameter {name}: parsing "": invalid syntax')
        return value

    def moment(self, name: str) -> int:
        """A time in nanoseconds since the epoch, from seconds with a fraction or from RFC 3339; 0 where not given."""
        return parse_moment(self.text(name), name)

    def since(self, major: int, minor: int) -> bool:
        """Whether the client speaks at least this version."""
        return self.version >= (major, minor)

    # bodies and replies

    async def body(self, kind: type[Body], *, needed: bool = True) -> Body:
        """The JSON body as a struct. An empty one is the empty struct, or Invalid where a body is `needed`."""
        data = await self.request.body(BODY_BYTES)
        return decode(data, kind, self.request.headers.get("Content-Type", ""), needed=needed)


def reply(value: object, status: int = 200) -> Reply:
    """A JSON reply."""
    return Reply(status, JSON, _encode(value) + b"\n")


def header_json(text: str, name: str, kind: type[Body]) -> Body:
    """The value of a header that is base64url of JSON; some clients write plain base64, with padding or without. Raises
    Invalid, which has no text of it: these headers hold passwords."""
    if len(text) > HEADER_BYTES:
        raise Invalid(f"cannot read {name}: longer than {HEADER_BYTES} bytes")
    text = text.rstrip("=").replace("+", "-").replace("/", "_")
    try:
        return msgspec.json.decode(base64.urlsafe_b64decode(text + "=" * (-len(text) % 4)), type=kind)
    except (ValueError, msgspec.MsgspecError, RecursionError):
        raise Invalid(f"invalid {name} header: it is not base64 of a JSON object") from None


def no_content() -> Reply:
    return Reply(204)


_SECONDS = re.compile(r"(-?[0-9]{1,12})(?:\.([0-9]{0,18}))?", re.ASCII)


def parse_moment(text: str, name: str) -> int:
    """Nanoseconds since the epoch. Raises Invalid naming the parameter."""
    if not text:
        return 0
    match = _SECONDS.fullmatch(text)
    if match:
        return int(match[1]) * 1_000_000_000 + int((match[2] or "0").ljust(9, "0")[:9])
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        raise Invalid(f'invalid value for "{name}": {text} is neither seconds since the epoch nor RFC 3339') from None
    if moment.tzinfo is None:
        moment = moment.replace(tzinfo=UTC)
    try:
        return int(moment.timestamp()) * 1_000_000_000 + moment.microsecond * 1000
    except OverflowError:
        raise Invalid(f'invalid value for "{name}": {text} is out of range') from None


def rfc3339(time: int, *, fixed: bool = False) -> str:
    """A time of nanoseconds since the epoch as Go writes it; 0 is Go's zero time. `fixed` keeps all nine digits."""
    if time <= 0:
        return "0001-01-01T00:00:00Z"
    seconds, nanoseconds = divmod(time, 1_000_000_000)
    try:
        text = datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%dT%H:%M:%S")
    except (OverflowError, ValueError):
        return "0001-01-01T00:00:00Z"
    digits = f"{nanoseconds:09d}"
    if not fixed:
        digits = digits.rstrip("0")
    return f"{text}.{digits}Z" if digits else f"{text}Z"
