"""Pods to try rules with."""

from typing import Any

from rules_kit import changed

CONTAINER = {"name": "web", "image": "example.com/web:1.2"}
POD: dict[str, Any] = {"metadata": {"name": "web", "namespace": "default"}, "spec": {"containers": [CONTAINER]}}
C = "spec.containers.0."
P = "spec.containers[0]"
LABEL = (
    "a lowercase RFC 1123 label must consist of lower case alphanumeric characters or '-', and must start and end with "
    "an alphanumeric character (e.g. 'my-name',  or '123-abc', regex used for validation is "
    "'[a-z0-9]([-a-z0-9]*[a-z0-9])?')"
)


def pod(path: str, value: Any) -> dict[str, Any]:
    return changed(POD, path, value)
