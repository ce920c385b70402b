"""What a verb is given: its options and arguments, the environment, the daemon, and where to write."""

import sys
from collections.abc import Mapping
from functools import cached_property

from boxship.cli.flags import Options
from boxship.errors import BoxshipError

TYPE_CHECKING = False  # mypy reads the name; the module `typing` is too slow to import for it
if TYPE_CHECKING:
    from boxship.cli.daemon import Daemon


class Failure(BoxshipError):
    """Ends the program with an exit code and, unless the message is empty, one line on stderr."""

    def __init__(self, message: str = "", exit_code: int = 1) -> None:
        super().__init__(message)
        self.exit_code = exit_code


class Call:
    """One command line, parsed. The daemon is reached for only when a verb asks for it."""

    def __init__(
        self,
        name: str,
        options: Options,
        arguments: list[str],
        shared: Options,
        environment: Mapping[str, str],
        group: Options | None = None,
    ) -> None:
        self.name = name
        self.options = options
        self.arguments = arguments
        self.shared = shared
        self.environment = environment
        self.group = group or Options(())  # of `boxship compose`: the flags before the verb

    @cached_property
    def daemon(self) -> "Daemon":
        from boxship.cli.daemon import Daemon, find_address

        version = self.environment.get("BOXSHIP_API_VERSION") or self.environment.get("DOCKER_API_VERSION") or ""
        return Daemon(find_address(self.shared, self.environment), version)

    def write(self, text: str) -> None:
        """Text to stdout, as it is."""
        sys.stdout.write(text)

    def line(self, text: str) -> None:
        """One line to stdout."""
        sys.stdout.write(text + "\n")

    def warn(self, text: str) -> None:
        """One line to stderr."""
        sys.stdout.flush()
        sys.stderr.write(text + "\n")
