"""What kubectl makes of the OpenAPI documents: explanations of every kind, checks before and on the server."""

import pytest
from kubectl_kit import Kubectl

from boxship.cluster.objects.catalog import RESOURCES

WRONG = """
apiVersion: v1
kind: ConfigMap
metadata: {name: x, lables: {a: b}}
dat: {a: b}
"""


def test_fields_are_explained(every: Kubectl) -> None:
    said = every.run("explain pod.spec.containers.ports.containerPort").stdout
    assert "Number of port to expose on the pod's IP address" in said
    assert "integer" in said
    said = every.run("explain hpa --api-version=autoscaling/v1").stdout
    assert "HorizontalPodAutoscaler" in said
    said = every.run("explain deploy --recursive").stdout
    assert "maxUnavailable" in said
    assert len(said.splitlines()) > 1000


def test_wrong_fields_are_found(every: Kubectl) -> None:
    refused = every.run("create -f -", data=WRONG)
    assert refused.returncode != 0
    assert 'unknown field "dat"' in refused.stderr
    assert 'lables"' in refused.stderr


def test_the_server_says_what_was_meant(k: Kubectl) -> None:
    refused = k.run("create -f -", data=WRONG)
    assert 'unknown field "metadata.lables", did you mean "metadata.labels"?' in refused.stderr
    warned = k.run("create --validate=warn --dry-run=server -f -", data=WRONG)
    assert 'Warning: unknown field "dat", did you mean "data"?' in warned.stderr


@pytest.mark.slow
def test_every_kind_is_explained(every: Kubectl) -> None:
    for resource in RESOURCES:
        if resource.path != "events.k8s.io/v1/events":  # kubectl itself cannot tell it from core's
            explained = every.run(f"explain {resource.plural} --api-version={resource.api_version}")
            assert explained.returncode == 0, explained.stderr
            assert resource.kind in explained.stdout
