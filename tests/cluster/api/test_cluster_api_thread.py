"""The thread through the whole API: a ConfigMap is created, read, changed, watched and deleted."""

from collections.abc import AsyncIterator

import pytest
from cluster_api_kit import Asker, config_map, running

from boxship.cluster.objects.failure import Failure


@pytest.fixture
async def asker() -> AsyncIterator[Asker]:
    async with running() as asker:
        yield asker


async def test_a_config_map_lives_and_dies(asker: Asker) -> None:
    made = await asker.create("v1/configmaps", "default", config_map("a", {"k": "1"}))
    assert made["metadata"]["uid"] and made["metadata"]["resourceVersion"] == "1"
    assert made["metadata"]["creationTimestamp"] == "2026-11-22T12:00:00Z"
    assert await asker.get("v1/configmaps", "default", "a") == made
    watch = await asker.watch("v1/configmaps", "default")
    assert await watch.take(1) == [("ADDED", "a")]
    made["data"]["k"] = "2"
    changed = await asker.update("v1/configmaps", "default", made)
    assert changed["metadata"]["resourceVersion"] == "2"
    listed = await asker.list("v1/configmaps", "default")
    assert listed["metadata"]["resourceVersion"] == "2" and listed["kind"] == "ConfigMapList"
    assert [item["data"] for item in listed["items"]] == [{"k": "2"}]
    gone = await asker.delete("v1/configmaps", "default", "a")
    assert gone["status"] == "Success" and gone["details"]["name"] == "a"
    assert await watch.take(2) == [("MODIFIED", "a"), ("DELETED", "a")]
    with pytest.raises(Failure, match='configmaps "a" not found'):
        await asker.get("v1/configmaps", "default", "a")
    await watch.close()


async def test_the_same_name_again_is_refused(asker: Asker) -> None:
    await asker.create("v1/configmaps", "default", config_map("a"))
    with pytest.raises(Failure, match='configmaps "a" already exists'):
        await asker.create("v1/configmaps", "default", config_map("a"))
