"""Services, pods and slices as the tests of endpoints write them."""

from typing import Any

from boxship.cluster.controllers.endpoints.backends import Backend, NamedPort
from boxship.cluster.objects import Object


def service(name: str = "web", **spec: Any) -> Object:
    spec = {"selector": {"app": "web"}, "clusterIP": "10.96.0.7", "type": "ClusterIP", **spec}
    spec.setdefault("ports", [{"name": "http", "port": 80, "targetPort": 8080, "protocol": "TCP"}])
    metadata = {"name": name, "namespace": "default", "uid": f"uid-{name}"}
    return {"apiVersion": "v1", "kind": "Service", "metadata": metadata, "spec": spec}


def backend(number: int, **facts: Any) -> Backend:
    facts = {"ready": True, "labels": frozenset({("app", "web")}), **facts}
    address = f"10.244.{number // 250}.{number % 250 + 1}"
    return Backend("default", f"web-{number:04}", f"uid-{number}", address=address, node="n", **facts)


def named(name: str, number: int, protocol: str = "TCP") -> NamedPort:
    return NamedPort(name, number, protocol)


def ready_addresses(slices: list[Object]) -> list[str]:
    found = [one for slice in slices for one in slice.get("endpoints") or () if one["conditions"]["ready"]]
    return sorted(one["addresses"][0] for one in found)
