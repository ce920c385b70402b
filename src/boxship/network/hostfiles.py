"""The host's own resolv.conf and hosts file, read again only when they changed: they are asked for at every start of a
container and at every question that is passed on."""

from pathlib import Path

from boxship.network import files
from boxship.network.model import Settings


class HostFile:
    """One text file of the host; a missing one is empty."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._mark: tuple[int, int, int] | None = None
        self._text = ""

    def changed(self) -> bool:
        """Read the file again where it is not the one read last; whether that was so."""
        try:
            status = self._path.stat()
            mark = (status.st_mtime_ns, status.st_ino, status.st_size)
            if mark == self._mark:
                return False
            self._text = self._path.read_text(errors="replace")
        except OSError:
            mark, self._text = (0, 0, 0), ""
        found = mark != self._mark
        self._mark = mark
        return found

    @property
    def text(self) -> str:
        self.changed()
        return self._text


class HostFiles:
    """What containers take over from the host, with the daemon's settings in place of it."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._resolv_conf = HostFile(settings.resolv_conf)
        self._hosts = HostFile(settings.hosts_file)
        self._config = files.ResolverConfig()

    @property
    def resolv_conf(self) -> str:
        return self._resolv_conf.text

    @property
    def hosts(self) -> str:
        return self._hosts.text

    @property
    def config(self) -> files.ResolverConfig:
        """The host's resolver configuration, overridden by the settings."""
        if self._resolv_conf.changed():
            found = files.parse_resolv_conf(self._resolv_conf.text)
            self._config = files.ResolverConfig(
                self._settings.nameservers or found.nameservers,
                self._settings.search or found.search,
                self._settings.resolver_options or found.options,
            )
        return self._config
