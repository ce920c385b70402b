"""The daemon as the verbs see it: requests by path, JSON in and out, Docker's error bodies as one kind of error.

Every path is asked for with a version prefix. The newest version is tried at once; a daemon that is too old says
which it has, and the request is sent again with that: so a current daemon costs no extra round trip.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping

from boxship.cli.flags import Options
from boxship.errors import BoxshipError, Invalid, Unsupported
from boxship.transport.blocking import Address, Connection, Response, TlsFiles

NEWEST_VERSION = "1.51"
DEFAULT_HOST = "unix:///run/boxship/boxship.sock"
DEFAULT_TLS_PORT = 2376
ERROR_LIMIT = 1 << 20  # bytes of an error's body
TOO_NEW = "Maximum supported API version is "

TYPE_CHECKING = False  # mypy reads the name; the module `typing` is too slow to import for it
if TYPE_CHECKING:
    from typing import Any

    Object = dict[str, Any]
    Json = Any
    Query = Mapping[str, str | int | bool | list[str] | None]
else:
    Object = dict
    Json = object


class DaemonError(BoxshipError):
    """The daemon refused: HTTP status and its message."""

    exit_code = 1

    def __init__(self, status: int, message: str) -> None:
        super().__init__(message)
        self.status = status


def find_address(shared: Options, environment: Mapping[str, str]) -> Address:
    """Which daemon is meant: the flag, BOXSHIP_HOST, DOCKER_HOST, or the default, with its TLS files."""
    text = shared.text("host") or environment.get("BOXSHIP_HOST") or environment.get("DOCKER_HOST") or DEFAULT_HOST
    scheme, separator, rest = text.partition("://")
    if not separator and text.startswith("/"):
        scheme, rest = "unix", text
    elif not separator:
        scheme, rest = "tcp", text
    if scheme == "unix" and rest:
        return Address(path=rest)
    if scheme not in ("tcp", "https"):
        raise Unsupported(f"unsupported: host {text!r}: it must be unix:///PATH or tcp://HOST:PORT")
    host, colon, port = rest.rstrip("/").rpartition(":")
    if not colon or "]" in port:
        host, port = rest.rstrip("/"), str(DEFAULT_TLS_PORT)
    if not host or not port.isdigit() or not 0 < int(port) < 65536:
        raise Invalid(f"cannot use the host {text!r}: it must be unix:///PATH or tcp://HOST:PORT")
    return Address(host=host.strip("[]"), port=int(port), tls=_find_tls(shared, environment, scheme == "https"))


def _find_tls(shared: Options, environment: Mapping[str, str], forced: bool) -> TlsFiles | None:
    folder = environment.get("BOXSHIP_CERT_PATH") or environment.get("DOCKER_CERT_PATH") or ""
    verify = shared.on("tlsverify") or bool(
        environment.get("BOXSHIP_TLS_VERIFY") or environment.get("DOCKER_TLS_VERIFY")
    )
    named = any(shared.given(name) for name in ("tlscacert", "tlscert", "tlskey"))
    if not (verify or forced or named or folder or shared.on("tls")):
        return None
    folder = folder or environment.get("HOME", "") + "/.boxship"
    import os.path

    def choose(flag: str, file: str) -> str:
        path = f"{folder}/{file}"
        return shared.text(flag) or (path if os.path.exists(path) else "")

    # As Docker has it: --tls alone takes any server; naming an authority or --tlsverify checks it.
    checked = verify or forced or bool(folder and not shared.on("tls")) or shared.given("tlscacert")
    return TlsFiles(choose("tlscacert", "ca.pem"), choose("tlscert", "cert.pem"), choose("tlskey", "key.pem"), checked)


def encode(query: Query) -> str:
    """A query string; None leaves a key out, True is 1, a list repeats the key."""
    from boxship.cli.escape import escape

    pairs = [
        f"{name}={escape(str(int(value)) if isinstance(value, bool) else str(value))}"
        for name, values in query.items()
        for value in (values if isinstance(values, list) else [values])
        if value is not None
    ]
    return "?" + "&".join(pairs) if pairs else ""


class Daemon:
    """Requests to one daemon. A connection is kept and used again while nothing is outstanding on it."""

    def __init__(self, address: Address, version: str = "") -> None:
        self.address = address
        self.version = version or NEWEST_VERSION
        self._settled = bool(version)
        self._idle: Connection | None = None

    def request(
        self,
        method: str,
        path: str,
        query: Query | None = None,
        *,
        body: object = None,
        stream: Iterable[bytes] | None = None,
        headers: Mapping[str, str] | None = None,
        own_connection: bool = False,
    ) -> Response:
        """Send one request. `body` goes as JSON, `stream` as it is. Raises DaemonError for a status of 400 or more.

        `own_connection` is for answers that are read while other requests are made.
        """
        sent = dict(headers or {})
        content: bytes | Iterable[bytes] | None = stream
        if body is not None:
            sent["Content-Type"] = "application/json"
            content = json.dumps(body, ensure_ascii=False, separators=(",", ":")).encode()
        elif stream is not None:
            sent.setdefault("Content-Type", "application/x-tar")
        if stream is not None or method == "HEAD":
            self.settle()  # a stream cannot be sent twice, and a refused HEAD does not say why
        while True:
            target = f"/v{self.version}{path}" + (encode(query) if query else "")
            response = self._connection(own_connection).request(method, target, sent, content)
            if response.status < 400:
                self._settled = True
                return response
            message = error_message(response, method == "HEAD")
            if self._settled or not self._accept_older(message):
                raise DaemonError(response.status, message)

    def _connection(self, own: bool) -> Connection:
        idle, self._idle = self._idle, None
        if idle is not None and idle.usable():
            if not own:
                self._idle = idle
            return idle
        if idle is not None and own:
            self._idle = idle
        connection = Connection(self.address)
        if not own:
            self._idle = connection
        return connection

    def _accept_older(self, message: str) -> bool:
        _, found, rest = message.partition(TOO_NEW)
        self._settled = True
        if found:
            self.version = rest.split()[0].strip(".,")
        return bool(found)

    def settle(self) -> None:
        """Agree on the version, before a request that cannot be repeated."""
        if self._settled:
            return
        response = self._connection(False).request("GET", "/_ping")
        response.read(ERROR_LIMIT)
        offered = response.headers.get("api-version", "")
        if offered and _version_key(offered) < _version_key(self.version):
            self.version = offered
        self._settled = True

    def at_least(self, version: str) -> bool:
        """Whether the agreed version is this or newer; agrees first."""
        self.settle()
        return _version_key(self.version) >= _version_key(version)

    def get(self, path: str, query: Query | None = None) -> Json:
        """A GET's JSON."""
        return self._decode(self.request("GET", path, query))

    def post(self, path: str, query: Query | None = None, *, body: object = None) -> Json:
        """A POST's JSON; None for an empty answer."""
        return self._decode(self.request("POST", path, query, body=body))

    def delete(self, path: str, query: Query | None = None) -> Json:
        """A DELETE's JSON; None for an empty answer."""
        return self._decode(self.request("DELETE", path, query))

    def stream(self, path: str, query: Query | None = None) -> Iterator[Object]:
        """A GET whose answer is a line of JSON for each piece of news."""
        for line in self.request("GET", path, query, own_connection=True).lines():
            yield json.loads(line)

    def _decode(self, response: Response) -> Json:
        data = response.read()
        if not data.strip():
            return None
        try:
            return json.loads(data)
        except ValueError:
            raise DaemonError(response.status, f"cannot read the daemon's answer: not JSON: {data[:80]!r}") from None


def _version_key(version: str) -> list[int]:
    return [int(part) if part.isdigit() else 0 for part in version.split(".")]


def error_message(response: Response, bodiless: bool = False) -> str:
    """The text of an error answer, from Docker's JSON or as plain text."""
    data = b"" if bodiless else response.read(ERROR_LIMIT)
    try:
        content = json.loads(data)
        message = content.get("message") if isinstance(content, dict) else None
    except ValueError:
        message = None
    if isinstance(message, str) and message:
        return message
    return data.decode("utf-8", "replace").strip() or f"the daemon answered {response.status} {response.reason}"
