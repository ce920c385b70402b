"""Autoscalers of a real control plane, through the stock client: any kind that has a scale, and what is told of it."""

from collections.abc import Iterator

import pytest
from control_kit import Control, running_control

from daemons import until

SECONDS = 20.0
WIDGETS = """
apiVersion: apiextensions.k8s.io/v1
kind: CustomResourceDefinition
metadata: {name: widgets.example.com}
spec:
  group: example.com
  scope: Namespaced
  names: {plural: widgets, singular: widget, kind: Widget}
  versions:
  - name: v1
    served: true
    storage: true
    schema:
      openAPIV3Schema:
        type: object
        properties:
          spec: {type: object, properties: {size: {type: integer}}}
          status: {type: object, properties: {size: {type: integer}, selector: {type: string}}}
    subresources:
      status: {}
      scale: {specReplicasPath: .spec.size, statusReplicasPath: .status.size, labelSelectorPath: .status.selector}
"""
WIDGET = """
apiVersion: example.com/v1
kind: Widget
metadata: {name: w}
spec: {size: 1}
"""
SCALER = """
apiVersion: autoscaling/v2
kind: HorizontalPodAutoscaler
metadata: {name: w}
spec:
  scaleTargetRef: {apiVersion: example.com/v1, kind: Widget, name: w}
  minReplicas: 3
  maxReplicas: 5
  metrics:
  - {type: External, external: {metric: {name: queue}, target: {type: AverageValue, averageValue: "30"}}}
"""


@pytest.fixture(scope="module")
def control(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Control]:
    with running_control(tmp_path_factory.mktemp("autoscaling")) as control:
        yield control


def test_a_custom_kind_is_scaled(control: Control) -> None:
    control.kubectl("apply", "-f", "-", data=WIDGETS)
    control.kubectl("wait", "--for=condition=Established", "crd/widgets.example.com", "--timeout=20s")
    control.kubectl("apply", "-f", "-", data=WIDGET)
    control.kubectl("apply", "-f", "-", data=SCALER)

    def size() -> str:
        return control.kubectl("get", "widget", "w", "-o", "jsonpath={.spec.size}").stdout

    until(lambda: size() == "3", SECONDS, lambda: control.kubectl("describe", "hpa", "w").stdout)

    def described() -> str:
        return control.kubectl("describe", "hpa", "w").stdout

    until(lambda: "SuccessfulRescale" in described(), SECONDS, described)
    text = described()
    assert "New size: 3; reason: Current number of replicas below Spec.MinReplicas" in text
    assert "SucceededRescale" in text and "the HPA controller was able to update the target scale to 3" in text
    # Without a selector and without such a metric there is nothing to go by, and it says so.
    control.kubectl("annotate", "hpa", "w", "look=again")
    control.kubectl("patch", "hpa", "w", "--type=merge", "-p", '{"spec":{"maxReplicas":6}}')
    until(lambda: "the HPA target's scale is missing a selector" in described(), SECONDS, described)
    control.kubectl(
        "patch", "widget", "w", "--subresource=status", "--type=merge", "-p", '{"status":{"selector":"app=w","size":3}}'
    )
    control.kubectl("patch", "hpa", "w", "--type=merge", "-p", '{"spec":{"maxReplicas":7}}')
    until(lambda: "no external metrics API (external.metrics.k8s.io) registered" in described(), SECONDS, described)
    assert size() == "3"


def test_autoscale_writes_what_it_should(control: Control) -> None:
    control.kubectl("create", "deployment", "web", "--image=web", "--replicas=2")
    control.kubectl("autoscale", "deployment", "web", "--min=2", "--max=5", "--cpu-percent=70")
    line = control.kubectl("get", "hpa", "web", "--no-headers").stdout.split()
    assert line[:2] == ["web", "Deployment/web"] and "<unknown>/70%" in line

    def said() -> str:
        return control.kubectl("get", "hpa", "web", "-o", "jsonpath={.status.conditions[*].reason}").stdout

    until(lambda: "FailedGetResourceMetric" in said() and "SucceededGetScale" in said(), SECONDS, said)
