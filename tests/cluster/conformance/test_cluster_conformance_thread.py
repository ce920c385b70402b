"""The thin thread of the suite: a pod that reads a ConfigMap, and the kit's own promises."""

import pytest
from conformance_kit import Space

pytestmark = pytest.mark.slow


def test_a_pod_prints_what_a_map_says(space: Space) -> None:
    said = space.output("""
        apiVersion: v1
        kind: ConfigMap
        metadata: {name: words}
        data: {one: eins}
        ---
        apiVersion: v1
        kind: Pod
        metadata: {name: reader}
        spec:
          restartPolicy: Never
          containers:
          - name: c
            image: busybox
            imagePullPolicy: IfNotPresent
            command: [sh, -c, echo $ONE]
            env:
            - {name: ONE, valueFrom: {configMapKeyRef: {name: words, key: one}}}
    """)
    assert said == "eins\n"
    assert space.read("configmaps/words")["data"] == {"one": "eins"}
    assert space.patched("configmaps/words", {"data": {"two": "zwei"}})["data"] == {"one": "eins", "two": "zwei"}
    assert "NotFound" in space.refusal("get", "pod", "nobody")
    assert space.is_gone("apps/v1/deployments/nothing")
