"""`boxship store …` against a control plane that runs and against stores that nobody has; a move from SQLite to etcd,
on which two control planes then stand."""

import json
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from control_kit import Control, running_control
from etcd_kit import Etcd, running_etcd

from daemons import surroundings


@pytest.fixture(scope="module")
def control(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Control]:
    with running_control(tmp_path_factory.mktemp("store")) as running:
        running.kubectl("create", "configmap", "kept", "--from-literal=a=b")
        running.kubectl("create", "secret", "generic", "sealed", "--from-literal=password=swordfish")
        yield running


@pytest.fixture(scope="module")
def etcd(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Etcd]:
    with running_etcd(tmp_path_factory.mktemp("etcd"), "--unsafe-no-fsync") as running:
        yield running


def boxship(control: Control, *arguments: str, check: bool = True) -> "subprocess.CompletedProcess[str]":
    done = subprocess.run(
        [str(Path(sys.executable).parent / "boxship"), "store", *arguments],
        capture_output=True,
        text=True,
        timeout=60,
        env={**surroundings(), "KUBECONFIG": str(control.kubeconfig), "HOME": str(control.home)},
        check=False,
    )
    assert not check or done.returncode == 0, done.stderr + done.stdout
    return done


def test_status_and_compaction_of_a_store_in_use(control: Control) -> None:
    shown = boxship(control, "status").stdout
    assert f"sqlite:{control.data}/state.db" in shown and "On the disk:" in shown
    before = json.loads(boxship(control, "status", "--format", "json").stdout)
    control.kubectl("label", "configmap", "kept", "x=1")
    after = json.loads(boxship(control, "compact", "--before", str(before["revision"]), "--format", "json").stdout)
    assert after["oldest"] == before["revision"] - 1 > before["oldest"]
    boxship(control, "compact", "--keep", "1h", "--shrink")
    gone = control.request("GET", "/api/v1/configmaps?watch=1&resourceVersion=1&timeoutSeconds=1")
    assert b'"code":410' in gone.body
    for words in ([], ["--before", "x"], ["--keep", "soon"], ["--keep", "1h", "--before", "3"]):
        refused = boxship(control, "compact", *words, check=False)
        assert refused.returncode == 1 and refused.stderr


def test_only_an_administrator_may(control: Control) -> None:
    for method, path in (("GET", "status"), ("POST", "backup"), ("POST", "compact?before=1")):
        assert control.request(method, f"/boxship/store/{path}", client=None).status == 401
        assert control.request(method, f"/boxship/store/{path}", client="controller-manager").status == 403
    assert control.request("GET", "/boxship/store/backup").status == 405
    assert control.request("GET", "/boxship/store/nothing").status == 404


def test_from_sqlite_to_etcd_where_two_stand_side_by_side(control: Control, etcd: Etcd, tmp_path: Path) -> None:
    backup = tmp_path / "backup.gz"
    said = boxship(control, "backup", str(backup)).stdout
    assert "objects of revision" in said and backup.stat().st_mode & 0o777 == 0o600
    assert list(tmp_path.iterdir()) == [backup]
    restored = boxship(control, "restore", str(backup), "--store", f"etcd:{etcd.url}").stdout
    assert restored.split()[0] == said.split()[0]
    again = boxship(control, "restore", str(backup), "--store", f"etcd:{etcd.url}", check=False)
    assert again.returncode == 1 and "not empty" in again.stderr

    first, second = Control(tmp_path / "1", "--store", f"etcd:{etcd.url}"), None
    shutil.copytree(control.data, first.data, ignore=shutil.ignore_patterns("state.db*", "lock"))
    try:
        second = Control(tmp_path / "2", "--store", f"etcd:{etcd.url}")
        shutil.copytree(first.data, second.data)
        first.start()
        second.start()
        assert first.kubectl("get", "configmap", "kept", "-o", "jsonpath={.data.a}").stdout == "b"
        word = second.kubectl("get", "secret", "sealed", "-o", "jsonpath={.data.password}").stdout
        assert word == "c3dvcmRmaXNo"
        assert "swordfish" not in etcd.control("get", "--prefix", "/registry/secrets/default/sealed")
        for index in range(10):
            one, other = (first, second) if index % 2 else (second, first)
            path = f"/api/v1/namespaces/default/configmaps/side-{index}"
            body = {"metadata": {"name": f"side-{index}"}, "data": {"n": str(index)}}
            made = one.request("POST", path.rpartition("/")[0], body)
            assert made.status == 201
            assert other.request("GET", path).object == made.object
        status = json.loads(boxship(first, "status", "--format", "json").stdout)
        assert status["kind"] == "etcd" and status["members"][0]["leader"] is True
        assert etcd.url in boxship(second, "status").stdout
        offline = json.loads(boxship(control, "status", "--store", f"etcd:{etcd.url}", "--format", "json").stdout)
        assert offline["entries"] == status["entries"]
    finally:
        first.stop()
        if second is not None:
            second.stop()


def test_a_store_that_nobody_has(control: Control, tmp_path: Path) -> None:
    backup = tmp_path / "backup.gz"
    boxship(control, "backup", str(backup))
    place = f"sqlite:{tmp_path / 'new' / 'state.db'}"
    boxship(control, "restore", str(backup), "--store", place)
    status = json.loads(boxship(control, "status", "--store", place, "--format", "json").stdout)
    assert status["entries"] > 10
    boxship(control, "compact", "--store", place, "--keep", "0s", "--shrink")
    second = tmp_path / "second.gz"
    boxship(control, "backup", str(second), "--store", place)
    taken = boxship(control, "status", "--store", f"sqlite:{control.data}/state.db", check=False)
    assert taken.returncode == 1 and "another process has it open" in taken.stderr
    for words, why in (
        (["status", "--store", f"sqlite:{tmp_path}/nothing"], "there is none"),
        (["status", "--store", "redis:x"], "write sqlite:PATH"),
        (["status", "--store-ca", "x"], "goes with --store"),
        (["restore", str(backup)], "say where"),
        (["restore", str(tmp_path / "nothing"), "--store", place], "No such file"),
        (["restore", str(backup), "--store", place], "move it away"),
        (["backup", str(tmp_path / "no" / "x"), "--store", place], "cannot write"),
    ):
        refused = boxship(control, *words, check=False)
        assert refused.returncode == 1 and why in refused.stderr, refused.stderr
