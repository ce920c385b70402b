"""`pull`, `build` and `push`, and which images `up` gets first. Images come before everything else: only then is known
what changed.

Pulls and builds are two plans, one after the other: a service with a build whose pull fails is built.
"""

from __future__ import annotations

import re
from collections.abc import Iterable

from boxship.compose.model import Project, Service
from boxship.compose.planning.actions import BuildImage, Pass, Plan, PullImage, PushImage
from boxship.compose.planning.drafting import Draft
from boxship.compose.planning.naming import image_of
from boxship.compose.planning.observed import Observed
from boxship.compose.planning.options import BuildOptions, PullOptions, PushOptions, UpOptions
from boxship.compose.planning.selecting import select
from boxship.errors import Invalid, NotFound
from boxship.spec.duration import HOUR, parse_duration

_UNITS = {"w": 7 * 24 * HOUR, "d": 24 * HOUR}
_AGES = {"daily": 24 * HOUR, "weekly": 7 * 24 * HOUR}
POLICIES = ("", "always", "missing", "never", "build", "if_not_present")


def pulls(project: Project, observed: Observed, options: UpOptions) -> Plan:
    """What `up` pulls. A service with a build is pulled only where its policy says so, and may then fail."""
    chosen = select(project, options.services, dependencies=not options.no_deps)
    draft = Draft()
    done: set[tuple[str, str]] = set()
    for service in chosen.services.values():
        image = image_of(project, service)
        policy = options.pull or service.pull_policy
        here = image in observed.images
        if (image, service.platform) in done or not service.image:
            continue
        if service.build is not None and (options.build or policy in ("", "build")):
            continue
        if _is_due(policy, here, observed.pulled.get(image, 0), options.now):
            done.add((image, service.platform))
            optional = service.build is not None and not options.no_build
            action = PullImage(service=service.name, image=image, platform=service.platform, optional=optional)
            draft.add(action, reason="missing" if not here else f"pull policy {policy}", optional=optional)
    return draft.plan()


def _is_due(policy: str, here: bool, pulled: int, now: int) -> bool:
    """Whether an image is pulled, by the policy; times are nanoseconds."""
    if policy == "always":
        return True
    if policy in ("never", "build"):
        return False
    if policy in POLICIES:
        return not here
    return not here or now - pulled >= policy_age(policy)


def policy_age(policy: str) -> int:
    """Nanoseconds after which daily, weekly or every_DURATION pulls again. Raises Invalid."""
    if policy in _AGES:
        return _AGES[policy]
    text = policy.removeprefix("every_")
    if text == policy:
        raise Invalid(f"unsupported pull_policy {policy!r}")
    days = re.match(r"(?:(\d+)w)?(?:(\d+)d)?", text)
    assert days is not None
    total = int(days[1] or 0) * _UNITS["w"] + int(days[2] or 0) * _UNITS["d"]
    rest = text[days.end() :]
    return total + (parse_duration(rest) if rest or not total else 0)


def builds(project: Project, observed: Observed, options: UpOptions) -> Plan:
    """What `up` builds: what is missing, and everything with --build. Raises NotFound where an image can come from
    nowhere."""
    chosen = select(project, options.services, dependencies=not options.no_deps)
    wanted = []
    for service in chosen.services.values():
        image = image_of(project, service)
        here = image in observed.images
        if service.build is None or options.no_build:
            if service.build is not None and not here:
                raise NotFound(f"cannot start service {service.name}: its image {image} is not built (--no-build)")
            continue
        if options.build or not here or service.pull_policy == "build":
            wanted.append(service)
    draft = Draft()
    _build(draft, project, wanted)
    return draft.plan()


def _build(draft: Draft, project: Project, services: Iterable[Service]) -> dict[str, int]:
    """Steps by service; one that builds on another's image comes after it."""
    wanted = {service.name: service for service in services}
    steps: dict[str, int] = {}
    path: list[str] = []

    def visit(name: str) -> None:
        if name in steps:
            return
        if name in path:
            raise Invalid(f"dependency cycle detected: {' -> '.join([*path, name])}")
        path.append(name)
        sources = wanted[name].build
        contexts = sources.additional_contexts.values() if sources is not None else ()
        needed = [text.removeprefix("service:") for text in contexts if text.startswith("service:")]
        for other in needed:
            if other in wanted:
                visit(other)
        path.pop()
        action = BuildImage(service=name, image=image_of(project, wanted[name]))
        steps[name] = draft.add(action, [steps[other] for other in needed if other in steps])

    for name in wanted:
        visit(name)
    return steps


def pull(project: Project, observed: Observed, options: PullOptions) -> Plan:
    """`pull` asks for every image, whatever is here, unless a policy says otherwise."""
    chosen = select(project, options.services, dependencies=options.include_deps)
    draft = Draft()
    done: set[tuple[str, str]] = set()
    for service in chosen.services.values():
        image = image_of(project, service)
        policy = options.policy or service.pull_policy
        skipped = _skipped(service, image in observed.images, policy, options)
        if skipped:
            draft.add(Pass(service=service.name, name=service.name, text=f"Skipped - {skipped}", kind="Service"))
        elif (image, service.platform) not in done:
            done.add((image, service.platform))
            optional = options.ignore_failures or service.build is not None
            action = PullImage(
                service=service.name, image=image, platform=service.platform, optional=service.build is not None
            )
            draft.add(action, optional=optional)
    return draft.plan()


def _skipped(service: Service, here: bool, policy: str, options: PullOptions) -> str:
    if not service.image:
        return "No image to be pulled"
    if service.build is not None and options.ignore_buildable:
        return "Image can be built"
    if policy in ("never", "build"):
        return "Image has pull policy " + policy
    if policy in ("missing", "if_not_present") and here:
        return "Image is already present locally"
    return ""


def build(project: Project, observed: Observed, options: BuildOptions) -> Plan:
    """`build`: the services that have one."""
    chosen = select(project, options.services, dependencies=options.with_dependencies)
    draft = Draft()
    wanted = [service for service in chosen.services.values() if service.build is not None]
    if not wanted:
        draft.warn("No services to build")
    steps = _build(draft, project, wanted)
    if options.push:
        for service in wanted:
            if service.image:
                draft.add(PushImage(service=service.name, image=service.image), (steps[service.name],))
    return draft.plan()


def push(project: Project, observed: Observed, options: PushOptions) -> Plan:
    """`push`: the images that are built here and have a name of their own."""
    chosen = select(project, options.services, dependencies=options.include_deps)
    draft = Draft()
    for service in chosen.services.values():
        if service.build is None or not service.image:
            if options.services:
                text = "Skipped - no image of its own to be pushed"
                draft.add(Pass(service=service.name, name=service.name, text=text, kind="Service"))
            continue
        draft.add(PushImage(service=service.name, image=service.image), optional=options.ignore_failures)
    return draft.plan()
