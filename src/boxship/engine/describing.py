"""Events about containers, with the attributes that clients filter by."""

from boxship.engine.model import Container, Event

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
