"""The certificates of a running control plane: opened at the start, and renewed while it runs for a year and longer."""

import asyncio
import datetime
import logging
import ssl
from pathlib import Path

from boxship.errors import BoxshipError
from boxship.main.control_options import ControlOptions
from boxship.pki.cluster import ClusterAuthority, open_authority

log = logging.getLogger("boxship-control")

KUBECONFIG = "admin.kubeconfig"
ADMIN = "admin"
LOOK_SECONDS = 3600.0  # between looks for what ends soon


class Certificates:
    """Implements transport's TlsSource: each connection begins with the certificate that there is now. `version` grows
    with each renewal."""

    def __init__(self, options: ControlOptions) -> None:
        """Makes or renews what is missing. Blocks for some milliseconds. Raises Invalid for wrong files."""
        self._options = options
        self.authority = self._open()
        self._context = self.authority.server_context()
        self._shown = self.authority.certificate.read_bytes()
        self.version = 1

    def context(self) -> ssl.SSLContext:
        return self._context

    def revoked(self, serial: int) -> bool:
        """No certificate is taken back: rights are, by what is bound to a user."""
        return False

    async def keep(self) -> None:
        """Without end: renew what ends soon, and show it from the next connection on."""
        while True:
            await asyncio.sleep(LOOK_SECONDS)
            try:
                authority = await asyncio.to_thread(self._open)
            except BoxshipError as error:
                log.error("cannot renew certificates: %s", error)
                continue
            self.look(authority)

    def look(self, authority: ClusterAuthority) -> None:
        """Use the server's certificate as it is now."""
        shown = authority.certificate.read_bytes()
        if shown != self._shown:
            self._context, self._shown = authority.server_context(), shown
            self.version += 1
            log.info("renewed the server's certificate")

    def _open(self) -> ClusterAuthority:
        options = self._options
        data = Path(options.data_root)
        authority = open_authority(
            data / "pki",
            hosts_of(options),
            datetime.datetime.now(datetime.UTC),
            service_cidr=options.service_cidr,
            domain=options.cluster_domain,
        )
        write_kubeconfig(data / KUBECONFIG, authority, options)
        return authority


def hosts_of(options: ControlOptions) -> list[str]:
    """Names and addresses that the server's certificate is for, besides those that it always is for."""
    advertised, also = (place.rpartition(":")[0].strip("[]") for place in (options.advertise, options.also_listen))
    own = [options.host, advertised, also, *options.name]
    return [host for host in dict.fromkeys(own) if host not in ("", "0.0.0.0", "::")]


def write_kubeconfig(path: Path, authority: ClusterAuthority, options: ControlOptions) -> None:
    """The administrator's kubeconfig, for its owner alone; written anew where it changed."""
    text = authority.kubeconfig(ADMIN, f"https://{options.advertise}", options.cluster)
    if path.exists() and path.read_bytes() == text:
        return
    half = path.with_suffix(".new")
    half.unlink(missing_ok=True)
    half.touch(mode=0o600)
    half.write_bytes(text)
    half.replace(path)
