"""Deployment at work: finds or makes the new replica set, sizes all of them, tells how far it is."""

from collections.abc import Sequence

from boxship.cluster.access import Client
from boxship.cluster.controllers.workloads.claiming import claim
from boxship.cluster.controllers.workloads.deployments import progress, scaling, sets
from boxship.cluster.controllers.workloads.deployments.scaling import Size
from boxship.cluster.controllers.workloads.family import Family, Parents, owner_of
from boxship.cluster.controllers.workloads.pods import Pod
from boxship.cluster.controllers.workloads.replicas.deciding import selector_of
from boxship.cluster.controllers.workloads.times import Now
from boxship.cluster.controllers.workloads.writing import Newest, is_namespace_ending, write_status
from boxship.cluster.objects import Object
from boxship.cluster.objects.failure import Failure
from boxship.cluster.objects.kinds.comparing import same
from boxship.cluster.reconcile.cache import Cache, Key
from boxship.cluster.reconcile.queue import Queue
from boxship.cluster.reconcile.recording import Events
from boxship.cluster.reconcile.runner import Again
from boxship.errors import BoxshipError

RESOURCE = "apps/v1/deployments"
SETS = "apps/v1/replicasets"
EVERYTHING = "This deployment is selecting all pods. A non-empty selector is required."


class _Turn:
    """One look at one deployment: what is stored, and what is to be told at its end."""

    def __init__(self, deployment: Object, found: Sequence[Object]) -> None:
        self.stored = deployment
        self.deployment = deployment  # with the conditions that came since
        self.sets = list(found)
        self.new: Object | None = None
        self.old: list[Object] = []
        self.revision = ""

    def all(self) -> list[Object]:
        return [*self.old, *([self.new] if self.new is not None else ())]

    def tell(self, condition: Object) -> None:
        status = self.deployment.get("status") or {}
        conditions = progress.put(status.get("conditions") or (), condition)
        self.deployment = {**self.deployment, "status": {**status, "conditions": conditions}}

    def replace(self, changed: Object) -> None:
        uid = changed["metadata"]["uid"]
        self.sets = [changed if one["metadata"]["uid"] == uid else one for one in self.sets]
        self.old = [changed if one["metadata"]["uid"] == uid else one for one in self.old]
        if self.new is not None and self.new["metadata"]["uid"] == uid:
            self.new = changed


class Deployments:
    name = "deployment-controller"
    workers = 5

    def __init__(
        self, client: Client, deployments: Cache, found: Family, pods: Family, events: Events, now: Now
    ) -> None:
        self._client = client
        self._deployments = deployments
        self._sets = found
        self._pods = pods
        self._events = events
        self._now = now
        self._newest = Newest()
        self._newest_sets = Newest()
        self.caches = (deployments, found.cache, pods.cache)
        self.queue: Queue[Key] = Queue()
        parents = Parents("Deployment", deployments, selector_of, self.queue.add)
        found.cache.subscribe(parents.child_changed)
        pods.cache.subscribe(self._pod_changed)

    async def reconcile(self, key: Key) -> Again | None:
        deployment = self._newest.of(key, self._deployments.get(key))
        if deployment is None:
            return None
        selector = selector_of(deployment)
        if selector.everything:
            self._events.tell(deployment, "Warning", "SelectingAll", EVERYTHING)
            return None
        found = await claim(self._client, RESOURCE, SETS, deployment, selector, self._sets)
        turn = _Turn(deployment, [self._newest_set(one) for one in found])
        if deployment["metadata"].get("deletionTimestamp"):
            await self._find_new(turn, create=False, write=False)
            return await self._write(turn, rollout=False)
        if told := progress.paused_condition(deployment, self._now()):
            turn.tell(told)
        if deployment["spec"].get("paused") or self._was_scaled(turn):
            await self._find_new(turn, create=False)
            await self._resize(turn, scaling.shared(deployment, turn.new, turn.old))
            if deployment["spec"].get("paused"):
                await self._clean(turn)
            return await self._write(turn, rollout=False)
        if sets.is_rolling(deployment):
            going = await self._roll(turn)
        else:
            going = await self._recreate(turn)
        return await self._write(turn, rollout=True) if going else None

    def _newest_set(self, one: Object) -> Object:
        metadata = one["metadata"]
        return self._newest_sets.of((metadata.get("namespace", ""), metadata["name"]), one) or one

    def _was_scaled(self, turn: _Turn) -> bool:
        desired = sets.replicas_of(turn.stored)
        known = (sets.number(one, sets.DESIRED) for one in sets.active(turn.sets))
        return any(one not in (None, desired) for one in known)

    async def _roll(self, turn: _Turn) -> bool:
        if not await self._find_new(turn, create=True):
            return False
        assert turn.new is not None
        if await self._resize(turn, [Size(turn.new, scaling.next_of_new(turn.stored, turn.new, turn.old))]):
            return True
        if await self._resize(turn, scaling.next_of_old(turn.stored, turn.new, turn.old)):
            return True
        if progress.is_complete(turn.stored, turn.stored.get("status") or {}):
            await self._clean(turn)
        return True

    async def _recreate(self, turn: _Turn) -> bool:
        await self._find_new(turn, create=False)
        if await self._resize(turn, [Size(one, 0) for one in sets.active(turn.old)]):
            return True
        if self._old_runs(turn):
            return True
        if turn.new is None and not await self._find_new(turn, create=True):
            return False
        assert turn.new is not None
        await self._resize(turn, [Size(turn.new, sets.replicas_of(turn.stored))])
        if progress.is_complete(turn.stored, turn.stored.get("status") or {}):
            await self._clean(turn)
        return True

    def _old_runs(self, turn: _Turn) -> bool:
        if sets.count(turn.old, "replicas"):
            return True
        pods = (pod for one in turn.old for pod in self._pods.children(one["metadata"]["uid"]))
        return any(not pod.is_done for pod in pods)

    async def _find_new(self, turn: _Turn, *, create: bool, write: bool = True) -> bool:
        """Fill `turn.new` and `turn.old`. False: there is no new one, and it could not be made."""
        turn.new = sets.find_new(turn.stored, turn.sets)
        turn.old = sets.old_sets(turn.new, turn.sets)
        if not write:
            return turn.new is not None
        revision = max(map(sets.revision_of, turn.old), default=0) + 1
        if turn.new is not None:
            await self._keep(turn, turn.new, revision)
            return True
        return create and await self._create(turn, revision)

    async def _keep(self, turn: _Turn, new: Object, revision: int) -> None:
        """The set is there: its annotations follow the deployment's."""
        known = new["metadata"].get("annotations") or {}
        wanted = sets.new_annotations(turn.stored, known, revision)
        least = turn.stored["spec"].get("minReadySeconds") or 0
        if wanted != known or (new["spec"].get("minReadySeconds") or 0) != least:
            changed = {
                **new,
                "metadata": {**new["metadata"], "annotations": wanted},
                "spec": {**new["spec"], "minReadySeconds": least},
            }
            turn.replace(self._newest_sets.wrote(await self._client.update(SETS, changed)))
        turn.revision = wanted.get(sets.REVISION, "")
        status = turn.deployment.get("status") or {}
        if progress.has_deadline(turn.stored) and progress.find(status, progress.PROGRESSING) is None:
            text = f'Found new replica set "{new["metadata"]["name"]}"'
            turn.tell(progress.condition(progress.PROGRESSING, "True", "FoundNewReplicaSet", text, self._now()))

    async def _create(self, turn: _Turn, revision: int) -> bool:
        wanted = sets.make_new(turn.stored, turn.old, revision)
        name, namespace = wanted["metadata"]["name"], wanted["metadata"]["namespace"]
        fresh = True
        try:
            made = await self._client.create(SETS, namespace, wanted)
        except BoxshipError as error:
            if is_namespace_ending(error):
                return False
            if not isinstance(error, Failure) or error.reason != "AlreadyExists":
                await self._tell_failure(turn, name, error)
                raise
            made = await self._client.get(SETS, namespace, name)
            fresh = False
            owner = owner_of(made)
            mine = owner is not None and owner.uid == turn.stored["metadata"]["uid"]
            if not mine or not same(sets.bare(made["spec"]["template"]), sets.bare(turn.stored["spec"]["template"])):
                await self._count_collision(turn)
                return False
        turn.new = self._newest_sets.wrote(made)
        turn.sets.append(made)
        size = sets.replicas_of(made)
        if fresh and size:
            self._events.tell(
                turn.stored, "Normal", "ScalingReplicaSet", f"Scaled up replica set {name} from 0 to {size}"
            )
        if fresh and progress.has_deadline(turn.stored):
            text = f'Created new replica set "{name}"'
            turn.tell(progress.condition(progress.PROGRESSING, "True", "NewReplicaSetCreated", text, self._now()))
        turn.revision = sets.annotation(made, sets.REVISION)
        return True

    async def _count_collision(self, turn: _Turn) -> None:
        """The name is another's: the next one will be another one."""
        status = turn.deployment.get("status") or {}
        more = {**status, "collisionCount": (status.get("collisionCount") or 0) + 1}
        written = await self._client.update(RESOURCE, {**turn.stored, "status": more}, subresource="status")
        self._newest.wrote(written)

    async def _tell_failure(self, turn: _Turn, name: str, error: BoxshipError) -> None:
        text = f'Failed to create new replica set "{name}": {error}'
        self._events.tell(turn.stored, "Warning", "ReplicaSetCreateError", text)
        if progress.has_deadline(turn.stored):
            turn.tell(progress.condition(progress.PROGRESSING, "False", "ReplicaSetCreateError", text, self._now()))
            status = turn.deployment["status"]
            written = await write_status(self._client, RESOURCE, turn.stored, status)
            if written is not None:
                self._newest.wrote(written)

    async def _resize(self, turn: _Turn, sizes: Sequence[Size]) -> bool:
        """Whether any set got another size."""
        changed = False
        annotations = sets.size_annotations(turn.stored)
        for size in sizes:
            one, has = size.set, sets.replicas_of(size.set)
            known = one["metadata"].get("annotations") or {}
            if has == size.replicas and all(known.get(key) == value for key, value in annotations.items()):
                continue
            wanted = {
                **one,
                "metadata": {**one["metadata"], "annotations": {**known, **annotations}},
                "spec": {**one["spec"], "replicas": size.replicas},
            }
            turn.replace(self._newest_sets.wrote(await self._client.update(SETS, wanted)))
            if has != size.replicas:
                changed = True
                way = "up" if size.replicas > has else "down"
                text = f"Scaled {way} replica set {one['metadata']['name']} from {has} to {size.replicas}"
                self._events.tell(turn.stored, "Normal", "ScalingReplicaSet", text)
        return changed

    async def _clean(self, turn: _Turn) -> None:
        for one in sets.cleanable(turn.stored, turn.old):
            metadata = one["metadata"]
            try:
                await self._client.delete(SETS, metadata["namespace"], metadata["name"], uid=metadata["uid"])
            except Failure as failure:
                if failure.reason not in ("NotFound", "Conflict"):
                    raise
            turn.old = [other for other in turn.old if other is not one]

    async def _write(self, turn: _Turn, *, rollout: bool) -> Again | None:
        """The revision and the status, where they differ."""
        stored = turn.stored
        if turn.revision and sets.annotation(stored, sets.REVISION) != turn.revision:
            metadata = stored["metadata"]
            annotations = {**(metadata.get("annotations") or {}), sets.REVISION: turn.revision}
            stored = await self._client.update(
                RESOURCE, {**stored, "metadata": {**metadata, "annotations": annotations}}
            )
            self._newest.wrote(stored)
        decide = progress.rollout_status if rollout else progress.status_of
        status = decide(turn.deployment, turn.all(), turn.new, self._now())
        written = await write_status(self._client, RESOURCE, stored, status)
        if written is not None:
            self._newest.wrote(written)
        if progress.is_complete(stored, status):
            return None
        left = progress.deadline_left(stored, status, self._now())
        return Again(max(left, 0.0) + 1.0) if left is not None else None

    def _pod_changed(self, key: Key, old: Pod | None, new: Pod | None) -> None:
        """A deployment that recreates waits for the last of its old pods."""
        if old is None or (new is not None and (new.is_done == old.is_done)) or old.controller is None:
            return
        found = self._sets.cache.get((key[0], old.controller.name)) if old.controller.kind == "ReplicaSet" else None
        owner = owner_of(found) if found is not None else None
        if owner is None:
            return
        deployment = self._deployments.get((key[0], owner.name))
        if deployment is not None and not sets.is_rolling(deployment):
            self.queue.add((key[0], owner.name))
