"""kubectl on the cluster as a whole: nodes, certificates, rights, discovery, completion, dumps."""

import base64
import json
from pathlib import Path

import pytest
from kubectl_kit import Kubectl, rows

from boxship.pki.keys import dump_key, new_key


@pytest.fixture
def node(k: Kubectl) -> str:
    name = f"{k.namespace}-node"
    text = f"apiVersion: v1\nkind: Node\nmetadata: {{name: {name}, labels: {{kubernetes.io/os: linux}}}}\n"
    assert k("create -f -", text) == f"node/{name} created\n"
    return name


def without_user(k: Kubectl) -> str:
    """Flags by which kubectl reaches the server as nobody."""
    return f"--kubeconfig=/dev/null --server={k.control.url} --certificate-authority={k.control.data}/pki/ca.crt"


def test_nodes(k: Kubectl, node: str) -> None:
    assert rows(k(f"get node {node}"))[0][:2] == [node, "Unknown"]
    assert k(f"cordon {node}") == f"node/{node} cordoned\n"
    assert "SchedulingDisabled" in k(f"get node {node}")
    assert k(f"uncordon {node}") == f"node/{node} uncordoned\n"
    assert k(f"taint node {node} a=b:NoSchedule") == f"node/{node} tainted\n"
    assert "already has" in k.fails(f"taint node {node} a=b:NoSchedule")
    assert k(f"taint node {node} a=c:NoSchedule --overwrite") == f"node/{node} modified\n"
    assert k(f"taint node {node} a-") == f"node/{node} untainted\n"
    assert k(f"label node {node} role=x") == f"node/{node} labeled\n"
    assert f"node/{node} drained" in k(f"drain {node} --ignore-daemonsets --force")
    assert "Name:               " in k(f"describe node {node}")
    assert k(f"delete node {node}") == f'node "{node}" deleted\n'


def test_certificates(k: Kubectl, tmp_path: Path) -> None:
    import subprocess

    key = tmp_path / "key.pem"
    key.write_bytes(dump_key(new_key(), None))
    subject = ["openssl", "req", "-new", "-key", str(key), "-subj", "/O=team/CN=ann"]
    request = subprocess.run(subject, capture_output=True, check=True).stdout
    for name in ("yes", "no"):
        k(
            "create -f -",
            json.dumps(
                {
                    "apiVersion": "certificates.k8s.io/v1",
                    "kind": "CertificateSigningRequest",
                    "metadata": {"name": f"{k.namespace}-{name}"},
                    "spec": {
                        "request": base64.b64encode(request).decode(),
                        "signerName": "kubernetes.io/kube-apiserver-client",
                        "usages": ["client auth"],
                    },
                }
            ),
        )
    assert "Pending" in k(f"get csr {k.namespace}-yes")
    assert k(f"certificate approve {k.namespace}-yes").endswith("approved\n")
    assert k(f"certificate deny {k.namespace}-no").endswith("denied\n")
    assert "Denied" in k(f"get csr {k.namespace}-no")
    k(f"wait csr/{k.namespace}-yes --for=jsonpath='{{.status.certificate}}' --timeout=20s")
    certificate = tmp_path / "cert.pem"
    certificate.write_bytes(base64.b64decode(k(f"get csr {k.namespace}-yes -o jsonpath={{.status.certificate}}")))
    shown = k(f"{without_user(k)} auth whoami --client-certificate={certificate} --client-key={key}")
    assert "ann" in shown and "team" in shown
    assert "Subject" in k(f"describe csr {k.namespace}-yes")


def test_rights(k: Kubectl) -> None:
    assert "kubernetes-admin" in k("auth whoami") and k("auth can-i '*' '*'") == "yes\n"
    k("create sa bot")
    user = f"system:serviceaccount:{k.namespace}:bot"
    assert k.run(f"auth can-i list pods --as={user}").stdout.startswith("no")
    k(f"create rolebinding view --clusterrole=view --serviceaccount={k.namespace}:bot")
    assert k(f"auth can-i list pods --as={user}") == "yes\n"
    assert k.run(f"auth can-i create pods --as={user}").stdout.startswith("no")
    assert "pods" in k(f"auth can-i --list --as={user}")
    token = k("create token bot").strip()
    anonymous = without_user(k)
    assert k(f"{anonymous} --token={token} get pods -o name") == ""
    refused = k.fails(f"{anonymous} --token={token} get secrets")
    assert f'secrets is forbidden: User "{user}" cannot list resource "secrets" in API group ""' in refused
    assert "would allow it" in refused
    assert "error: You must be logged in to the server" in k.fails(f"{anonymous} --token=wrong get pods")
    roles = """
apiVersion: rbac.authorization.k8s.io/v1
kind: Role
metadata: {name: r, namespace: NAMESPACE}
rules: [{apiGroups: [""], resources: [pods], verbs: [get]}]
"""
    roles = roles.replace("NAMESPACE", k.namespace)
    assert "reconciled" in k("auth reconcile -f -", roles)
    assert "reconciled" in k("auth reconcile -f -", roles.replace("[get]", "[get, list]"))
    assert k.json("get role r")["rules"][-1]["verbs"] == ["list"] or "list" in json.dumps(k.json("get role r"))


def test_resources_and_versions(k: Kubectl) -> None:
    lines = k("api-resources").splitlines()
    assert len(lines) > 60
    named = k("api-resources -o name").split()
    assert "deployments.apps" in named and "pods" in named
    assert k("api-resources --api-group=apps -o name").split() == [
        "controllerrevisions.apps",
        "daemonsets.apps",
        "deployments.apps",
        "replicasets.apps",
        "statefulsets.apps",
    ]
    assert "pods" in k("api-resources --categories=all -o name").split()
    assert set(k("api-resources --verbs=create --namespaced=false -o name").split()) & {"namespaces", "nodes"}
    assert json.loads(k("version -o json"))["serverVersion"]["minor"] == "36"
    assert k("get --raw /livez?verbose").endswith("livez check passed\n")
    assert "kubernetes" in k("get all --namespace default".replace("get all", "get services"))


def test_dumps_and_the_rest(k: Kubectl, tmp_path: Path) -> None:
    assert "Kubernetes control plane" in k("cluster-info")
    k(f"cluster-info dump --namespaces {k.namespace} --output-directory={tmp_path}")
    assert (tmp_path / k.namespace / "events.json").exists()
    assert k("top pods") == "" and "metrics not available yet" in k.fails("top nodes").lower()
    assert "current-context: " in k("config view") and k("config current-context").strip()
    assert (
        "complete" in k("completion bash") and "deployments" in k.control.kubectl("__complete", "get", "deploym").stdout
    )
    k("create configmap m --from-literal=a=b")
    assert "m" in k.control.kubectl("__complete", "-n", k.namespace, "get", "configmap", "m").stdout.split()
    assert "proxy" in k("proxy --help")
    k("run p --image=busybox")
    assert "No resources found" in k.heard("get pdb") and "p " in k("get pods --sort-by=.metadata.name")
