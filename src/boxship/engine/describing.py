"""Events about containers, and what they join, with the attributes that clients filter by."""

from boxship.engine.model import Container, Event, MountPoint

ATTRIBUTE_LIMIT = 256  # labels carried in one event


def container_event(container: Container, action: str, time: int, **attributes: str) -> Event:
    """An event about a container: all its labels, its image and its name, and what the action adds."""
    labels = dict(list(container.labels.items())[:ATTRIBUTE_LIMIT])
    return Event(
        kind="container",
        action=action,
        actor=container.id,
        attributes={**labels, **attributes, "image": container.spec.image, "name": container.name},
        time=time,
    )


def network_event(action: str, network_id: str, name: str, driver: str, time: int, container_id: str = "") -> Event:
    """An event about a network, with the container that was joined or parted, if any."""
    attributes = {"name": name, "type": driver}
    if container_id:
        attributes["container"] = container_id
    return Event(kind="network", action=action, actor=network_id, attributes=attributes, time=time)


def mount_event(container: Container, point: MountPoint, time: int) -> Event:
    """A volume is mounted for a container that starts."""
    attributes = {
        "container": container.id,
        "destination": point.target,
        "driver": point.driver,
        "propagation": point.propagation,
        "read/write": str(point.read_write).lower(),
    }
    return Event(kind="volume", action="mount", actor=point.name, attributes=attributes, time=time)


def unmount_event(container: Container, point: MountPoint, time: int) -> Event:
    """A volume is given back by a container that ended."""
    attributes = {"container": container.id, "driver": point.driver}
    return Event(kind="volume", action="unmount", actor=point.name, attributes=attributes, time=time)


def prune_event(kind: str, reclaimed: int, time: int) -> Event:
    """What nobody used is gone; `reclaimed` in bytes."""
    return Event(kind=kind, action="prune", actor="", attributes={"reclaimed": str(reclaimed)}, time=time)
