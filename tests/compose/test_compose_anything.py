"""Whatever stands in a project's files, gathering ends with a tree or with an error for its user, not with a crash."""

from __future__ import annotations

import json
from typing import Any

from compose_files_kit import gathered
from hypothesis import given, settings
from hypothesis import strategies as some

from boxship.errors import BoxshipError

FIELDS = (
    "image build command entrypoint environment env_file labels ports volumes networks depends_on extends secrets"
    " configs ulimits logging healthcheck deploy devices dns expose extra_hosts tmpfs profiles develop sysctls x-y"
    " context args path target source file service include services name aliases driver options test limits resources"
).split()
WORDS = some.sampled_from(
    [
        "",
        "a",
        "b",
        "compose.yaml",
        "./a",
        "80",
        "8000-8001:80-81",
        "a:b",
        "/x:/y:ro",
        "A=1",
        "$A",
        "${B:-c}",
        "${",
        "1m",
        "~",
        "*",
    ]
)
PLAIN = some.one_of(WORDS, some.none(), some.booleans(), some.integers(-1, 90), some.floats(allow_nan=False, width=16))
VALUES = some.recursive(
    PLAIN,
    lambda inner: some.one_of(
        some.lists(inner, max_size=3), some.dictionaries(some.sampled_from([*FIELDS, "a", "b", ""]), inner, max_size=3)
    ),
    max_leaves=8,
)
SERVICE = some.dictionaries(some.sampled_from(FIELDS), VALUES, max_size=4)
DOCUMENT = some.fixed_dictionaries(
    {"services": some.one_of(VALUES, some.dictionaries(some.sampled_from(["a", "b"]), SERVICE, max_size=2))},
    optional=dict.fromkeys(("include", "networks", "volumes", "secrets", "configs", "name", "x-z", "version"), VALUES),
)


def written(document: dict[str, Any], tag: str) -> str:
    """JSON is YAML; one value gets a tag of Compose's."""
    text = json.dumps(document)
    return text.replace(': "', f': {tag} "', 1) if tag else text


@settings(max_examples=120, deadline=None)
@given(DOCUMENT, DOCUMENT, some.sampled_from(["", "", "!reset", "!override"]))
def test_gathering_never_crashes(first: dict[str, Any], second: dict[str, Any], tag: str) -> None:
    for interpolate in (True, False):
        files: dict[str, str | bytes] = {
            "compose.yaml": written(first, ""),
            "compose.override.yaml": written(second, tag),
            "a": json.dumps(first),
        }
        try:
            found = gathered(files, interpolate=interpolate)
        except BoxshipError:
            continue
        assert found.name
