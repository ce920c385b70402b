"""The suite's own webhooks and aggregated API: hooks_program.py in a pod behind a Service, with a certificate of its
own. The pod has Python from the machine: its /usr and libraries, to be read only."""

import base64
import contextlib
import subprocess
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from nodes_kit import Cluster

PROGRAM = Path(__file__).with_name("hooks_program.py")
CONFIGURATIONS = "/apis/admissionregistration.k8s.io/v1"
SECONDS = 60.0

WORLD = """
apiVersion: v1
kind: Pod
metadata: {name: hooks, labels: {app: hooks}}
spec:
  terminationGracePeriodSeconds: 0
  containers:
  - name: hooks
    image: busybox
    imagePullPolicy: IfNotPresent
    command: [/usr/bin/python3, -u, /program/hooks_program.py]
    readinessProbe: {tcpSocket: {port: 8443}, periodSeconds: 1}
    volumeMounts:
    - {name: program, mountPath: /program}
    - {name: tls, mountPath: /tls}
    - {name: usr, mountPath: /usr, readOnly: true}
    - {name: lib, mountPath: /lib, readOnly: true}
    - {name: lib64, mountPath: /lib64, readOnly: true}
  volumes:
  - {name: program, configMap: {name: program}}
  - {name: tls, secret: {secretName: tls}}
  - {name: usr, hostPath: {path: /usr}}
  - {name: lib, hostPath: {path: /lib}}
  - {name: lib64, hostPath: {path: /lib64}}
---
apiVersion: v1
kind: Service
metadata: {name: hooks}
spec:
  selector: {app: hooks}
  ports: [{port: 443, targetPort: 8443}]
"""


class Hooks:
    """The served hooks: what configurations of them look like."""

    def __init__(self, cluster: Cluster, namespace: str, authority: bytes) -> None:
        self.cluster, self.namespace = cluster, namespace
        self.authority = base64.b64encode(authority).decode()

    def config(self, path: str = "", **changed: Any) -> dict[str, Any]:
        """A clientConfig, as of a webhook or (without a path) an APIService."""
        service = {"name": "hooks", "namespace": self.namespace, **({"path": path} if path else {})}
        return {"service": service, "caBundle": self.authority, **changed}

    def webhook(self, path: str, *resources: str, only: str = "", **fields: Any) -> dict[str, Any]:
        """One of a configuration. Resources are "pods" or "GROUP/VERSION/PLURAL"; `only` the namespace it is for."""
        operations = fields.pop("operations", ["*"])
        name = fields.pop("name", f"{path.strip('/')}.hooks.example.com")
        if only:
            fields["namespaceSelector"] = {"matchLabels": {"kubernetes.io/metadata.name": only}}
        return {
            "name": name,
            "rules": [{"operations": operations, **rule(each)} for each in resources],
            "clientConfig": self.config(path),
            "sideEffects": "None",
            "admissionReviewVersions": ["v1"],
            **fields,
        }

    @contextlib.contextmanager
    def configured(
        self, kind: str, name: str, webhooks: Sequence[Mapping[str, Any]], labels: Mapping[str, str] | None = None
    ) -> Iterator[str]:
        """A "Mutating" or "Validating" configuration while this is entered; its path."""
        plural = f"{CONFIGURATIONS}/{kind.lower()}webhookconfigurations"
        made = {"metadata": {"name": name, "labels": labels or {}}, "webhooks": list(webhooks)}
        answer = self.cluster.control.request("POST", plural, made)
        assert answer.status == 201, answer.body
        try:
            yield f"{plural}/{name}"
        finally:
            self.cluster.control.request("DELETE", f"{plural}/{name}")


def rule(resource: str) -> dict[str, Any]:
    """ "pods/attach" is of v1, "apps/v1/deployments" of a group."""
    parts = resource.split("/")
    if len(parts) < 3:
        return {"apiGroups": [""], "apiVersions": ["v1"], "resources": [resource]}
    return {"apiGroups": [parts[0]], "apiVersions": [parts[1]], "resources": ["/".join(parts[2:])]}


@contextlib.contextmanager
def serving_hooks(cluster: Cluster, namespace: str) -> Iterator[Hooks]:
    """The pod is ready, and the API knows its endpoint."""
    cluster.kubectl("create", "namespace", namespace)
    try:
        with tempfile.TemporaryDirectory() as folder:
            command = "openssl req -x509 -newkey rsa:2048 -nodes -days 2 -subj /CN=hooks -keyout key.pem -out cert.pem"
            name = ("-addext", f"subjectAltName=DNS:hooks.{namespace}.svc")
            subprocess.run([*command.split(), *name], cwd=folder, check=True, capture_output=True)
            pair = (f"--cert={folder}/cert.pem", f"--key={folder}/key.pem")
            cluster.kubectl("-n", namespace, "create", "secret", "tls", "tls", *pair)
            authority = Path(folder, "cert.pem").read_bytes()
        cluster.kubectl("-n", namespace, "create", "configmap", "program", f"--from-file={PROGRAM}")
        cluster.kubectl("-n", namespace, "apply", "-f", "-", data=WORLD)
        cluster.until_pods(1, "", namespace, SECONDS)
        slices = f"/apis/discovery.k8s.io/v1/namespaces/{namespace}/endpointslices"

        def reachable() -> bool:
            parts = cluster.control.request("GET", slices).object["items"]
            ends = [end for part in parts for end in part.get("endpoints") or ()]
            return any(end["conditions"]["ready"] for end in ends)

        cluster.until(reachable, SECONDS, "the hooks have an endpoint")
        yield Hooks(cluster, namespace, authority)
    finally:
        cluster.kubectl("delete", "namespace", namespace, "--wait=false")
