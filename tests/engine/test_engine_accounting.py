"""Disk usage by name: what a path is, and that nothing is left out."""

from boxship.content import layer_key
from boxship.engine.accounting import DEPTHS, NAMES, UsagePart, name_of, summed

HEX = "1" * 64
OWNERS = {f"sha256:{HEX}": "images + registry", layer_key(f"sha256:{HEX}"): "build cache"}


def test_each_place_has_a_name() -> None:
    expected = {
        "": "folders",
        "content": "folders",
        "content/blobs/sha256": "folders",
        f"content/blobs/sha256/{HEX}": "blobs: images + registry",
        f"content/blobs/sha512/{HEX}": "blobs: unclaimed",
        "content/partials/registry-1234": "partial uploads",
        "content/partials/pull-1234": "partial downloads",
        f"snapshots/layers/{HEX}": "layers: build cache",
        f"snapshots/layers/{'2' * 64}": "layers: unclaimed",
        f"snapshots/active/{HEX}": "containers: writable layers",
        f"containers/{HEX}": "containers: files",
        f"containers/{HEX}/container.log.1": "containers: logs",
        f"containers/{HEX}/hosts": "containers: files",
        "volumes/data": "volumes",
        "volumes/.trash": "trash",
        "state.db-wal": "state store",
        "strange": "other: strange",
        "builder/new": "other: builder/new",
        **NAMES,
    }
    assert {path: name_of(path, OWNERS)[0] for path in expected} == expected
    assert all(name_of(path, {})[0] == "folders" for path in DEPTHS if path not in NAMES and path != "content/partials")


def test_the_sum_is_kept() -> None:
    accounts = {"": 1, f"content/blobs/sha256/{HEX}": 10, "volumes/a": 100, "volumes/b": 1000, "odd": 10_000}
    parts = summed(accounts, OWNERS)
    assert parts == (
        UsagePart("other: odd", 10_000, 1, "odd"),
        UsagePart("volumes", 1100, 2, "volumes"),
        UsagePart("blobs: images + registry", 10, 1, "content/blobs"),
        UsagePart("folders", 1, 1, ""),
    )
    assert sum(part.size for part in parts) == sum(accounts.values())
