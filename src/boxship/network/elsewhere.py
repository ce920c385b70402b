"""Names that others on this machine know, for containers on its networks: those of the cluster that it belongs to. Who
knows names comes and goes; as long as nobody is there, nothing changes for anybody."""

import contextlib
from collections.abc import Iterator
from typing import Protocol

from boxship.network.directory import Directory

DEFAULT = "_default"  # what Compose calls the network of a project


class OtherNames(Protocol):
    """Somebody who knows names."""

    def owns(self, name: str) -> bool:
        """Whether a name without its last dot, in lower case, is theirs to answer."""

    def at_once(self, data: bytes, *, stream: bool = False) -> bytes | None:
        """The answer to a question; None: it takes waiting."""

    async def answer(self, data: bytes, asker: str = "", *, stream: bool = False) -> bytes | None:
        """None: there is none."""


class Elsewhere:
    """Who knows names besides the networks' own directory."""

    def __init__(self) -> None:
        self._known: list[OtherNames] = []

    @contextlib.contextmanager
    def asked(self, names: OtherNames) -> Iterator[None]:
        """They are asked inside the block."""
        self._known.append(names)
        try:
            yield
        finally:
            self._known.remove(names)

    def owner(self, name: str) -> OtherNames | None:
        return next((names for names in self._known if names.owns(name)), None)


class Neighbours:
    """The other way round: containers of all networks by name, for those who are on none of them."""

    def __init__(self, directory: Directory) -> None:
        self._directory = directory

    def addresses_of(self, name: str, network: str) -> list[str]:
        """IPv4 addresses of a container's name, alias or Compose service on a network, which may be called by its
        Compose project; "": on whichever has the name, where only one has."""
        if network:
            return self._directory.on_network(name, network) or self._directory.on_network(name, network + DEFAULT)
        return self._directory.on_any(name)

    def name_of(self, address: str) -> str:
        """ "NAME.NETWORK" of a container's address, or ""."""
        return self._directory.full_name(address)
