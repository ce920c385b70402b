"""The control plane's part of Ingress: addresses, complaints, the certificate of our authority; what nodes may read."""

import base64
from pathlib import Path

from cryptography import x509
from world_kit import World, eventually, running_world

from boxship.cluster.api.authorization.nodes import Nodes
from boxship.cluster.api.request import Ask, User
from boxship.cluster.objects import Object

INGRESSES = "networking.k8s.io/v1/ingresses"
NGINX = "nginx.ingress.kubernetes.io/"


def ingress(name: str, host: str, **annotations: str) -> Object:
    backend = {"service": {"name": "web", "port": {"number": 80}}}
    rule = {"host": host, "http": {"paths": [{"path": "/", "pathType": "Prefix", "backend": backend}]}}
    marked = {NGINX + key.replace("_", "-"): value for key, value in annotations.items()}
    spec = {"rules": [rule], "tls": [{"hosts": ["named.test"], "secretName": "mine"}]}
    metadata = {"name": name, "annotations": marked}
    return {"apiVersion": "networking.k8s.io/v1", "kind": "Ingress", "metadata": metadata, "spec": spec}


async def test_addresses_complaints_and_a_certificate(tmp_path: Path) -> None:
    async with running_world(tmp_path) as world:
        await world.client.create("v1/nodes", "", {"apiVersion": "v1", "kind": "Node", "metadata": {"name": "n"}})
        status = {"addresses": [{"type": "InternalIP", "address": "192.0.2.1"}]}
        status["conditions"] = [{"type": "Ready", "status": "True", "reason": "KubeletReady"}]
        await world.client.patch("v1/nodes", "", "n", {"status": status}, subresource="status")
        wrong = ingress("a", "a.test", configuration_snippet="x", auth_url="http://x", proxy_body_size="many")
        await world.client.create(INGRESSES, "default", wrong)

        async def pointed() -> bool:
            found = await world.client.get(INGRESSES, "default", "a")
            return found["status"]["loadBalancer"].get("ingress") == [{"ip": "192.0.2.1"}]

        await eventually(pointed)

        async def told() -> set[str]:
            events = (await world.client.list("v1/events", "default")).items
            found = {event["message"] for event in events if event["involvedObject"]["kind"] == "Ingress"}
            return found if len(found) >= 4 else set()

        assert await eventually(told) == {
            f"unsupported: {NGINX}auth-url",
            f"unsupported: {NGINX}configuration-snippet",
            f"{NGINX}proxy-body-size: write a size as 8m",
            f"nothing is served until {NGINX}auth-url is taken away or right: it is there to protect something",
        }
        first = await eventually(lambda: hosts(world))
        assert first == {"a.test"}
        await world.client.create(INGRESSES, "default", ingress("b", "b.test"))

        async def both() -> bool:
            return await hosts(world) == {"a.test", "b.test"}

        await eventually(both)
        nodes = Nodes(world.storage)
        await nodes.refresh()
        for namespace, name, allowed in (
            ("default", "mine", True),
            ("kube-system", "boxship-ingress", True),
            ("default", "other", False),
            ("kube-system", "mine", False),
        ):
            asked = Ask(
                User("system:node:n", ("system:nodes",)), "get", resource="secrets", namespace=namespace, name=name
            )
            assert nodes.decide("n", asked).allowed is allowed, (namespace, name)


async def hosts(world: World) -> set[str]:
    """Of the certificate in the secret."""
    secret = await world.found("v1/secrets", "kube-system", "boxship-ingress")
    if secret is None:
        return set()
    certificate = x509.load_pem_x509_certificate(base64.b64decode(secret["data"]["tls.crt"]))
    names = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    return set(names.get_values_for_type(x509.DNSName))
