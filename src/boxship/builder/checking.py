"""The checks of a Dockerfile, with what the build knows besides its text: the context's rules and the base images."""

from collections.abc import Mapping

from boxship.builder.dockerfile import checks
from boxship.builder.dockerfile.arguments import platform_text
from boxship.builder.dockerfile.syntax import Dockerfile, Finding
from boxship.builder.graph import ImageSource
from boxship.builder.model import BuildRequest
from boxship.builder.planner import Base
from boxship.errors import Invalid
from boxship.spec import platform as platforms
from boxship.spec.ignore import Ignore

WRONG_PLATFORM = "InvalidBaseImagePlatform"


def findings_of(
    dockerfile: Dockerfile, request: BuildRequest, placed: Mapping[int, ImageSource], known: Mapping[ImageSource, Base]
) -> tuple[Finding, ...]:
    """Every finding. `placed` are the images that stages stand on, by the stage's index. Raises Invalid for wrong
    settings of the checks."""
    ignore = Ignore(request.context.patterns) if request.context is not None else None
    environments = {}
    for index, source in placed.items():
        if source in known:
            names = [entry.partition("=")[0] for entry in known[source].config.Env or ()]
            environments[dockerfile.stages[index].origin.base] = names
    found = checks.check(
        dockerfile,
        build_arguments=request.arguments,
        ignored=ignore.excludes if ignore is not None and ignore.active else None,
        environments=environments,
    )
    if checks.settings_of(dockerfile, request.arguments).wants(WRONG_PLATFORM):
        found += _platforms(dockerfile, placed, known)
    return found


def _platforms(
    dockerfile: Dockerfile, placed: Mapping[int, ImageSource], known: Mapping[ImageSource, Base]
) -> tuple[Finding, ...]:
    """Base images for another platform than the one that was asked for."""
    found = []
    for index, source in placed.items():
        base = known.get(source)
        if base is None or base.platform is None or platforms.matches(source.platform, base.platform):
            continue
        message = (
            f"Base image {source.reference} was pulled with platform "
            f'"{platform_text(base.platform)}", expected "{platform_text(source.platform)}" for current build'
        )
        url = checks.ADDRESS + checks.address_of(WRONG_PLATFORM) + "/"
        found.append(Finding(WRONG_PLATFORM, message, dockerfile.stages[index].origin.location, url))
    return tuple(found)


def refuse(dockerfile: Dockerfile, request: BuildRequest, findings: tuple[Finding, ...]) -> None:
    """Raises Invalid where the Dockerfile or an argument says that a finding ends the build."""
    refusal = checks.refusal(findings, checks.settings_of(dockerfile, request.arguments))
    if refusal:
        raise Invalid(refusal)
