"""What is allowed in a Dockerfile but unwise: the rules of BuildKit's documented build checks. Pure.

`# check=skip=Rule,Rule;error=true;experimental=Rule` (or the argument BUILDKIT_DOCKERFILE_CHECK, which wins) says which
rules are left out, and whether a finding ends the build. Only what needs the base image itself is not here.
"""

import re
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence

import msgspec

from boxship.builder.dockerfile.check_forms import FORMS, Found
from boxship.builder.dockerfile.check_variables import VARIABLES, Surroundings
from boxship.builder.dockerfile.syntax import Dockerfile, Finding
from boxship.errors import Invalid

ARGUMENT = "BUILDKIT_DOCKERFILE_CHECK"
EXPERIMENTAL = frozenset({"InvalidDefinitionDescription", "CopyIgnoredFile"})
ON_BY_DEFAULT = frozenset({"CopyIgnoredFile"})  # experimental in older releases; on since it left that state
ADDRESS = "https://docs.docker.com/go/dockerfile/rule/"
RULES: dict[str, Callable[[Dockerfile, Surroundings], Iterator[Found]]] = {**FORMS, **VARIABLES}


class CheckSettings(msgspec.Struct, frozen=True):
    """Which rules are left out, which experimental ones are on, and whether a finding ends the build. "all" may stand
    for every rule."""

    skip: frozenset[str] = frozenset()
    experimental: frozenset[str] = frozenset()
    error: bool = False

    def wants(self, rule: str) -> bool:
        if rule in EXPERIMENTAL - ON_BY_DEFAULT and not self.experimental & {rule, "all"}:
            return False
        return not self.skip & {rule, "all"}


def settings_of(dockerfile: Dockerfile, build_arguments: Mapping[str, str | None]) -> CheckSettings:
    """From the directive, or the build argument. Raises Invalid."""
    text = build_arguments.get(ARGUMENT) or dockerfile.directives.get("check", "")
    lists: dict[str, frozenset[str]] = {}
    error = False
    for part in filter(None, (part.strip() for part in text.split(";"))):
        name, equals, value = part.partition("=")
        name = name.strip()
        if not equals or name not in ("skip", "experimental", "error"):
            raise Invalid(f"invalid check option {part!r}: use skip=, experimental= or error=")
        if name == "error":
            if value.strip().lower() not in ("true", "false", "1", "0"):
                raise Invalid(f"invalid check option {part!r}: error is true or false")
            error = value.strip().lower() in ("true", "1")
        else:
            lists[name] = frozenset(filter(None, (word.strip() for word in value.split(","))))
    return CheckSettings(lists.get("skip", frozenset()), lists.get("experimental", frozenset()), error)


def check(
    dockerfile: Dockerfile,
    *,
    build_arguments: Mapping[str, str | None] | None = None,
    ignored: Callable[[str], bool] | None = None,
    environments: Mapping[str, Collection[str]] | None = None,
) -> tuple[Finding, ...]:
    """Every finding, in the order of lines. `ignored` says whether .dockerignore leaves out a path of the context.
    `environments` are the names of variables that base images bring, by the name in FROM; stages on an image that is
    not among them are not looked through for undefined variables. Raises Invalid for wrong settings."""
    arguments = build_arguments or {}
    settings = settings_of(dockerfile, arguments)
    surroundings = Surroundings(arguments, ignored, environments or {})
    found = [
        Finding(rule, message, location, ADDRESS + address_of(rule) + "/")
        for rule, look in RULES.items()
        if settings.wants(rule)
        for message, location in look(dockerfile, surroundings)
    ]
    return tuple(sorted(found, key=lambda finding: (finding.location.first, finding.rule, finding.message)))


def address_of(rule: str) -> str:
    """StageNameCasing is stage-name-casing."""
    return re.sub(r"(?<=[a-z])(?=[A-Z])|(?<=[A-Z])(?=[A-Z][a-z])", "-", rule).lower()


def refusal(findings: Sequence[Finding], settings: CheckSettings) -> str:
    """Why a build that wants no findings ends, or ""."""
    rules = sorted({finding.rule for finding in findings if finding.rule})
    return f"lint violation found for rules: {', '.join(rules)}" if settings.error and rules else ""
