"""All controllers of storage with their caches: one list."""

from collections.abc import Callable

from boxship.cluster.access import Client
from boxship.cluster.controllers.storage.binder import CLASSES, Binder
from boxship.cluster.controllers.storage.binding import CLAIM, VOLUME
from boxship.cluster.controllers.storage.expanding import Expander
from boxship.cluster.controllers.storage.generic import GenericVolumes
from boxship.cluster.controllers.storage.provisioner import Provisioner, node_facts
from boxship.cluster.reconcile.cache import Cache
from boxship.cluster.reconcile.recording import Events, Recorder
from boxship.cluster.reconcile.runner import Controller


def make_storage(client_of: Callable[[str], Client], own: Client, pods: Cache, recorder: Recorder) -> list[Controller]:
    """`own` fills the caches but `pods`, which has the workloads' facts; each controller writes as its own account."""

    def voice(name: str) -> tuple[Client, Events]:
        client = client_of(name)
        return client, recorder.events_of(client, name)

    claims, volumes, classes = Cache(own, CLAIM), Cache(own, VOLUME), Cache(own, CLASSES)
    client, events = voice(Binder.name)
    controllers: list[Controller] = [Binder(client, claims, volumes, classes, events)]
    client, events = voice(Provisioner.name)
    nodes = Cache(own, "v1/nodes", keep=node_facts)
    controllers.append(Provisioner(client, claims, volumes, classes, nodes, events))
    client, events = voice(Expander.name)
    controllers.append(Expander(client, claims, volumes, classes, events))
    client, events = voice(GenericVolumes.name)
    controllers.append(GenericVolumes(client, pods, claims, events))
    return controllers
