"""Has a certificate signed by the cluster: a certificate signing request, and the wait for its answer."""

import asyncio
import base64

from boxship.cluster.access import Client
from boxship.cluster.objects import Object
from boxship.errors import Denied, Timeout
from boxship.pki.cluster_nodes import make_request

RESOURCE = "certificates.k8s.io/v1/certificatesigningrequests"
CLIENT = "kubernetes.io/kube-apiserver-client-kubelet"
SERVING = "kubernetes.io/kubelet-serving"
USAGES = {CLIENT: "client auth", SERVING: "server auth"}
NODES = "system:nodes"
WAIT_SECONDS = 30.0  # a person may have to approve it; then it is asked for again


async def have_signed(client: Client, signer: str, node: str, *, seconds: int = 0) -> bytes:
    """A new key and its certificate for the node, in one PEM text. `seconds` asks for a shorter life. Raises Denied,
    Timeout, or what the API refuses."""
    hosts = (node,) if signer == SERVING else ()
    key, request = make_request(f"system:node:{node}", (NODES,), hosts)
    spec: Object = {
        "signerName": signer,
        "request": base64.b64encode(request).decode(),
        "usages": ["digital signature", USAGES[signer]],
    }
    if seconds:
        spec["expirationSeconds"] = seconds
    made = await client.create(
        RESOURCE,
        "",
        {
            "apiVersion": "certificates.k8s.io/v1",
            "kind": "CertificateSigningRequest",
            "metadata": {"generateName": "csr-"},
            "spec": spec,
        },
    )
    name, version = made["metadata"]["name"], made["metadata"]["resourceVersion"]
    try:
        async with asyncio.timeout(WAIT_SECONDS):
            async for event in client.watch(RESOURCE, version=version, fields=f"metadata.name={name}"):
                certificate = answer_of(event.object) if event.type != "BOOKMARK" else b""
                if certificate:
                    return certificate + key
    except TimeoutError:
        pass
    raise Timeout(f"cannot get a certificate: nobody approved the request {name} within {WAIT_SECONDS:g} s")


def answer_of(request: Object) -> bytes:
    """The certificate, or nothing yet. Raises Denied."""
    status = request.get("status") or {}
    for one in status.get("conditions") or ():
        if one["type"] in ("Denied", "Failed") and one.get("status", "True") == "True":
            why = one.get("message") or one.get("reason") or "no reason was given"
            raise Denied(f"cannot get a certificate: the request {request['metadata']['name']} was refused: {why}")
    return base64.b64decode(status.get("certificate") or "")
