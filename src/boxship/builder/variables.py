"""Build arguments: those every build has (platforms, proxies), and those before the first FROM. Pure.

An ARG is seen from its line to the end of the stage and in stages made from it; ENV of the same name wins. Platform
arguments are seen by FROM at once, and in a stage after an ARG that names them.
"""

from collections.abc import Iterable, Mapping

from boxship.builder.dockerfile.arguments import PROXIES
from boxship.builder.dockerfile.syntax import Arg
from boxship.builder.dockerfile.words import expand_word
from boxship.errors import BoxshipError

DEFAULT_PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"


def given_arguments(arguments: Mapping[str, str | None]) -> dict[str, str]:
    """Those that came with a value."""
    return {name: value for name, value in arguments.items() if value is not None}


def proxies(arguments: Mapping[str, str]) -> dict[str, str]:
    """Proxy settings that were given as arguments."""
    return {name: arguments[name] for name in PROXIES if name in arguments}


class Globals:
    """What FROM sees: platform arguments and the ARGs before the first FROM, in order."""

    def __init__(
        self, platform: Mapping[str, str], declared: Iterable[Arg], given: Mapping[str, str], escape: str
    ) -> None:
        self.given = given
        self.platform = {name: given.get(name, value) for name, value in platform.items()}
        self.values: dict[str, str] = dict(self.platform)
        self.declared: dict[str, str | None] = {}
        self.failed: tuple[Arg, BoxshipError] | None = None
        for instruction in declared:
            try:
                for name, default in instruction.pairs:
                    self._declare(expand_word(name, self.values, escape), default, escape)
            except BoxshipError as error:
                self.failed = self.failed or (instruction, error)

    def _declare(self, name: str, default: str | None, escape: str) -> None:
        value = self.given.get(name)
        if value is None and default is not None:
            value = expand_word(default, self.values, escape)
        if value is None:
            value = self.platform.get(name)
        self.declared[name] = value
        if value is not None:
            self.values[name] = value

    def default(self, name: str) -> str | None:
        """What an ARG without a default gets in a stage."""
        if self.declared.get(name) is not None:
            return self.declared[name]
        return self.platform.get(name)
