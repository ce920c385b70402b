"""How this server shows itself to the agents of nodes, and knows them: by its certificate, and by their authority and
names. Pods and services prove nothing, as with the original."""

from pathlib import Path

from boxship.cluster.api.connecting.places import Place
from boxship.transport.client import Trust


class Identity:
    """How this server shows itself to the agents of nodes, and knows them: its certificate, and their authority."""

    def __init__(self, certificate: Path, key: Path, authority: Path) -> None:
        self._certificate, self._key, self._authority = str(certificate), str(key), authority
        self._read: tuple[int, str] = (0, "")

    def trust(self, place: Place) -> Trust:
        if not place.node:
            return Trust(verify=False)
        changed = self._authority.stat().st_mtime_ns
        if changed != self._read[0]:
            self._read = (changed, self._authority.read_text())
        return Trust(ca_data=self._read[1], server_name=place.node, certificate=self._certificate, key=self._key)
