"""The daemon's certificates as its options say: from files (tls-*), or from the machine's authority (pki), which issues
and renews them itself."""

import contextlib
import datetime
import os
import re
from pathlib import Path
from typing import TYPE_CHECKING

from boxship.errors import BoxshipError, Invalid
from boxship.main.options import Options
from boxship.pki.files import read_passphrase
from boxship.pki.names import subject_for
from boxship.spec.duration import SECOND, parse_duration

if TYPE_CHECKING:  # a daemon without TLS needs no cryptography, which takes 5 MB
    from boxship.pki.live import LiveTls, TlsFiles

NAME = "boxshipd"  # of the daemon's own certificate in its authority
ALWAYS = ("localhost", "127.0.0.1", "::1")
EVERYWHERE = ("", "0.0.0.0", "::")


class Certificates:
    """Makes the listeners' certificates; `keep` keeps them. Reading and making them blocks for some milliseconds,
    which is why it is done before anything else starts."""

    def __init__(self, options: Options, listeners: tuple[str, ...]) -> None:
        """`listeners` are the hosts that TLS is served on. Raises what the files deserve."""
        self._options = options
        self._life = datetime.timedelta(seconds=parse_duration(options.tls_life) / SECOND)
        self._files = self._find(listeners)
        self._sources: list[LiveTls] = []

    def _find(self, listeners: tuple[str, ...]) -> "TlsFiles | None":
        options = self._options
        if options.pki:
            names = (*listeners, *options.tls_name, *ALWAYS, *_own_name())
            places = tuple(dict.fromkeys(name.strip("[]") for name in names if name.strip("[]") not in EVERYWHERE))
            now = datetime.datetime.now(datetime.UTC)
            from boxship.pki.live import ensure_server

            return ensure_server(Path(options.pki), self._passphrase(), NAME, places, now, self._life)
        if not options.tls_cert:
            return None
        from boxship.pki.live import TlsFiles

        revoked = Path(options.tls_crl) if options.tls_crl else None
        if revoked is not None and not revoked.is_file():
            raise Invalid(f"cannot use tls-crl {revoked}: no such file")
        return TlsFiles(Path(options.tls_cert), Path(options.tls_key), Path(options.tls_ca), revoked)

    def listener(self, *, clients: bool) -> "LiveTls":
        """For one listener; with `clients` each client must show a certificate. Raises Invalid without certificates."""
        if self._files is None:
            raise Invalid("cannot serve TLS: give pki, or tls-cert and tls-key")
        from boxship.pki.live import LiveTls

        source = LiveTls(self._files, clients=clients)
        self._sources.append(source)
        return source

    def registry(self) -> "LiveTls | None":
        """For the registry, whose clients need certificates only where that is asked for; None for one without TLS."""
        options = self._options
        clients = options.registry_tls_clients
        if options.registry_plain_http or not (options.registry_tls_cert or options.pki):
            return None
        if not options.registry_tls_cert:
            return self.listener(clients=clients)
        from boxship.pki.live import LiveTls, TlsFiles
        from boxship.pki.places import REVOKED, ROOT

        own = Path(options.registry_tls_cert), Path(options.registry_tls_key)
        if options.pki:
            files = TlsFiles(*own, Path(options.pki) / ROOT, Path(options.pki) / REVOKED)
        else:
            files = TlsFiles(*own, Path(options.tls_ca), Path(options.tls_crl) if options.tls_crl else None)
        source = LiveTls(files, clients=clients)
        self._sources.append(source)
        return source

    async def keep(self) -> None:
        """Renew them, and see what changed, for as long as this runs. Begun when the listeners are made."""
        if not self._sources:
            return
        from boxship.pki.live import Renewal

        names = (NAME,) if self._options.pki else ()
        await Renewal(Path(self._options.pki), self._passphrase(), names, tuple(self._sources), self._life).run()

    def _passphrase(self) -> bytes | None:
        path = self._options.pki_passphrase_file
        return read_passphrase(Path(path)) if path else None


def _own_name() -> tuple[str, ...]:
    """The machine's name, where it can stand in a certificate."""
    with contextlib.suppress(BoxshipError):
        return subject_for(NAME, (os.uname().nodename,)).hosts
    return ()


def tls_hosts(options: Options) -> tuple[str, ...]:
    """The hosts that the daemon listens on with TLS."""
    places = [host.partition("://")[2] for host in options.host if host.startswith("tcp://")]
    places += [options.registry, *options.registry_name]
    return tuple(re.sub(r":\d+$", "", place) for place in places if place)
