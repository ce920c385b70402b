"""One function for each thing that is done to networks, volumes, containers. Doing again what is done is no error."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

from msgspec import Struct

from boxship.cli.composing.creation import Surroundings, creation_body
from boxship.cli.composing.creation_networks import endpoint, network_name
from boxship.cli.composing.hooks import is_gone, run_hooks
from boxship.cli.composing.localfiles import LocalFiles
from boxship.cli.composing.materials import archive, granted
from boxship.cli.composing.reach import Reach
from boxship.cli.composing.surroundings import inherited_volumes, linked_names, service_containers
from boxship.cli.daemon import DaemonError
from boxship.cli.escape import escape, path_of
from boxship.compose.model import Project, Service
from boxship.compose.parts import ServiceNetwork
from boxship.compose.planning import actions as kinds
from boxship.compose.planning.observed import LABEL_HASH, LABEL_NUMBER, LABEL_ONE_OFF, LABEL_PROJECT, LABEL_SERVICE
from boxship.compose.running.host import News
from boxship.errors import Timeout

Object = dict[str, Any]
Tell = Callable[[News], None]
SAME = (LABEL_PROJECT, LABEL_SERVICE, LABEL_NUMBER, LABEL_ONE_OFF, LABEL_HASH)
GONE_SECONDS = 60.0


def service_of(project: Project, action: kinds.Action) -> Service:
    """The model of what an action is about; one that the file does not have any more has a name alone."""
    found = project.services.get(action.service) or project.disabled.get(action.service)
    return found or Service(name=action.service)


def do_nothing(reach: Reach, project: Project, action: kinds.Pass, tell: Tell) -> str:
    return ""


def create_network(reach: Reach, project: Project, action: kinds.CreateNetwork, tell: Tell) -> str:
    network = project.networks[action.key]
    body: Object = {
        "Name": action.name,
        "CheckDuplicate": True,
        "Driver": network.driver or "bridge",
        "Options": dict(network.driver_opts),
        "Internal": network.internal,
        "Attachable": network.attachable,
        "Labels": {**network.labels, **action.labels},
    }
    if network.enable_ipv4 is not None:
        body["EnableIPv4"] = network.enable_ipv4
    if network.enable_ipv6 is not None:
        body["EnableIPv6"] = network.enable_ipv6
    if network.ipam is not None:
        ranges = [
            {
                "Subnet": part.subnet,
                "IPRange": part.ip_range,
                "Gateway": part.gateway,
                "AuxiliaryAddresses": dict(part.aux_addresses),
            }
            for part in network.ipam.config
        ]
        body["IPAM"] = {"Driver": network.ipam.driver, "Config": ranges, "Options": dict(network.ipam.options)}
    try:
        return str(reach.daemon.post("/networks/create", body=body)["Id"])
    except DaemonError as error:
        if error.status != 409:
            raise
        return str(reach.daemon.get(f"/networks/{escape(action.name)}")["Id"])


def remove_network(reach: Reach, project: Project, action: kinds.RemoveNetwork, tell: Tell) -> str:
    return _removed(lambda: reach.daemon.delete(f"/networks/{escape(action.id)}"))


def create_volume(reach: Reach, project: Project, action: kinds.CreateVolume, tell: Tell) -> str:
    volume = project.volumes[action.key]
    body = {
        "Name": action.name,
        "Driver": volume.driver or "local",
        "DriverOpts": dict(volume.driver_opts),
        "Labels": {**volume.labels, **action.labels},
    }
    return str(reach.daemon.post("/volumes/create", body=body)["Name"])


def remove_volume(reach: Reach, project: Project, action: kinds.RemoveVolume, tell: Tell) -> str:
    return _removed(lambda: reach.daemon.delete(f"/volumes/{path_of(action.name)}"))


def _removed(remove: Callable[[], object]) -> str:
    try:
        remove()
    except DaemonError as error:
        if error.status != 404:
            raise
    return ""


class Once(Struct, frozen=True):
    """What `run` wants of its container: which streams it is attached to, whether it gets the service's names, and
    whether the engine removes it when it ends."""

    streams: tuple[str, ...] = ()
    aliases: bool = False
    remove: bool = False


def create_container(
    reach: Reach, project: Project, action: kinds.CreateContainer, tell: Tell, once: Once | None = None
) -> str:
    """A container that is there under this name, made of the same configuration and never started, is the one that
    was wanted: what made it did not live to tell."""
    service = service_of(project, action)
    containers = service_containers(reach, project, service)
    around = Surroundings(
        files=LocalFiles(),
        containers=containers,
        linked=linked_names(project, service, containers),
        inherited=inherited_volumes(reach, service, action.inherit) if action.inherit else {},
        socket=reach.address.path,
        streams=once.streams if once else (),
        aliases=once is None or once.aliases,
        remove=bool(once and once.remove),
    )
    return create_from(reach, project, service, action, around, tell)


def create_from(
    reach: Reach, project: Project, service: Service, action: kinds.CreateContainer, around: Surroundings, tell: Tell
) -> str:
    body = creation_body(project, service, action, around)
    query = {"name": action.name, "platform": service.platform or None}
    try:
        answer = reach.daemon.post("/containers/create", query, body=body)
    except DaemonError as error:
        known = _same(reach, action, body) if error.status == 409 else ""
        if not known:
            raise
        return known
    for warning in answer.get("Warnings") or []:
        tell(News(f"warning: {warning}"))
    return str(answer["Id"])


def _same(reach: Reach, action: kinds.CreateContainer, body: Object) -> str:
    try:
        found = reach.daemon.get(f"/containers/{escape(action.name)}/json")
    except DaemonError:
        return ""
    labels = (found.get("Config") or {}).get("Labels") or {}
    same = all(labels.get(name) == body["Labels"].get(name) for name in SAME)
    return str(found["Id"]) if same and (found.get("State") or {}).get("Status") == "created" else ""


def rename_container(reach: Reach, project: Project, action: kinds.RenameContainer, tell: Tell) -> str:
    try:
        reach.daemon.post(f"/containers/{escape(action.container)}/rename", {"name": action.name})
    except DaemonError:
        found = reach.daemon.get(f"/containers/{escape(action.container)}/json")
        if found.get("Name", "").removeprefix("/") != action.name:
            raise
    return ""


def start_container(reach: Reach, project: Project, action: kinds.StartContainer, tell: Tell) -> str:
    service = service_of(project, action)
    put_materials(reach, project, service, action.container)
    response = reach.daemon.request("POST", f"/containers/{escape(action.container)}/start")
    response.read()
    if response.status != 304:  # it was running: its hooks have run
        run_hooks(reach, service, action.container, "post_start", tell)
    return ""


def put_materials(reach: Reach, project: Project, service: Service, container: str) -> None:
    """Secrets and configurations that are not bound, into the container."""
    if not service.secrets and not service.configs:
        return
    data = archive(service, granted(project, service), LocalFiles())
    if data:
        path = f"/containers/{escape(container)}/archive"
        reach.daemon.request("PUT", path, {"path": "/"}, stream=iter((data,))).read()


def stop_container(reach: Reach, project: Project, action: kinds.StopContainer, tell: Tell) -> str:
    _before_stop(reach, project, action, tell)
    return _removed(lambda: _post(reach, action.container, "stop", _seconds(action.seconds)))


def restart_container(reach: Reach, project: Project, action: kinds.RestartContainer, tell: Tell) -> str:
    _before_stop(reach, project, action, tell)
    _post(reach, action.container, "restart", _seconds(action.seconds))
    run_hooks(reach, service_of(project, action), action.container, "post_start", tell)
    return ""


def _before_stop(
    reach: Reach, project: Project, action: kinds.StopContainer | kinds.RestartContainer, tell: Tell
) -> None:
    service = service_of(project, action)
    if not service.pre_stop:
        return
    try:
        run_hooks(reach, service, action.container, "pre_stop", tell)
    except DaemonError as error:
        if not is_gone(error):
            raise


def _seconds(value: float | None) -> Object:
    return {} if value is None else {"t": int(value)}


def _post(reach: Reach, container: str, verb: str, query: Object) -> None:
    reach.daemon.request("POST", f"/containers/{escape(container)}/{verb}", query).read()


def kill_container(reach: Reach, project: Project, action: kinds.KillContainer, tell: Tell) -> str:
    try:
        _post(reach, action.container, "kill", {"signal": action.signal})
    except DaemonError as error:
        if error.status not in (404, 409):  # it has ended
            raise
    return ""


def pause_container(reach: Reach, project: Project, action: kinds.PauseContainer, tell: Tell) -> str:
    return _turned(reach, action.container, "pause", "paused")


def unpause_container(reach: Reach, project: Project, action: kinds.UnpauseContainer, tell: Tell) -> str:
    return _turned(reach, action.container, "unpause", "running")


def _turned(reach: Reach, container: str, verb: str, wanted: str) -> str:
    try:
        _post(reach, container, verb, {})
    except DaemonError:
        state = reach.daemon.get(f"/containers/{escape(container)}/json")["State"]
        if state.get("Status") != wanted:
            raise
    return ""


def remove_container(reach: Reach, project: Project, action: kinds.RemoveContainer, tell: Tell) -> str:
    path = f"/containers/{escape(action.container)}"
    deadline = time.monotonic() + GONE_SECONDS
    while True:
        try:
            return _removed(lambda: reach.daemon.delete(path, {"v": action.volumes, "force": action.force}))
        except DaemonError as error:
            if error.status != 409 or "already in progress" not in str(error):
                raise
        if time.monotonic() > deadline:
            raise Timeout(f"cannot remove container {action.name}: it is still being removed")
        time.sleep(0.1)


def connect_network(reach: Reach, project: Project, action: kinds.ConnectNetwork, tell: Tell) -> str:
    """`network` is its key in the file, or its name."""
    service = service_of(project, action)
    settings = service.networks.get(action.network) or ServiceNetwork()
    name = network_name(project, service, action.network) if action.network in project.networks else action.network
    config = endpoint(service, settings, action.name, service_containers(reach, project, service))
    try:
        body = {"Container": action.container, "EndpointConfig": config}
        reach.daemon.post(f"/networks/{escape(name)}/connect", body=body)
    except DaemonError:
        if name not in _networks(reach, action.container):
            raise
    return ""


def disconnect_network(reach: Reach, project: Project, action: kinds.DisconnectNetwork, tell: Tell) -> str:
    name = project.networks[action.network].name if action.network in project.networks else action.network
    try:
        reach.daemon.post(f"/networks/{escape(name)}/disconnect", body={"Container": action.container, "Force": True})
    except DaemonError:
        if name in _networks(reach, action.container):
            raise
    return ""


def _networks(reach: Reach, container: str) -> set[str]:
    found = reach.daemon.get(f"/containers/{escape(container)}/json")
    return set((found.get("NetworkSettings") or {}).get("Networks") or {})
