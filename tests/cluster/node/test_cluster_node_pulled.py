"""Who may use an image that is here: what came with one pod's secret, and what was here without."""

import asyncio
from collections.abc import Mapping
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st
from test_cluster_node_images import Secrets, Told, secret, wanted

from boxship.cluster.node.images import Images
from boxship.cluster.node.planning import NotPossible
from boxship.cluster.node.pulled import (
    ALWAYS,
    LISTED,
    NEVER,
    PRELOADED,
    Access,
    Pull,
    PullRecords,
    Secret,
    Verification,
    admitted,
    is_pulled,
    merged,
)
from boxship.cluster.node.runtime import ImageStatus, PulledImage
from boxship.cluster.node.simulated.runtime import SimulatedRuntime
from boxship.cluster.objects import Object
from boxship.errors import Exhausted

SHOP = "shop.example/team/web:1"
REPOSITORY = "shop.example/team/web"
DIGEST = REPOSITORY + "@sha256:" + "1" * 64
IMAGE = ImageStatus("sha256:1", (SHOP,), (DIGEST,))


class Kept:
    """A shelf that outlives its process, and may be full."""

    def __init__(self) -> None:
        self.keys: dict[str, bytes] = {}
        self.full = False

    async def read(self) -> Mapping[str, bytes]:
        return dict(self.keys)

    async def write(self, changes: Mapping[str, bytes | None]) -> None:
        if self.full:
            raise Exhausted("the disk is full")
        for key, value in changes.items():
            if value is None:
                self.keys.pop(key, None)
            else:
                self.keys[key] = value


class World:
    """A node, its registry with one private image, and secrets of two namespaces."""

    def __init__(self, verification: Verification | None = None) -> None:
        self.shelf = Kept()
        self.runtime = SimulatedRuntime(lambda: 0.0)
        self.runtime.private[SHOP] = "me"
        good, bad = secret("shop.example"), secret("shop.example", "you")
        good["metadata"]["uid"], bad["metadata"]["uid"] = "u1", "u2"
        self.secrets = Secrets(good=good, bad=bad)
        self.verification = verification or Verification()
        self.start()

    def start(self) -> None:
        self.records = PullRecords(self.shelf)
        self.images = Images(self.secrets, self.runtime, self.records, self.verification)  # type: ignore[arg-type]

    async def ask(self, policy: str, *secrets: str, namespace: str = "default", image: str = SHOP) -> list[str]:
        """The reasons of the events, or of the failure last."""
        told = Told()
        pod: Object = {
            "metadata": {"namespace": namespace},
            "spec": {"imagePullSecrets": [{"name": name} for name in secrets]},
        }
        try:
            await self.images.ensure(pod, wanted(policy, image), told)
        except NotPossible as error:
            return [*(reason for _, reason, _ in told), error.reason]
        return [reason for _, reason, _ in told]


async def test_what_came_with_a_secret_is_not_open_to_others() -> None:
    world = World()
    assert await world.ask("IfNotPresent", "good") == ["Pulling", "Pulled"]
    assert await world.ask("IfNotPresent", "good") == ["Pulled"]
    assert await world.ask("Never", "good") == ["Pulled"]
    assert await world.ask("Never") == ["ErrImageNeverPull", "ErrImageNeverPull"]
    assert await world.ask("IfNotPresent") == ["Pulling", "Failed", "ErrImagePull"]
    assert await world.ask("IfNotPresent", "bad") == ["Pulling", "Failed", "ErrImagePull"]
    assert len(world.runtime.pulls) == 3


async def test_the_same_credentials_in_another_secret_are_as_good() -> None:
    world = World()
    await world.ask("IfNotPresent", "good")
    other = secret("shop.example")
    other["metadata"]["uid"] = "u3"
    world.secrets.found["other"] = other
    assert await world.ask("Never", "other", namespace="elsewhere") == ["Pulled"]
    other["data"] = secret("shop.example", "changed")["data"]
    assert await world.ask("Never", "other", namespace="elsewhere") == ["Pulled"], "it was shown, and changed since"
    assert await world.ask("Never", "other", namespace="third") == ["ErrImageNeverPull", "ErrImageNeverPull"]


async def test_a_kill_forgets_nothing() -> None:
    world = World()
    await world.ask("IfNotPresent", "good")
    world.start()
    assert await world.ask("Never", "good") == ["Pulled"]
    assert await world.ask("Never") == ["ErrImageNeverPull", "ErrImageNeverPull"]
    assert not [key for key in world.shelf.keys if key.startswith("intent/")]


async def test_a_kill_within_a_pull_leaves_what_nobody_may_use_unshown() -> None:
    world = World()
    await world.records.recover(world.runtime.images)
    await world.records.begin(SHOP)
    world.runtime.here[SHOP] = IMAGE  # it came, and then the power went
    assert await world.ask("Never") == ["ErrImageNeverPull", "ErrImageNeverPull"]
    world.start()
    assert await world.ask("Never") == ["ErrImageNeverPull", "ErrImageNeverPull"]
    assert await world.ask("IfNotPresent", "good") == ["Pulling", "Pulled"]
    assert not [key for key in world.shelf.keys if key.startswith("intent/")]


@pytest.mark.parametrize("surprise", [OSError("the runtime is gone"), asyncio.CancelledError()])
async def test_what_a_surprise_leaves_of_a_pull_is_settled(surprise: BaseException, monkeypatch: Any) -> None:
    world = World()

    async def surprised(reference: str, credentials: object) -> PulledImage:
        world.runtime.here[SHOP] = IMAGE
        raise surprise

    with monkeypatch.context() as patch, pytest.raises(type(surprise)):
        patch.setattr(world.runtime, "pull", surprised)
        await world.ask("IfNotPresent", "good")
    assert [key for key in world.shelf.keys if key.startswith("intent/")]
    assert await world.ask("Never", "good") == ["ErrImageNeverPull", "ErrImageNeverPull"]
    assert not [key for key in world.shelf.keys if key.startswith("intent/")]
    assert await world.ask("Never", "good") == ["ErrImageNeverPull", "ErrImageNeverPull"], "a record says so now"
    assert await world.ask("IfNotPresent", "good") == ["Pulling", "Pulled"]


async def test_a_failure_after_a_surprise_opens_nothing() -> None:
    world = World()
    await world.records.begin(SHOP)
    world.records.abandoned(SHOP)
    world.runtime.here[SHOP] = IMAGE
    await world.records.begin(SHOP)
    await world.records.failed(SHOP)
    assert await world.ask("Never") == ["ErrImageNeverPull", "ErrImageNeverPull"]


@pytest.mark.parametrize("kind", ["image/", "intent/"])
async def test_a_record_that_cannot_be_read_admits_nobody_and_ends_no_start(kind: str) -> None:
    world = World()
    await world.ask("IfNotPresent", "good")
    image = world.runtime.here[SHOP].id
    world.runtime.here["other:1"] = ImageStatus("sha256:2", ("docker.io/library/other:1",))
    world.shelf.keys.clear()
    world.shelf.keys[kind + (image if kind == "image/" else SHOP)] = b'{"image": 5}'
    world.start()
    assert await world.ask("Never", "good") == ["ErrImageNeverPull", "ErrImageNeverPull"]
    assert await world.ask("Never", image="other:1") != []
    assert await world.ask("IfNotPresent", "good") == ["Pulling", "Pulled"]
    assert await world.ask("Never", "good") == ["Pulled"]


async def test_a_full_disk_begins_no_pull() -> None:
    world = World()
    world.shelf.full = True
    assert await world.ask("IfNotPresent", "good") == ["Pulling", "Failed", "ErrImagePull"]
    assert not world.runtime.pulls
    world.shelf.full = False
    assert await world.ask("IfNotPresent", "good") == ["Pulling", "Pulled"]


async def test_what_everyone_may_have_is_everyones() -> None:
    world = World()
    assert await world.ask("IfNotPresent", image="one:1") == ["Pulling", "Pulled"]
    assert await world.ask("Never", image="one:1") == ["Pulled"]


@pytest.mark.parametrize(
    ("verification", "preloaded", "pulled"),
    [
        (Verification(NEVER), True, True),
        (Verification(PRELOADED), True, False),
        (Verification(LISTED), False, False),
        (Verification(LISTED, (REPOSITORY,)), True, False),
        (Verification(LISTED, ("shop.example/team/*",)), True, False),
        (Verification(LISTED, ("shop.example/te/*",)), False, False),
        (Verification(ALWAYS), False, False),
    ],
)
async def test_policies_of_verification(verification: Verification, preloaded: bool, pulled: bool) -> None:
    world = World(verification)
    world.runtime.here[SHOP] = IMAGE
    assert (await world.ask("Never") == ["Pulled"]) == preloaded
    world = World(verification)
    await world.ask("IfNotPresent", "good")
    assert (await world.ask("Never") == ["Pulled"]) == pulled


async def test_a_record_goes_with_its_image() -> None:
    world = World()
    await world.ask("IfNotPresent", "good")
    identifier = world.runtime.here[SHOP].id
    await world.records.prune([], 0.0)
    assert world.records.of(identifier) is not None, "written since the images were listed"
    await world.records.prune([world.runtime.here[SHOP]], 1e12)
    assert world.records.of(identifier) is not None
    await world.records.prune([], 1e12)
    assert world.records.of(identifier) is None and not world.shelf.keys


def test_other_names_of_an_image_open_nothing() -> None:
    record = Pull("sha256:1", {REPOSITORY: Access(secrets=(Secret("a", "b", "c", "d"),))})
    tagged = msgspec.structs.replace(IMAGE, tags=(SHOP, "mine:1"))
    assert is_pulled(tagged, DIGEST, record, ())
    assert is_pulled(tagged, "docker.io/library/other:1", record, ()), "a name that it does not have"
    assert not is_pulled(tagged, "docker.io/library/mine:1", record, ()), "given by hand on this machine"
    bare = ImageStatus("sha256:1", (SHOP,), local=True)
    assert is_pulled(bare, SHOP, record, ()), "its digests were taken away"
    assert is_pulled(IMAGE, SHOP, None, (REPOSITORY + ":other",)), "a pull of its repository is under way"
    assert not is_pulled(IMAGE, SHOP, None, ("shop.example/team/other:1",))


SOME = st.builds(Secret, *(st.sampled_from("ab") for _ in range(3)), st.sampled_from(("", "x", "y", "z")))
ACCESS = st.builds(Access, st.booleans(), st.lists(SOME, max_size=6).map(tuple))


@given(ACCESS, ACCESS)
def test_what_was_shown_stays_shown(known: Access, more: Access) -> None:
    found = merged(known, more)
    if found.everyone:
        assert known.everyone or more.everyone
        return
    places = {(one.namespace, one.name, one.uid) for one in found.secrets}
    assert places == {(one.namespace, one.name, one.uid) for one in (*known.secrets, *more.secrets)}
    assert len(places) == len(found.secrets)
    assert {one.hash for one in found.secrets} <= {one.hash for one in (*known.secrets, *more.secrets)}
    for one in more.secrets:
        assert admitted(found, (one,)) == one


@given(ACCESS, st.lists(SOME, max_size=4))
def test_nobody_is_admitted_who_has_shown_nothing(access: Access, shown: list[Secret]) -> None:
    found = admitted(access, shown)
    if found is not None:
        assert found in shown
        assert any(
            (found.hash and found.hash == one.hash)
            or (found.namespace, found.name, found.uid) == (one.namespace, one.name, one.uid)
            for one in access.secrets
        )
