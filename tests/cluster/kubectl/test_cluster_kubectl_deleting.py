"""kubectl delete with all its flags."""

import subprocess

from kubectl_kit import Kubectl


def maps(k: Kubectl, *names: str) -> None:
    for name in names:
        k(f"create configmap {name} --from-literal=a=b")
        k(f"label configmap {name} t={name}")


def test_what_is_named_and_selected(k: Kubectl) -> None:
    maps(k, "a", "b", "c", "d")
    assert k("delete cm a b") == 'configmap "a" deleted\nconfigmap "b" deleted\n'
    assert k("delete cm -l t=c -o name") == "configmap/c\n"
    assert k("delete cm none --ignore-not-found") == ""
    assert 'configmaps "none" not found' in k.fails("delete cm none")
    assert "configmap" in k("delete cm --field-selector metadata.name=d")
    maps(k, "e", "f")
    assert k("delete cm/e cm/f --wait=false").count("deleted") == 2
    k("create sa x")
    assert k("delete cm,sa --all").count("deleted") >= 3


def test_grace_and_force(k: Kubectl) -> None:
    k("run p --image=busybox")
    assert k("delete pod p --grace-period=0 --force").startswith('pod "p" force deleted')
    k("run p --image=busybox")
    assert k("delete pod p --now").startswith('pod "p" deleted')
    k("run p --image=busybox")
    assert k("delete pod p --timeout=10s").startswith('pod "p" deleted')


def test_finalizers_are_waited_for(k: Kubectl) -> None:
    maps(k, "held")
    k("""patch cm held --type=merge -p '{"metadata":{"finalizers":["example.com/hold"]}}'""")
    assert "timed out waiting" in k.fails("delete cm held --timeout=500ms")
    assert k.json("get cm held")["metadata"]["deletionTimestamp"]
    words = ["kubectl", "-n", k.namespace, "wait", "--for=delete", "cm/held", "--timeout=20s"]
    environment = {"KUBECONFIG": str(k.control.kubeconfig), "HOME": str(k.control.home), "PATH": "/usr/bin:/bin"}
    with subprocess.Popen(words, env=environment, stdout=subprocess.PIPE) as waiting:
        k("""patch cm held --type=merge -p '{"metadata":{"finalizers":null}}'""")
        assert waiting.wait(20) == 0
    assert "not found" in k.fails("get cm held")


def test_what_depends_goes_as_it_is_told(k: Kubectl) -> None:
    def owner_with_dependent(name: str) -> None:
        maps(k, name, f"{name}-child")
        uid = k.json(f"get cm {name}")["metadata"]["uid"]
        reference = f'{{"apiVersion":"v1","kind":"ConfigMap","name":"{name}","uid":"{uid}","blockOwnerDeletion":true}}'
        k(f"""patch cm {name}-child --type=merge -p '{{"metadata":{{"ownerReferences":[{reference}]}}}}'""")

    for cascade in ("background", "foreground"):
        owner_with_dependent(cascade)
        k(f"delete cm {cascade} --cascade={cascade}")
        k(f"wait --for=delete cm/{cascade}-child --timeout=20s")
    owner_with_dependent("orphan")
    k("delete cm orphan --cascade=orphan")
    assert "ownerReferences" not in k.json("get cm orphan-child")["metadata"]


def test_a_namespace_goes_with_all_that_it_has(k: Kubectl) -> None:
    name = f"{k.namespace}-gone"
    k(f"create namespace {name}")
    k(f"create configmap inside --from-literal=a=b --namespace {name}")
    assert k(f"delete namespace {name} --timeout=20s").startswith(f'namespace "{name}" deleted')
    assert "not found" in k.fails(f"get namespace {name}")
