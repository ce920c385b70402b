"""How a build ends that a step ended: which step, where it stands in the Dockerfile, and what it was."""

from collections.abc import Sequence

from boxship.builder.dockerfile.problems import excerpt
from boxship.builder.dockerfile.syntax import Location
from boxship.errors import Invalid


class BuildFailed(Invalid):
    """A step failed. `reason` is the plain reason; the message shows the lines too. `code` is a command's exit code (0
    where none failed) and `command` its words joined by blanks; `lines` are the whole Dockerfile's."""

    def __init__(
        self,
        reason: str,
        *,
        step: str = "",
        code: int = 0,
        command: str = "",
        location: Location | None = None,
        lines: Sequence[str] = (),
    ) -> None:
        self.reason = reason
        self.step = step
        self.code = code
        self.command = command
        self.location = location
        self.lines = tuple(lines)
        self.excerpt = excerpt(lines, location) if location is not None and lines else ""
        super().__init__(f"{reason}\n{self.excerpt}".rstrip("\n"))
