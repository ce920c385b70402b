"""The flags of `up` and `create` as what the planner is asked for."""

from __future__ import annotations

import time

from boxship.cli.call import Call, Failure
from boxship.cli.composing.opening import Phase, orphans_of, scales, timeout_of
from boxship.compose.model import Project
from boxship.compose.planning.actions import CreateNetwork, CreateVolume, Plan
from boxship.compose.planning.drafting import Draft
from boxship.compose.planning.naming import network_labels, volume_labels
from boxship.compose.planning.observed import Observed
from boxship.compose.planning.options import UpOptions
from boxship.compose.running.session import image_phases

PULLS = {"policy": "", "": "", "always": "always", "missing": "missing", "never": "never", "build": "build"}


def up_options(call: Call, project: Project) -> UpOptions:
    """Raises Failure for what does not go together."""
    options = call.options

    def on(name: str) -> bool:
        return options.has(name) and options.on(name)

    pull = options.text("pull")
    if pull not in PULLS:
        raise Failure(f"invalid --pull option {pull!r}: it must be one of always, missing, never, build, policy")
    if on("build") and on("no-build"):
        raise Failure("--build and --no-build are incompatible")
    remove, ignore = orphans_of(call, project)
    return UpOptions(
        services=tuple(call.arguments),
        scale=scales(options.texts("scale")),
        force_recreate=on("force-recreate"),
        no_recreate=on("no-recreate"),
        always_recreate_deps=on("always-recreate-deps"),
        no_deps=on("no-deps"),
        renew_anon_volumes=on("renew-anon-volumes"),
        no_start=on("no-start"),
        build=on("build") or PULLS[pull] == "build",
        no_build=on("no-build"),
        pull="" if PULLS[pull] == "build" else PULLS[pull],
        remove_orphans=remove,
        ignore_orphans=ignore,
        wait=on("wait"),
        wait_timeout=float(options.number("wait-timeout")) or None if options.has("wait-timeout") else None,
        timeout=timeout_of(call) if options.has("timeout") else None,
        now=time.time_ns(),
    )


def all_resources(project: Project, seen: Observed) -> Plan:
    """With --all-resources: the networks and volumes that no service uses."""
    draft = Draft()
    used_networks = {key for service in project.services.values() for key in service.networks}
    used_volumes = {mount.source for service in project.services.values() for mount in service.volumes}
    networks, volumes = {one.name for one in seen.networks}, {one.name for one in seen.volumes}
    for key, network in project.networks.items():
        if not network.external and key not in used_networks and network.name not in networks:
            draft.add(CreateNetwork(key=key, name=network.name, labels=network_labels(project, key)))
    for key, volume in project.volumes.items():
        if not volume.external and key not in used_volumes and volume.name not in volumes:
            draft.add(CreateVolume(key=key, name=volume.name, labels=volume_labels(project, key)))
    return draft.plan()


def making_phases(call: Call, project: Project, options: UpOptions, last: Phase) -> tuple[Phase, ...]:
    """What `up` and `create` do, in order: images, what is asked for beside services, and the services."""
    beside: tuple[Phase, ...] = ()
    if call.group.on("all-resources"):
        beside = (lambda seen: all_resources(project, seen),)
    return (*image_phases(project, options), *beside, last)
