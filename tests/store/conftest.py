"""All stores, so that one suite holds for each."""

from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest
from etcd_kit import Etcd, running_etcd

from boxship.store import Store
from boxship.store.etcd.store import EtcdStore
from boxship.store.memory import MemoryStore
from boxship.store.sqlite import SqliteStore


@pytest.fixture(scope="session")
def session_etcd(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Etcd]:
    """One etcd for all tests that leave it as it is; each begins with no keys."""
    with running_etcd(tmp_path_factory.mktemp("etcd"), "--unsafe-no-fsync") as etcd:
        yield etcd


@pytest.fixture
async def store(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[Store]:
    made: Store
    if request.param == "memory":
        made = MemoryStore()
    elif request.param == "sqlite":
        made = await SqliteStore.open(tmp_path / "state.db")
    else:
        etcd = request.getfixturevalue("session_etcd")
        etcd.empty()
        made = await EtcdStore.open(etcd.url)
    yield made
    await made.close()


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    if "store" in metafunc.fixturenames:
        metafunc.parametrize("store", ["memory", "sqlite", "etcd"], indirect=True)
