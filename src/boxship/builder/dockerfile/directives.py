"""Parser directives: comments of the form `# name=value` on the first lines, before anything else. Pure.

The first line that is no directive ends them, be it a comment of another form, an unknown name or a blank line.
"""

import re
from collections.abc import Sequence

from boxship.errors import Invalid

KNOWN = ("syntax", "escape", "check")
_DIRECTIVE = re.compile(r"#\s*([a-zA-Z][a-zA-Z0-9]*)\s*=\s*(\S.*)")  # of a stripped line: nothing to go back for


class Wrong(Invalid):
    """A directive that cannot be; `line` counts from 1."""

    def __init__(self, message: str, line: int) -> None:
        super().__init__(message)
        self.line = line


def read(lines: Sequence[str]) -> tuple[dict[str, str], int]:
    """The directives by lower-case name, and how many lines they take. Raises Wrong."""
    found: dict[str, str] = {}
    for number, line in enumerate(lines, 1):
        match = _DIRECTIVE.fullmatch(line.strip())
        name = match[1].lower() if match else ""
        if match is None or name not in KNOWN:
            return found, number - 1
        if name in found:
            raise Wrong(f"only one {name} parser directive can be used", number)
        if name == "escape" and match[2] not in ("\\", "`"):
            raise Wrong(f"invalid escape token '{match[2]}' does not match ` or \\", number)
        found[name] = match[2]
    return found, len(lines)
