"""kubectl apply in both ways, diff, edit, replace, patch, label, annotate, scale, set, rollout, wait."""

import json
from pathlib import Path

from kubectl_kit import Kubectl

from daemons import until

POD = """
apiVersion: v1
kind: Pod
metadata: {name: p, labels: {app: p}}
spec: {containers: [{name: c, image: "busybox:1"}]}
"""
MAP = "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: m, labels: {set: one}}\ndata: {a: '1', b: '2'}\n"
DEPLOYMENT = """
apiVersion: apps/v1
kind: Deployment
metadata: {name: w}
spec:
  selector: {matchLabels: {app: w}}
  template:
    metadata: {labels: {app: w}}
    spec: {containers: [{name: c, image: "busybox:1"}, {name: d, image: "busybox:1"}]}
"""


def test_apply_by_the_client(k: Kubectl, tmp_path: Path) -> None:
    assert k("apply -f -", MAP) == "configmap/m created\n"
    assert json.loads(k("apply view-last-applied configmap/m -o json"))["data"] == {"a": "1", "b": "2"}
    k("""patch cm m -p '{"data":{"other":"x"}}'""")
    assert k("apply -f -", MAP.replace("b: '2'", "c: '3'")) == "configmap/m configured\n"
    assert k.json("get cm m")["data"] == {"a": "1", "c": "3", "other": "x"}
    file = tmp_path / "m.yaml"
    file.write_text(MAP)
    assert k(f"apply set-last-applied -f {file}") == "configmap/m configured\n"
    assert k(f"apply -f {file}") == "configmap/m configured\n"
    more = MAP.replace("name: m,", "name: m2,")
    assert k("apply -f -", f"{MAP}---\n{more}") == "configmap/m unchanged\nconfigmap/m2 created\n"
    said = k("apply -f - --prune -l set=one --prune-allowlist=core/v1/ConfigMap", MAP)
    assert "configmap/m" in said and "configmap/m2 pruned" in said
    assert "missing the kubectl.kubernetes.io/last-applied-configuration annotation" in k.heard(
        "apply -f -", f"apiVersion: v1\nkind: ServiceAccount\nmetadata: {{name: default, namespace: {k.namespace}}}\n"
    )


def test_apply_by_the_server(k: Kubectl) -> None:
    assert k("apply --server-side -f -", MAP) == "configmap/m serverside-applied\n"
    other = MAP.replace("a: '1'", "a: '9'")
    refused = k.fails("apply --server-side --field-manager=other -f -", other)
    assert 'Apply failed with 1 conflict: conflict with "kubectl": .data.a' in refused
    assert k("apply --server-side --field-manager=other --force-conflicts -f -", other).endswith("serverside-applied\n")
    managers = k.json("get cm m --show-managed-fields")["metadata"]["managedFields"]
    owners = {each["manager"]: "f:a" in each["fieldsV1"]["f:data"] for each in managers}
    assert owners == {"kubectl": False, "other": True}
    assert k("apply --server-side -f -", MAP.replace("a: '1', ", "").replace("b: '2'", "c: '4'")).endswith("applied\n")
    assert k.json("get cm m")["data"] == {"a": "9", "b": "2", "c": "4"}
    assert k("apply --server-side -f - --dry-run=server", MAP.replace("m,", "m3,")).endswith("(server dry run)\n")
    k("apply -f -", MAP.replace("m,", "o,"))
    k("apply --server-side -f -", MAP.replace("m,", "o,"))
    managers = k.json("get cm o --show-managed-fields")["metadata"]["managedFields"]
    assert {(each["manager"], each["operation"]) for each in managers} == {
        ("kubectl", "Apply"),
        ("kubectl-last-applied", "Apply"),
    }


def test_differences(k: Kubectl) -> None:
    k("apply -f -", MAP)
    assert k("diff -f -", MAP) == ""
    done = k.run("diff -f -", MAP.replace("'2'", "'3'"))
    assert done.returncode == 1 and '-  b: "2"' in done.stdout and '+  b: "3"' in done.stdout
    done = k.run("diff --server-side -f -", MAP.replace("name: m", "name: m2"))
    assert done.returncode == 1 and "+  name: m2" in done.stdout


def test_editing(k: Kubectl, tmp_path: Path) -> None:
    k("apply -f -", MAP)
    editor = tmp_path / "editor"
    editor.write_text('#!/bin/sh\nsed -i \'s/b: "2"/b: "7"/\' "$1"\n')
    editor.chmod(0o755)
    assert k("edit cm m", environment={"KUBE_EDITOR": str(editor)}) == "configmap/m edited\n"
    assert k.json("get cm m")["data"]["b"] == "7"
    assert "no changes made" in k.run("edit cm m", environment={"KUBE_EDITOR": str(editor)}).stderr
    editor.write_text('#!/bin/sh\nsed -i \'s/b: "7"/b: "8"/\' "$1"\n')
    assert k("apply edit-last-applied cm m", environment={"KUBE_EDITOR": "true"}) is not None
    editor.write_text("#!/bin/sh\nsed -i 's/replicas: 1/replicas: -1/' \"$1\"\n")
    k("create deployment e --image=nginx")
    done = k.run("edit deployment e", environment={"KUBE_EDITOR": str(editor)})
    assert done.returncode == 1 and "is invalid" in done.stderr


def test_replacing(k: Kubectl, tmp_path: Path) -> None:
    k("create -f -", MAP)
    uid = k("get cm m -o jsonpath={.metadata.uid}")
    assert k("replace -f -", MAP.replace("'2'", "'5'")) == "configmap/m replaced\n"
    assert k("get cm m -o jsonpath={.metadata.uid}") == uid
    file = tmp_path / "m.yaml"
    file.write_text(MAP)
    assert k(f"replace --force -f {file}").endswith("configmap/m replaced\n")
    assert k("get cm m -o jsonpath={.metadata.uid}") != uid
    assert "not found" in k.fails("replace -f -", MAP.replace("m,", "none,"))
    k("create -f -", POD)
    refused = k.fails("replace -f -", k("get pod p -o yaml").replace("name: c", "name: changed"))
    assert "pod updates may not change fields other than" in refused
    assert k("replace --subresource=status -f -", k("get pod p -o yaml").replace("phase: Pending", "phase: Failed"))
    assert k("get pod p -o jsonpath={.status.phase}") == "Failed"


def test_patches(k: Kubectl, tmp_path: Path) -> None:
    k("create -f -", DEPLOYMENT)
    image = '{"spec":{"template":{"spec":{"containers":[{"name":"d","image":"x:2"}]}}}}'
    assert k(f"patch deployment w -p '{image}'") == "deployment.apps/w patched\n"
    images = "get deployment w -o jsonpath={.spec.template.spec.containers[*].image}"
    assert k(images) == "busybox:1 x:2"
    assert k(f"patch deployment w -p '{image}'") == "deployment.apps/w patched (no change)\n"
    assert k(f"patch deployment w --type=merge -p '{image}'") == "deployment.apps/w patched\n"
    assert k(images) == "x:2"
    operations = '[{"op":"test","path":"/spec/replicas","value":1},{"op":"replace","path":"/spec/replicas","value":4}]'
    assert k(f"patch deployment w --type=json -p '{operations}'") == "deployment.apps/w patched\n"
    assert "testing value /spec/replicas failed" in k.fails(f"patch deployment w --type=json -p '{operations}'")
    k("create ingress site --class=of-others --rule=a.example/x=front:80")
    address = '{"status":{"loadBalancer":{"ingress":[{"ip":"192.0.2.9"}]}}}'
    assert k(f"patch ingress site --subresource=status --type=merge -p '{address}'").endswith("patched\n")
    assert "192.0.2.9" in k("get ingress site --subresource=status -o yaml")
    assert k("""patch deployment w --subresource=scale --type=merge -p '{"spec":{"replicas":2}}'""")
    assert k.json("get deployment w --subresource=scale")["spec"]["replicas"] == 2
    file = tmp_path / "patch.yaml"
    file.write_text("spec: {replicas: 6}\n")
    assert k(f"patch deployment w --patch-file {file}") == "deployment.apps/w patched\n"
    delete = '{"spec":{"template":{"spec":{"containers":[{"$patch":"delete","name":"d"},{"name":"e","image":"y"}]}}}}'
    k(f"patch deployment w -p '{delete}'")
    assert k(images) == "y"
    said = k.heard("""patch deployment w --type=merge -p '{"spec":{"replica":1}}'""")
    assert 'Warning: unknown field "spec.replica", did you mean "spec.replicas"?' in said
    assert "cannot unmarshal" in k.fails("""patch deployment w -p '{"spec":{"replicas":"many"}}'""")


def test_labels_and_annotations(k: Kubectl) -> None:
    k("create -f -", MAP)
    assert k("label cm m a=b") == "configmap/m labeled\n"
    assert k("label cm m set-") == "configmap/m unlabeled\n"
    assert k.json("get cm m")["metadata"]["labels"] == {"a": "b"}
    assert "already has a value (b), and --overwrite is false" in k.fails("label cm m a=c")
    assert k("label cm m a=c --overwrite") == "configmap/m labeled\n"
    assert k("label cm m a=c --overwrite") == "configmap/m not labeled\n"
    assert k("label cm --list m") == "a=c\n"
    assert k("label cm -l a=c b=d") == "configmap/m labeled\n"
    assert "a valid label must be" in k.fails("label cm m a=/")
    assert k("annotate cm m note='some words' --resource-version=1000000 --overwrite=false --dry-run=client")
    assert k("annotate cm --all note='some words'").count("annotated") == 2
    assert k("annotate cm m note-") == "configmap/m annotated\n"
    assert "object has been modified" in k.fails("annotate cm m x=y --resource-version=1")


def test_scaling(k: Kubectl) -> None:
    k("create -f -", DEPLOYMENT)
    assert k("scale deployment/w --replicas=3") == "deployment.apps/w scaled\n"
    assert k("scale --current-replicas=3 --replicas=2 deployment/w") == "deployment.apps/w scaled\n"
    assert "Expected replicas to be 3, was 2" in k.fails("scale --current-replicas=3 --replicas=1 deployment/w")
    k("create -f -", DEPLOYMENT.replace("name: w}", "name: w2}"))
    assert k("scale deployment w w2 --replicas=1").count("scaled") == 2
    assert k("scale --replicas=0 deployment --all").count("scaled") == 2
    assert k("get deployment w2 -o jsonpath={.spec.replicas}") == "0"


def test_setting(k: Kubectl) -> None:
    k("create -f -", DEPLOYMENT)
    k("create serviceaccount a")
    k("create configmap m --from-literal=FROM=map")
    assert k("set image deployment/w *=busybox:9") == "deployment.apps/w image updated\n"
    assert k("set env deployment/w A=b C-") == "deployment.apps/w env updated\n"
    assert k("set env deployment/w --from=configmap/m --prefix=P_ -c c") == "deployment.apps/w env updated\n"
    assert "P_FROM from configmap m, key FROM" in k("set env deployment/w --list")
    assert k("set resources deployment/w -c=c --limits=cpu=200m,memory=64Mi --requests=cpu=100m").endswith("updated\n")
    assert k("set serviceaccount deployment w a") == "deployment.apps/w serviceaccount updated\n"
    k("create service clusterip s --tcp=80")
    assert k("set selector service s app=w") == "service/s selector updated\n"
    k("create rolebinding rb --clusterrole=view --user=u")
    assert (
        k("set subject rolebinding rb --user=v --group=g")
        == "rolebinding.rbac.authorization.k8s.io/rb subjects updated\n"
    )
    spec = k.json("get deployment w")["spec"]["template"]["spec"]
    assert spec["serviceAccountName"] == "a" and spec["containers"][0]["resources"]["limits"]["memory"] == "64Mi"
    assert [each["image"] for each in spec["containers"]] == ["busybox:9", "busybox:9"]


def test_rollouts(k: Kubectl) -> None:
    k("create -f -", DEPLOYMENT)
    assert k("rollout restart deployment/w") == "deployment.apps/w restarted\n"
    assert k("rollout pause deployment/w") == "deployment.apps/w paused\n"
    assert "can't restart paused deployment" in k.fails("rollout restart deployment/w")
    assert k("rollout resume deployment/w") == "deployment.apps/w resumed\n"
    until(lambda: "2 " in k("rollout history deployment/w"), 20, "both revisions are there")
    assert k("rollout undo deployment/w") == "deployment.apps/w rolled back\n"
    assert "Image" in k("rollout history deployment/w --revision=2")
    assert "Waiting for deployment" in k.run("rollout status deployment/w --timeout=500ms").stdout
    ready = json.dumps({"status": {"phase": "Running", "conditions": [{"type": "Ready", "status": "True"}]}})

    def is_rolled_out() -> bool:
        """What a kubelet would say of the pods is said by us."""
        for pod in k("get pods -l app=w -o name").split():
            k.run(f"patch {pod} --subresource=status --type=merge -p '{ready}'")
        return "successfully rolled out" in k("rollout status deployment/w --watch=false")

    until(is_rolled_out, 20, "the deployment is rolled out")
    assert "condition met" in k("wait deployment/w --for=condition=Available")
    assert "condition met" in k("wait deployment/w --for=jsonpath={.status.readyReplicas}=1")
    assert "timed out waiting" in k.fails("wait deployment/w --for=condition=None --timeout=300ms")


def test_kustomizations(k: Kubectl, tmp_path: Path) -> None:
    (tmp_path / "kustomization.yaml").write_text(
        "namePrefix: pre-\nresources: [m.yaml]\nconfigMapGenerator: [{name: g, literals: [a=b]}]\n"
    )
    (tmp_path / "m.yaml").write_text(MAP)
    assert "name: pre-m" in k(f"kustomize {tmp_path}")
    assert k(f"apply -k {tmp_path}").count("created") == 2
    assert k(f"apply -k {tmp_path}").count("unchanged") == 2
    assert k(f"delete -k {tmp_path}").count("deleted") == 2
