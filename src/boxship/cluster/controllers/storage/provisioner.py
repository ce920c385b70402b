"""Makes volumes in local folders for claims of classes with the provisioner "boxship.io/local". It writes the volume
alone; folders are the node's. A volume's name comes from its claim, so that it is made once, whatever happens.

A volume whose node is gone for good has nobody left to remove its folder: then its finalizer is taken off here.
"""

from collections import Counter
from collections.abc import Sequence

from boxship.cluster.access import Client
from boxship.cluster.controllers.storage import matching, provisioning
from boxship.cluster.controllers.storage.binder import Place
from boxship.cluster.controllers.storage.binding import CLAIM, STORAGE_PROVISIONER, VOLUME
from boxship.cluster.controllers.storage.provisioning import FINALIZER, NODE_LABEL, PROVISIONER
from boxship.cluster.objects import Object
from boxship.cluster.objects.failure import Failure
from boxship.cluster.reconcile.cache import Cache, Key
from boxship.cluster.reconcile.queue import Queue
from boxship.cluster.reconcile.recording import Events


class Provisioner:
    name = "local-volume-provisioner"
    workers = 2

    def __init__(
        self, client: Client, claims: Cache, volumes: Cache, classes: Cache, nodes: Cache, events: Events
    ) -> None:
        self.caches: Sequence[Cache] = (claims, volumes, classes, nodes)
        self.queue: Queue[Place] = Queue()
        self._client = client
        self._claims, self._volumes, self._classes, self._nodes = claims, volumes, classes, nodes
        self._events = events
        self._told: dict[str, str] = {}
        claims.subscribe(self._claim_changed)
        volumes.subscribe(self._volume_changed)
        nodes.subscribe(self._node_changed)

    async def reconcile(self, place: Place) -> None:
        resource, key = place
        if resource == CLAIM:
            await self._provide(key)
        else:
            await self._let_go(key)

    async def _provide(self, key: Key) -> None:
        claim = self._claims.get(key)
        if claim is None or not _is_ours(claim):
            return
        class_ = self._classes.get(("", matching.class_of(claim)))
        if class_ is None or class_.get("provisioner") != PROVISIONER:
            return
        why = provisioning.refusal(claim, class_)
        if why:
            self._fail(claim, why)
            return
        selected = matching.annotations_of(claim).get(matching.SELECTED_NODE, "")
        if not selected and matching.waits(claim, {class_["metadata"]["name"]: class_}):
            return
        name = selected or self._choice(class_)
        node = self._nodes.get(("", name))
        if node is None or not provisioning.folder_of(node):
            await self._elsewhere(claim, name)
            return
        volume = provisioning.volume_for(claim, class_, node)
        shown = f"{key[0]}/{key[1]}"
        message = f'External provisioner is provisioning volume for claim "{shown}"'
        self._events.tell(claim, "Normal", "Provisioning", message)
        try:
            await self._client.create(VOLUME, "", volume)
        except Failure as failure:
            if failure.reason != "AlreadyExists":
                raise
            return
        self._told.pop(claim["metadata"]["uid"], None)
        made = f"Successfully provisioned volume {volume['metadata']['name']}"
        self._events.tell(claim, "Normal", "ProvisioningSucceeded", made)

    async def _elsewhere(self, claim: Object, name: str) -> None:
        """The node cannot: the scheduler chooses again."""
        self._fail(claim, f'node "{name}" has no folder for local volumes' if name else "no node can hold the volume")
        annotations = {
            key: text for key, text in matching.annotations_of(claim).items() if key != matching.SELECTED_NODE
        }
        if name and len(annotations) < len(matching.annotations_of(claim)):
            metadata = {**claim["metadata"], "annotations": annotations}
            await self._client.update(CLAIM, {**claim, "metadata": metadata})

    async def _let_go(self, key: Key) -> None:
        """A volume that is to go and whose node is gone."""
        volume = self._volumes.get(key)
        if volume is None or not volume["metadata"].get("deletionTimestamp"):
            return
        metadata = volume["metadata"]
        node = (metadata.get("labels") or {}).get(NODE_LABEL)
        finalizers = metadata.get("finalizers") or []
        if not node or FINALIZER not in finalizers or self._nodes.get(("", node)) is not None:
            return
        kept = [one for one in finalizers if one != FINALIZER]
        await self._client.update(VOLUME, {**volume, "metadata": {**metadata, "finalizers": kept}})

    def _choice(self, class_: Object) -> str:
        nodes = {name: node for (_, name), node in self._nodes.items()}
        counts = Counter(
            (volume["metadata"].get("labels") or {}).get(NODE_LABEL) for _, volume in self._volumes.items()
        )
        return provisioning.free_choice(nodes, class_, {str(name): count for name, count in counts.items()})

    def _fail(self, claim: Object, why: str) -> None:
        """Once, until there is something else to say."""
        uid = claim["metadata"]["uid"]
        if self._told.get(uid) != why:
            self._told[uid] = why
            message = f'failed to provision volume with StorageClass "{matching.class_of(claim)}": {why}'
            self._events.tell(claim, "Warning", "ProvisioningFailed", message)

    def _claim_changed(self, key: Key, old: Object | None, new: Object | None) -> None:
        if new is not None and _is_ours(new):
            self.queue.add((CLAIM, key))
        elif old is not None:
            self._told.pop(old["metadata"]["uid"], None)

    def _volume_changed(self, key: Key, old: Object | None, new: Object | None) -> None:
        if new is not None and new["metadata"].get("deletionTimestamp"):
            self.queue.add((VOLUME, key))

    def _node_changed(self, key: Key, old: Object | None, new: Object | None) -> None:
        if new is None:
            for name, volume in self._volumes.items():
                self._volume_changed(name, None, volume)
        elif old is None or provisioning.folder_of(old) != provisioning.folder_of(new):
            for name, claim in self._claims.items():
                self._claim_changed(name, None, claim)


def _is_ours(claim: Object) -> bool:
    """A claim for which a volume is to be made here."""
    if claim["spec"].get("volumeName") or claim["metadata"].get("deletionTimestamp"):
        return False
    return matching.annotations_of(claim).get(STORAGE_PROVISIONER) == PROVISIONER


def node_facts(node: Object) -> Object:
    """What is kept of a node."""
    metadata = node["metadata"]
    told = matching.annotations_of(node).get(provisioning.FOLDER)
    kept = {"name": metadata["name"], "labels": metadata.get("labels") or {}}
    return {"metadata": {**kept, **({"annotations": {provisioning.FOLDER: told}} if told else {})}}
