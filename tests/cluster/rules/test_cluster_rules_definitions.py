"""The rules of CustomResourceDefinitions, but for their schemas: the original's words."""

from typing import Any

import pytest
from rules_kit import changed, created, refused, updated

from boxship.cluster.objects.kinds import rules_of

GROUP = "apiextensions.k8s.io"
KIND = "CustomResourceDefinition"
DEFINITION: dict[str, Any] = {
    "metadata": {"name": "widgets.example.com"},
    "spec": {
        "group": "example.com",
        "scope": "Namespaced",
        "names": {"plural": "widgets", "kind": "Widget"},
        "versions": [
            {
                "name": "v1",
                "served": True,
                "storage": True,
                "schema": {"openAPIV3Schema": {"type": "object"}},
                "subresources": {"scale": {"specReplicasPath": ".spec.n", "statusReplicasPath": ".status.n"}},
                "additionalPrinterColumns": [{"name": "N", "type": "integer", "jsonPath": ".spec.n"}],
            }
        ],
    },
}
VERSION, AT = "spec.versions.0", "spec.versions[0]"
TWO = [{**DEFINITION["spec"]["versions"][0], "name": name, "storage": True} for name in ("v1", "v2")]
CASES: list[tuple[str, Any, str]] = [
    (
        "metadata.name",
        "w.example.com",
        'metadata.name: Invalid value: "w.example.com": must be spec.names.plural+"."+spec.group',
    ),
    ("spec.group", "", "spec.group: Required value"),
    ("spec.group", "example", 'spec.group: Invalid value: "example": should be a domain with at least one dot'),
    ("spec.scope", None, "spec.scope: Required value"),
    ("spec.scope", "World", 'spec.scope: Unsupported value: "World": supported values: "Cluster", "Namespaced"'),
    ("spec.names.kind", None, "spec.names.kind: Required value"),
    ("spec.names.plural", None, "spec.names.plural: Required value"),
    (
        "spec.names.listKind",
        "Widget",
        'spec.names.listKind: Invalid value: "Widget": kind and listKind may not be the same',
    ),
    (
        "spec.preserveUnknownFields",
        True,
        "spec.preserveUnknownFields: Invalid value: true: cannot set to true, set "
        "x-kubernetes-preserve-unknown-fields to "
        "true in spec.versions[*].schema instead",
    ),
    (
        "spec.versions",
        TWO,
        'spec.versions: Invalid value: ["v1","v2"]: must have exactly one version marked as storage version',
    ),
    ("spec.versions", [TWO[0], TWO[0]], 'spec.versions: Invalid value: ["v1","v1"]: must contain unique version names'),
    (f"{VERSION}.schema", None, f"{AT}.schema.openAPIV3Schema: Required value: schemas are required"),
    (
        f"{VERSION}.subresources.scale.specReplicasPath",
        ".status.n",
        f'{AT}.subresources.scale.specReplicasPath: Invalid value: ".status.n": should be a json path under .spec',
    ),
    (
        f"{VERSION}.subresources.scale.labelSelectorPath",
        ".metadata.x",
        f'{AT}.subresources.scale.labelSelectorPath: Invalid value: ".metadata.x": should be a json path under either '
        ".spec or .status",
    ),
    (
        f"{VERSION}.subresources.scale.statusReplicasPath",
        "",
        f"{AT}.subresources.scale.statusReplicasPath: Required value",
    ),
    (
        f"{VERSION}.additionalPrinterColumns.0.type",
        "float",
        f'{AT}.additionalPrinterColumns[0].type: Invalid value: "float": must be one of '
        "boolean,date,integer,number,string",
    ),
    (
        f"{VERSION}.additionalPrinterColumns.0.jsonPath",
        "",
        f"{AT}.additionalPrinterColumns[0].jsonPath: Required value",
    ),
    (
        f"{VERSION}.selectableFields",
        [{"jsonPath": ".metadata.name"}],
        f'{AT}.selectableFields[0].jsonPath: Invalid value: ".metadata.name": must not point to fields in metadata',
    ),
    (
        f"{VERSION}.selectableFields",
        [{"jsonPath": ".spec.a"}] * 2,
        f'{AT}.selectableFields[1].jsonPath: Duplicate value: ".spec.a"',
    ),
    (
        f"{VERSION}.deprecationWarning",
        "old",
        f'{AT}.deprecationWarning: Invalid value: "old": can only be set for deprecated versions',
    ),
    (
        "spec.conversion",
        {"strategy": "Odd"},
        'spec.conversion.strategy: Unsupported value: "Odd": supported values: "None", "Webhook"',
    ),
    (
        "spec.conversion",
        {"strategy": "Webhook"},
        "spec.conversion.webhook.clientConfig: Required value: required when strategy is set to Webhook",
    ),
    (
        "spec.conversion",
        {"strategy": "None", "webhook": {}},
        "spec.conversion.webhook: Forbidden: should not be set when strategy is not set to Webhook",
    ),
    (
        "spec.conversion",
        {"strategy": "Webhook", "webhook": {"clientConfig": {"url": "https://h"}, "conversionReviewVersions": ["v3"]}},
        'spec.conversion.webhook.conversionReviewVersions: Invalid value: ["v3"]: must include at least one of '
        "v1, v1beta1",
    ),
]


@pytest.mark.parametrize(("path", "value", "cause"), CASES)
def test_definitions(path: str, value: Any, cause: str) -> None:
    assert refused(GROUP, KIND, DEFINITION) == []
    assert cause in refused(GROUP, KIND, changed(DEFINITION, path, value))


def test_protected_groups_need_approval() -> None:
    mine = changed(changed(DEFINITION, "spec.group", "apps.k8s.io"), "metadata.name", "widgets.apps.k8s.io")
    (cause,) = refused(GROUP, KIND, mine)
    assert cause.startswith("metadata.annotations[api-approved.kubernetes.io]: Required value: protected groups must")
    approved = changed(mine, "metadata.annotations", {"api-approved.kubernetes.io": "https://example.com/1"})
    assert refused(GROUP, KIND, approved) == []


def test_defaults_of_definitions() -> None:
    made = created(GROUP, KIND, DEFINITION)
    assert made["spec"]["names"] == {
        "plural": "widgets",
        "kind": "Widget",
        "singular": "widget",
        "listKind": "WidgetList",
    }
    assert made["spec"]["conversion"] == {"strategy": "None"}
    assert made["status"]["storedVersions"] == ["v1"]


def test_versions_that_may_be_in_the_store_stay() -> None:
    second = {**DEFINITION["spec"]["versions"][0], "name": "v2"}
    first = {**DEFINITION["spec"]["versions"][0], "storage": False}
    both = changed(DEFINITION, "spec.versions", [first, second])
    assert updated(GROUP, KIND, DEFINITION, both) == []
    after = changed(both, "metadata.uid", "u")
    rules_of(GROUP, KIND).prepare_update(after, created(GROUP, KIND, DEFINITION))
    assert after["status"]["storedVersions"] == ["v1", "v2"]
    (cause,) = updated(GROUP, KIND, DEFINITION, changed(DEFINITION, "spec.versions", [second]))
    assert cause.startswith(
        'status.storedVersions[0]: Invalid value: "v1": missing from spec.versions; v1 was previously'
    )


def test_what_established_definitions_keep() -> None:
    old = created(GROUP, KIND, DEFINITION)
    new = changed(old, "spec.scope", "Cluster")
    assert list(rules_of(GROUP, KIND).validate_update(new, old)) == []
    old["status"]["conditions"] = [{"type": "Established", "status": "True"}]
    (cause,) = rules_of(GROUP, KIND).validate_update(new, old)
    assert (cause.field, cause.message) == ("spec.scope", 'Invalid value: "Cluster": field is immutable')
