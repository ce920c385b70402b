"""One cluster of two nodes for all cases of the suite, and a namespace for each."""

import itertools
from collections.abc import Iterator

import pytest
from conformance_kit import Space
from nodes_kit import Cluster, running_cluster

_numbers = itertools.count(1)


@pytest.fixture(scope="session")
def suite(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    """Two nodes with busybox. A case may add what it finds no other way to ask for, and takes it away again."""
    with running_cluster(tmp_path_factory.mktemp("conf"), nodes=2) as running:
        yield running


@pytest.fixture
def space(suite: Cluster, request: pytest.FixtureRequest) -> Iterator[Space]:
    """A new namespace, whose default ServiceAccount is there; it goes when the case has ended."""
    made = Space(suite, f"case-{next(_numbers)}")
    suite.kubectl("create", "namespace", made.name)
    made.until(lambda: not made.is_gone("serviceaccounts/default"), "the default ServiceAccount is there", 20)
    yield made
    suite.kubectl("delete", "namespace", made.name, "--wait=false")
