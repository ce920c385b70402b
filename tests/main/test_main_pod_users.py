"""The option of the ids behind pods' users."""

from pathlib import Path

import pytest

from boxship.engine.pods_users import Pool
from boxship.errors import Invalid
from boxship.main.pod_users import pool_of


def files(folder: Path, text: str) -> tuple[Path, Path]:
    for name in ("subuid", "subgid"):
        (folder / name).write_text(text)
    return folder / "subuid", folder / "subgid"


def test_what_it_may_say(tmp_path: Path) -> None:
    places = files(tmp_path, "kubelet:131072:131072\nmine:655360:65536\n")
    assert pool_of("", places) == Pool(131072, 2)
    assert pool_of("mine", places) == Pool(655360, 1)
    assert pool_of("65536:65536", places) == Pool(65536, 1)
    with pytest.raises(Invalid, match="cannot use pod-users other: it has no ids in"):
        pool_of("other", places)
    assert pool_of("", (tmp_path / "none", tmp_path / "none")) == Pool()


def test_ids_that_useradd_gave_a_kubelet_do_not_keep_the_daemon_from_starting(tmp_path: Path) -> None:
    places = files(tmp_path, "kubelet:100000:65536\n")
    assert pool_of("", places) == Pool()
    with pytest.raises(Invalid, match="multiples of 65536"):
        pool_of("kubelet", places)
