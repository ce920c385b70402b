"""Two control planes over one etcd: one leads, and when it is killed, or was stopped for too long, the other does."""

import signal
import subprocess
from pathlib import Path

import pytest
from control_kit import Control, running_control
from etcd_kit import running_etcd

from daemons import until

LEASE = "/apis/coordination.k8s.io/v1/namespaces/kube-system/leases/kube-controller-manager"
DEADLINE = 30.0  # seconds: a lease of 15, and then some


def holder(control: Control) -> str:
    answer = control.request("GET", LEASE)
    return str(answer.object["spec"].get("holderIdentity", "")) if answer.status == 200 else ""


def replicate(control: Control, name: str) -> None:
    """A ReplicaSet, which has its pods when controllers work."""
    template = {"metadata": {"labels": {"app": name}}, "spec": {"containers": [{"name": "c", "image": "one"}]}}
    made = {
        "metadata": {"name": name},
        "spec": {"replicas": 2, "selector": {"matchLabels": {"app": name}}, "template": template},
    }
    answer = control.request("POST", "/apis/apps/v1/namespaces/default/replicasets", made)
    assert answer.status == 201, answer.body

    def are_there() -> bool:
        answer = control.request("GET", f"/api/v1/namespaces/default/pods?labelSelector=app%3D{name}")
        count = len(answer.object["items"])
        assert count <= 2, "two make pods"
        return count == 2

    until(are_there, DEADLINE, lambda: f"the pods of {name}:\n{control.said()}")


@pytest.mark.slow
def test_the_other_goes_on(tmp_path: Path) -> None:
    with running_etcd(tmp_path / "etcd", "--unsafe-no-fsync") as etcd:
        store = ("--store", f"etcd:{etcd.url}")
        with running_control(tmp_path / "one", *store) as one:
            until(lambda: holder(one) != "", DEADLINE, "the first leads")
            first = holder(one)
            (tmp_path / "two" / "control").mkdir(parents=True)
            shared = [str(one.data / name) for name in ("pki", "encryption.key")]
            subprocess.run(["cp", "-a", *shared, str(tmp_path / "two" / "control")], check=True)
            with running_control(tmp_path / "two", *store) as two:
                replicate(two, "led-by-one")
                assert holder(two) == first
                one.kill()
                until(lambda: holder(two) not in ("", first), DEADLINE, lambda: f"the second leads:\n{two.said()}")
                second = holder(two)
                replicate(two, "led-by-two")
                one.start()
                assert two.process is not None and one.process is not None
                two.process.send_signal(signal.SIGSTOP)
                until(lambda: holder(one) == first, DEADLINE, lambda: f"the first leads again:\n{one.said()}")
                two.process.send_signal(signal.SIGCONT)
                replicate(one, "led-by-one-again")
                until(lambda: "leads no more" in two.said(), DEADLINE, "the second knows it")
                one.stop()  # gives it back: nobody waits for its end
                until(lambda: holder(two) == second, 5.0, "the second leads at once")
                replicate(two, "led-by-two-again")
