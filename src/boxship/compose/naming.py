"""The name of a project: what a flag says, then COMPOSE_PROJECT_NAME, then `name:` of its files, then its folder's.

It must never be empty, nor hold what the engine refuses in names.
"""

from __future__ import annotations

import posixpath
import re
from collections.abc import Mapping as Pairs

from boxship.compose.document import FileError, Mapping, Scalar
from boxship.compose.interpolation import Interpolator
from boxship.compose.trees import text_of
from boxship.errors import Invalid

_VALID = re.compile(r"[a-z0-9][a-z0-9_-]*\Z")
_RULE = (
    "must consist only of lowercase alphanumeric characters, hyphens, and underscores as well as start with a letter or"
    " number"
)


def project_name(
    flag: str,
    environment: Pairs[str, str],
    documents: tuple[Mapping, ...],
    directory: str,
    interpolator: Interpolator | None,
) -> tuple[str, tuple[str, ...]]:
    """The final name, and warnings. `documents` are as they are written; without an interpolator `name:` is taken as it
    is. Raises Invalid for a name that breaks the rule; one in a file is made to follow it, as Docker Compose does."""
    given = flag or environment.get("COMPOSE_PROJECT_NAME", "")
    if given:
        if not _VALID.match(given):
            raise Invalid(f'invalid project name "{given}": {_RULE}')
        return given, ()
    node = next((node for each in reversed(documents) if text_of(node := each.get("name"))), None)
    if not isinstance(node, Scalar):
        name = _normal(posixpath.basename(directory))
        if not name:
            raise Invalid(f"project name must not be empty: the folder {directory} gives none, use --project-name")
        return name, ()
    written = text_of(node)
    if interpolator is None:
        return written, ()
    written = interpolator.text(written, node.place, ("name",))
    name = _normal(written)
    if not name:
        raise FileError(node.place, f'invalid project name "{written}": {_RULE}')
    return name, () if name == written else (
        f'{node.place}: the project name "{written}" is taken as "{name}": it {_RULE}',
    )


def _normal(name: str) -> str:
    return re.sub(r"[^a-z0-9_-]", "", name.lower()).lstrip("_-")
