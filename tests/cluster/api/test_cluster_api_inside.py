"""Lists in the API's own process: long ones take turns, short ones stand behind none of them."""

import asyncio
import contextlib
from collections.abc import AsyncIterator

import pytest
from cluster_api_kit import ADMIN, Asker, config_map, running

from boxship.cluster.api.inside import PAGE, SHORT_PAGES, Inside, Shared
from boxship.store.memory import MemoryStore

MAPS = "v1/configmaps"
SHORT = PAGE * SHORT_PAGES


@pytest.fixture
async def asker() -> AsyncIterator[Asker]:
    async with running(MemoryStore()) as asker:
        yield asker


async def test_a_short_list_does_not_wait_for_a_long_one(asker: Asker) -> None:
    for number in range(SHORT + 1):
        await asker.create(MAPS, "one" if number < SHORT else "two", config_map(f"c{number:03}"))
    shared = Shared()
    first, second = (Inside(asker.api, asker.api.catalog, ADMIN, name, shared) for name in ("first", "second"))
    async with contextlib.aclosing(first.pages(MAPS)) as pages:
        for _ in range(SHORT_PAGES + 1):
            await anext(pages)
        assert shared.turn.locked()
        assert len((await asyncio.wait_for(second.list(MAPS, "one"), 20)).items) == SHORT
        long = asyncio.create_task(second.list(MAPS))
        done, _ = await asyncio.wait([long], timeout=0.05)
        assert not done
    assert len({item["metadata"]["name"] for item in (await asyncio.wait_for(long, 20)).items}) == SHORT + 1
    assert not shared.turn.locked()
