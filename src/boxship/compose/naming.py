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
) -> str:
    """The final name. `documents` are as they are written; without an interpolator `name:` is taken as it is. Raises
    Invalid for a name that breaks the rule, FileError with its place."""
    given = flag or environment.get("COMPOSE_PROJECT_NAME", "")
    if given:
        if not _VALID.match(given):
            raise Invalid(f'invalid project name "{given}": {_RULE}')
        return given
    written = _written(documents, interpolator)
    if written:
        return written
    name = re.sub(r"[^a-z0-9_-]", "", posixpath.basename(directory).lower()).lstrip("_-")
    if not name:
        raise Invalid(f"project name must not be empty: the folder {directory} gives none, use --project-name")
    return name


def _written(documents: tuple[Mapping, ...], interpolator: Interpolator | None) -> str:
    """The last `name:` of the files."""
    nodes = [node for document in documents if isinstance(node := document.get("name"), Scalar) and text_of(node)]
    if not nodes:
        return ""
    node = nodes[-1]
    name = text_of(node)
    if interpolator is not None:
        name = interpolator.text(name, node.place, ("name",))
        if name and not _VALID.match(name):
            raise FileError(node.place, f'invalid project name "{name}": {_RULE}')
    return name
