"""Users and their passwords: an htpasswd file with bcrypt hashes, and a limit on wrong guesses.

The file is read again when it changes. A password that was right is remembered for a while (its HMAC under a key of
this process alone, never itself), as bcrypt is slow on purpose and clients send it with each request.
"""

import asyncio
import hashlib
import hmac
import ipaddress
import logging
import secrets
import time
from collections import OrderedDict
from pathlib import Path

from boxship.errors import Exhausted, Invalid, Unsupported

FORMS = ("$2a$", "$2b$", "$2y$")
REMEMBERED = 1000  # right passwords, by their hashes
REMEMBER_SECONDS = 300.0
GUESSES = 10  # wrong ones of one address within WINDOW_SECONDS
USER_GUESSES = 100  # of one user from anywhere: more, so that a stranger cannot lock him out easily
WINDOW_SECONDS = 60.0
TRACKED = 10_000  # addresses and users with wrong guesses that are known at once
USER_LIMIT = 255  # characters
NETWORK_BITS = 64  # of IPv6: what one client has
PASSWORD_LIMIT = 1024  # bytes
WORK_LIMIT = 2  # passwords hashed at the same time
UNKNOWN = b"$2b$05$abcdefghijklmnopqrstuuDPSXs7v2n1Z0OjHGTKzdkwvBvyQ8Ou2"  # nobody's, where there are no users at all

log = logging.getLogger(__name__)


class TooManyGuesses(Exhausted):
    """Wrong passwords came too fast. `seconds` is when to try again."""

    code = "TOOMANYREQUESTS"

    def __init__(self, seconds: int) -> None:
        super().__init__(f"cannot log in: too many wrong passwords, try again in {seconds} s")
        self.seconds = seconds


def read_htpasswd(text: str, where: str) -> dict[str, bytes]:
    """Hashes by user. Raises Invalid for a wrong line, Unsupported for hashes other than bcrypt."""
    found: dict[str, bytes] = {}
    for number, line in enumerate(text.splitlines(), 1):
        line = line.strip()
        if not line or line.startswith("#"):
            continue
        user, colon, mark = line.partition(":")
        if not colon or not user or user in ("anonymous", "*"):
            raise Invalid(f"cannot use {where}: line {number} is not USER:HASH")
        if not mark.startswith(FORMS):
            raise Unsupported(f"unsupported: the hash of line {number} in {where}; make bcrypt ones (htpasswd -B)")
        found[user] = mark.encode()
    return found


class Users:
    """The users of one file. Belongs to the loop."""

    def __init__(self, path: Path) -> None:
        """Reads the file. Raises Invalid, Unsupported."""
        self._path = path
        self._stamp = (0, 0)
        self._hashes: dict[str, bytes] = {}
        self._key = secrets.token_bytes(32)
        self._right: OrderedDict[bytes, float] = OrderedDict()
        self._wrong: OrderedDict[str, list[float]] = OrderedDict()
        self._working = asyncio.Semaphore(WORK_LIMIT)
        self._read()

    def _read(self) -> None:
        try:
            status = self._path.stat()
            stamp = (status.st_mtime_ns, status.st_size)
            if stamp != self._stamp:
                self._hashes = read_htpasswd(self._path.read_text(), str(self._path))
                self._stamp = stamp
                self._right.clear()
        except (OSError, UnicodeDecodeError) as error:
            raise Invalid(f"cannot read {self._path}: {error}") from error

    def _reread(self) -> None:
        try:
            self._read()
        except (Invalid, Unsupported) as error:
            log.error("%s; the users are as they were", error)

    async def knows(self, user: str, password: str, address: str) -> bool:
        """Whether the password is the user's. Raises TooManyGuesses."""
        self._reread()
        stored = self._hashes.get(user)
        given = password.encode()
        mark = hmac.new(self._key, b"\0".join((user.encode(), stored or b"", given)), hashlib.sha256).digest()
        now = time.monotonic()
        if self._right.get(mark, 0.0) > now:
            return True
        user, address = user[:USER_LIMIT], place_of(address)  # wrong guesses are kept by them
        async with self._working:
            self._check_rate(now, address, user)  # here: guesses that came at once are counted too
            fits = await asyncio.to_thread(_fits, given, stored or self._slowest())
            if stored is None or not fits:
                self._note_wrong(now, address, user)
                return False
        self._right[mark] = now + REMEMBER_SECONDS
        while len(self._right) > REMEMBERED:
            self._right.popitem(last=False)
        return True

    def _slowest(self) -> bytes:
        """What the password of somebody unknown is compared with: it takes as long as that of a user."""
        return max(self._hashes.values(), key=lambda stored: stored[4:6], default=UNKNOWN)

    def _check_rate(self, now: float, address: str, user: str) -> None:
        for key, limit in ((f"address {address}", GUESSES), (f"user {user}", USER_GUESSES)):
            times = [moment for moment in self._wrong.get(key, ()) if moment > now - WINDOW_SECONDS]
            if len(times) >= limit:
                raise TooManyGuesses(max(int(times[0] + WINDOW_SECONDS - now) + 1, 1))

    def _note_wrong(self, now: float, address: str, user: str) -> None:
        for key in (f"address {address}", f"user {user}"):
            times = [moment for moment in self._wrong.pop(key, ()) if moment > now - WINDOW_SECONDS]
            self._wrong[key] = [*times, now]
        while len(self._wrong) > TRACKED:
            self._wrong.popitem(last=False)


def place_of(address: str) -> str:
    """Where guesses come from: of IPv6 the network, for whoever has one address has all of it."""
    try:
        found = ipaddress.ip_address(address)
    except ValueError:
        return address
    if isinstance(found, ipaddress.IPv4Address) or found.ipv4_mapped:
        return str(found)
    return str(ipaddress.IPv6Network((int(found), NETWORK_BITS), strict=False))


def _fits(password: bytes, stored: bytes) -> bool:
    import bcrypt  # only where there are users

    if len(password) > PASSWORD_LIMIT:
        return False
    try:
        return bcrypt.checkpw(password[:72], stored)  # bcrypt looks at no more than 72 bytes
    except ValueError:
        return False
