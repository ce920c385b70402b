"""What clients see while the store cannot write: a full disk, an etcd that is away; and several servers on one etcd."""

import base64
import json
import os
import subprocess
import threading
from pathlib import Path

import pytest
from control_kit import Control, running_control
from etcd_kit import running_etcd

from daemons import until

PATH = "/api/v1/namespaces/default/configmaps"
DEADLINE = 30.0  # seconds


def put(control: Control, name: str, text: str = "x") -> int:
    """The status of a create."""
    answer = control.request("POST", PATH, {"metadata": {"name": name}, "data": {"text": text}})
    told = answer.object
    assert answer.status < 300 or (told["kind"] == "Status" and told["code"] == answer.status and told["message"]), told
    return answer.status


@pytest.mark.skipif(os.geteuid() != 0, reason="mounts a small filesystem")
def test_a_full_disk_refuses_writes_and_nothing_else(tmp_path: Path) -> None:
    small = tmp_path / "small"
    small.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=24m", "tmpfs", str(small)], check=True)
    try:
        with running_control(small / "plane") as control:
            assert put(control, "before") == 201
            filling = small / "filling"
            with filling.open("wb", buffering=0) as file, pytest.raises(OSError):
                while True:
                    file.write(b"\0" * 65536)
            refused = 0
            for number in range(60):
                status = put(control, f"full-{number}", "y" * 500_000)
                refused += status >= 500
                if refused >= 2:
                    break
            assert refused >= 2
            assert control.request("GET", f"{PATH}/before").status == 200
            there = {item["metadata"]["name"] for item in control.request("GET", PATH).object["items"]}
            filling.unlink()
            until(lambda: put(control, f"after-{os.urandom(4).hex()}") == 201, DEADLINE, "writes go on")
            control.kill()
            control.start()
            assert there <= {item["metadata"]["name"] for item in control.request("GET", PATH).object["items"]}
    finally:
        subprocess.run(["umount", str(small)], check=True)


def test_etcd_is_away_and_comes_back(tmp_path: Path) -> None:
    with (
        running_etcd(tmp_path / "etcd") as etcd,
        running_control(tmp_path / "plane", "--store", f"etcd:{etcd.url}") as control,
    ):
        assert put(control, "before") == 201
        version = control.request("GET", PATH).object["metadata"]["resourceVersion"]
        heard: list[str] = []

        connection = control.connection()
        connection.request("GET", f"{PATH}?watch=1&resourceVersion={version}&timeoutSeconds=20")
        watched = connection.getresponse()
        assert watched.status == 200

        def follow() -> None:
            while "back" not in heard and (line := watched.readline()):
                heard.append(json.loads(line)["object"]["metadata"].get("name", ""))

        watcher = threading.Thread(target=follow)
        watcher.start()
        etcd.kill()
        assert put(control, "away") in (500, 503, 504)
        until(lambda: control.request("GET", "/readyz").status == 500, DEADLINE, "it says that it is not ready")
        assert b"[-]" in control.request("GET", "/readyz?verbose").body
        assert control.request("GET", "/livez/ping").status == 200
        etcd.start()
        until(lambda: control.request("GET", "/readyz").status == 200, DEADLINE, "it is ready again")
        until(lambda: put(control, "back") in (201, 409), DEADLINE, "writes go on")
        assert {"before", "back"} <= {item["metadata"]["name"] for item in control.request("GET", PATH).object["items"]}
        watcher.join(DEADLINE)
        connection.close()
        assert "back" in heard, heard  # the same watch, over all of it


def test_several_servers_on_one_etcd(tmp_path: Path) -> None:
    with running_etcd(tmp_path / "etcd", "--unsafe-no-fsync") as etcd:
        store = ("--store", f"etcd:{etcd.url}")
        with running_control(tmp_path / "one", *store) as one:
            # The second has the authority of the first, as servers of one cluster do.
            (tmp_path / "two" / "control").mkdir(parents=True)
            shared = [str(one.data / name) for name in ("pki", "encryption.key")]
            subprocess.run(["cp", "-a", *shared, str(tmp_path / "two" / "control")], check=True)
            with running_control(tmp_path / "two", *store) as two:
                assert put(one, "by-one") == 201 and put(two, "by-two") == 201
                for control in (one, two):  # what was acknowledged by either is read from both at once
                    names = {item["metadata"]["name"] for item in control.request("GET", PATH).object["items"]}
                    assert {"by-one", "by-two"} <= names
                assert put(two, "by-one") == 409
                made = two.request("GET", f"{PATH}/by-one").object
                made["data"]["text"] = "two"
                assert two.request("PUT", f"{PATH}/by-one", made).status == 200
                assert one.request("PUT", f"{PATH}/by-one", made).status == 409  # it is another version now
                secret = {"metadata": {"name": "s"}, "data": {"a": "Yg=="}}
                assert one.request("POST", "/api/v1/namespaces/default/secrets", secret).status == 201
                assert two.request("GET", "/api/v1/namespaces/default/secrets/s").object["data"] == {"a": "Yg=="}
                stored = json.loads(etcd.control("get", "-w", "json", "/registry/secrets/default/s"))["kvs"][0]["value"]
                assert base64.b64decode(stored).startswith(b"k8s:enc:") and b"Yg==" not in base64.b64decode(stored)
                listed = etcd.control("get", "--prefix", "/registry/configmaps/default/by-", "--keys-only").split()
                assert listed == ["/registry/configmaps/default/by-one", "/registry/configmaps/default/by-two"]
                one.kill()
                assert put(two, "alone") == 201
                one.start()
                assert one.request("GET", f"{PATH}/alone").status == 200
