"""The rules of apiextensions.k8s.io: CustomResourceDefinition, but for the schemas in it, which are `custom`'s.

Source: apiextensions-apiserver/pkg/apis/apiextensions (defaults, validation), documentation
"CustomResourceDefinitions". Whether its names are free, and its conditions, are a controller's.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from boxship.cluster.objects import Object, names
from boxship.cluster.objects.custom.definitions import check_schemas
from boxship.cluster.objects.failure import Cause
from boxship.cluster.objects.kinds.admissionregistration_clients import default_client, validate_client
from boxship.cluster.objects.kinds.checking import Found, immutable, kept
from boxship.cluster.objects.rules import Rules

CLEANUP = "customresourcecleanup.apiextensions.k8s.io"  # the objects go before their definition
APPROVAL = "api-approved.kubernetes.io"
PROTECTED = (".k8s.io", ".kubernetes.io")
REVIEWS = ("v1", "v1beta1")
COLUMN_TYPES = ("boolean", "date", "integer", "number", "string")
COLUMN_FORMATS = ("binary", "byte", "date", "date-time", "double", "float", "int32", "int64", "password")
STORAGE = "must have exactly one version marked as storage version"
CASE = "may have mixed case, but should otherwise match: "
NO_SELECTABLE = 8
Item = Mapping[str, Any]


def _spec(object: Object) -> Object:
    spec: Object = object.get("spec") or {}
    return spec


def _versions(object: Object) -> list[Object]:
    versions: list[Object] = _spec(object).get("versions") or []
    return versions


def _default(object: Object) -> None:
    spec = object.setdefault("spec", {})
    words = spec.get("names")
    if words is not None and words.get("kind"):
        words["singular"] = words.get("singular") or words["kind"].lower()
        words["listKind"] = words.get("listKind") or f"{words['kind']}List"
    conversion = spec.setdefault("conversion", {"strategy": "None"})
    conversion["strategy"] = conversion.get("strategy") or "None"
    default_client((conversion.get("webhook") or {}).get("clientConfig"))


def _remember_storage(object: Object) -> None:
    """The version in which objects are stored from now on is among those that may be in the store."""
    status = object.setdefault("status", {})
    stored = status.setdefault("storedVersions", [])
    for version in _versions(object):
        if version.get("storage") and version.get("name") not in stored:
            stored.append(version.get("name"))


def _prepare_create(object: Object) -> None:
    object["status"] = {"acceptedNames": {"kind": "", "plural": ""}, "conditions": [], "storedVersions": []}
    _remember_storage(object)


def _prepare_update(new: Object, old: Object) -> None:
    kept(new, old, "status")
    new["status"] = dict(new.get("status") or {})
    new["status"]["storedVersions"] = list(new["status"].get("storedVersions") or ())
    _remember_storage(new)


def _validate_names(found: Found, words: Item, path: str) -> None:
    for key, check in (("plural", str), ("singular", str), ("kind", str.lower), ("listKind", str.lower)):
        value = words.get(key) or ""
        if not value:
            found.required(f"{path}.{key}")
            continue
        why = names.label_1035(check(value))
        found.because(f"{path}.{key}", value, why and (CASE + why if key in ("kind", "listKind") else why))
    if words.get("kind") and words.get("kind") == words.get("listKind"):
        found.invalid(f"{path}.listKind", words["listKind"], "kind and listKind may not be the same")
    for key in ("shortNames", "categories"):
        for index, word in enumerate(words.get(key) or ()):
            found.because(f"{path}.{key}[{index}]", word, names.label_1035(word))


def _wrong_path(path: str) -> str:
    """Why a path is not simple: dots and names only."""
    if not path.startswith("."):
        return "must be a simple json path starting with ."
    return "" if all(path[1:].split(".")) and not set(path) & set("[]*?()'\"") else "must be a simple json path"


def _validate_scale(found: Found, scale: Item, path: str) -> None:
    for key, roots in (("specReplicasPath", (".spec.",)), ("statusReplicasPath", (".status.",))):
        value = scale.get(key) or ""
        if not value:
            found.required(f"{path}.{key}")
        elif _wrong_path(value):
            found.invalid(f"{path}.{key}", value, _wrong_path(value))
        elif not value.startswith(roots):
            found.invalid(f"{path}.{key}", value, f"should be a json path under {roots[0][:-1]}")
    selector = scale.get("labelSelectorPath")
    if selector:
        if _wrong_path(selector):
            found.invalid(f"{path}.labelSelectorPath", selector, _wrong_path(selector))
        elif not selector.startswith((".spec.", ".status.")):
            found.invalid(f"{path}.labelSelectorPath", selector, "should be a json path under either .spec or .status")


def _validate_columns(found: Found, columns: Sequence[Item], path: str) -> None:
    for index, column in enumerate(columns):
        at = f"{path}[{index}]"
        kind, form, where = (column.get(key) or "" for key in ("type", "format", "jsonPath"))
        if not column.get("name"):
            found.required(f"{at}.name")
        if not kind:
            found.required(f"{at}.type", f"must be one of {','.join(COLUMN_TYPES)}")
        elif kind not in COLUMN_TYPES:
            found.invalid(f"{at}.type", kind, f"must be one of {','.join(COLUMN_TYPES)}")
        if form and form not in COLUMN_FORMATS:
            found.invalid(f"{at}.format", form, f"must be one of {','.join(COLUMN_FORMATS)}")
        if not where:
            found.required(f"{at}.jsonPath")
        elif not where.startswith("."):
            found.invalid(f"{at}.jsonPath", where, "must be a simple json path starting with .")


def _validate_selectable(found: Found, fields: Sequence[Item], path: str) -> None:
    if len(fields) > NO_SELECTABLE:
        found.too_many(path, len(fields), NO_SELECTABLE)
    seen = set()
    for index, field in enumerate(fields):
        where = field.get("jsonPath") or ""
        at = f"{path}[{index}].jsonPath"
        if not where:
            found.required(at)
        elif _wrong_path(where):
            found.invalid(at, where, "is an invalid path: " + _wrong_path(where))
        elif where.split(".")[1] == "metadata":
            found.invalid(at, where, "must not point to fields in metadata")
        if where in seen:
            found.duplicate(at, where)
        seen.add(where)


def _validate_versions(found: Found, object: Object) -> None:
    versions, path = _versions(object), "spec.versions"
    listed = [version.get("name") or "" for version in versions]
    for index, version in enumerate(versions):
        at = f"{path}[{index}]"
        found.because(f"{at}.name", listed[index], names.label_1035(listed[index]))
        if not (version.get("schema") or {}).get("openAPIV3Schema"):
            found.required(f"{at}.schema.openAPIV3Schema", "schemas are required")
        scale = (version.get("subresources") or {}).get("scale")
        if scale is not None:
            _validate_scale(found, scale, f"{at}.subresources.scale")
        _validate_columns(found, version.get("additionalPrinterColumns") or (), f"{at}.additionalPrinterColumns")
        _validate_selectable(found, version.get("selectableFields") or (), f"{at}.selectableFields")
        if version.get("deprecationWarning") is not None and not version.get("deprecated"):
            why = "can only be set for deprecated versions"
            found.invalid(f"{at}.deprecationWarning", version["deprecationWarning"], why)
    if len(set(listed)) != len(listed):
        found.invalid(path, listed, "must contain unique version names")
    if sum(bool(version.get("storage")) for version in versions) != 1:
        found.invalid(path, listed, STORAGE)
    stored = (object.get("status") or {}).get("storedVersions") or []
    if not stored:
        found.invalid("status.storedVersions", stored, "must have at least one stored version")
    for index, name in enumerate(stored):
        if name not in listed:
            why = (
                f"missing from spec.versions; {name} was previously a storage version, and must remain in "
                f"spec.versions until a storage migration ensures no data remains persisted in {name} and removes "
                f"{name} from status.storedVersions"
            )
            found.invalid(f"status.storedVersions[{index}]", name, why)


def _validate_conversion(found: Found, conversion: Item) -> None:
    path = "spec.conversion"
    strategy, webhook = conversion.get("strategy") or "", conversion.get("webhook")
    if not strategy:
        found.required(f"{path}.strategy")
    elif strategy not in ("None", "Webhook"):
        found.unsupported(f"{path}.strategy", strategy, ("None", "Webhook"))
    elif strategy == "None":
        if webhook is not None:
            found.forbidden(f"{path}.webhook", "should not be set when strategy is not set to Webhook")
    elif webhook is None or webhook.get("clientConfig") is None:
        found.required(f"{path}.webhook.clientConfig", "required when strategy is set to Webhook")
    else:
        validate_client(found, webhook["clientConfig"], f"{path}.webhook.clientConfig")
    if strategy == "Webhook":
        versions = (webhook or {}).get("conversionReviewVersions") or []
        at = f"{path}.webhook.conversionReviewVersions"
        if not versions:
            found.required(at)
        elif not set(versions) & set(REVIEWS):
            found.invalid(at, versions, f"must include at least one of {', '.join(REVIEWS)}")
        for index, version in enumerate(versions):
            if version in versions[:index]:
                found.invalid(f"{at}[{index}]", version, "duplicate version")
            found.because(f"{at}[{index}]", version, names.label_1035(version))


def _validate_approval(found: Found, object: Object, group: str) -> None:
    if not f".{group}".endswith(PROTECTED) or group.endswith("x-k8s.io"):
        return
    value = (object.get("metadata", {}).get("annotations") or {}).get(APPROVAL) or ""
    path = f"metadata.annotations[{APPROVAL}]"
    where = "see https://github.com/kubernetes/enhancements/pull/1111"
    if not value:
        found.required(path, f'protected groups must have approval annotation "{APPROVAL}", {where}')
    elif not value.startswith(("unapproved", "https://")):
        why = (
            f'protected groups must have approval annotation "{APPROVAL}" with either a URL or a reason starting with '
        )
        found.invalid(path, value, f'{why}"unapproved", {where}')


def _validate_outside(found: Found, object: Object) -> None:
    """Everything around the versions."""
    spec = _spec(object)
    group, scope, words = spec.get("group") or "", spec.get("scope") or "", spec.get("names") or {}
    name, needed = object.get("metadata", {}).get("name") or "", f"{words.get('plural') or ''}.{group}"
    if name != needed:
        found.invalid("metadata.name", name, 'must be spec.names.plural+"."+spec.group')
    if not group:
        found.required("spec.group")
    else:
        dots = "" if "." in group else "should be a domain with at least one dot"
        found.because("spec.group", group, names.subdomain(group) or dots)
    if not scope:
        found.required("spec.scope")
    elif scope not in ("Cluster", "Namespaced"):
        found.unsupported("spec.scope", scope, ("Cluster", "Namespaced"))
    if spec.get("preserveUnknownFields"):
        why = "cannot set to true, set x-kubernetes-preserve-unknown-fields to true in spec.versions[*].schema instead"
        found.invalid("spec.preserveUnknownFields", True, why)
    _validate_names(found, words, "spec.names")
    _validate_approval(found, object, group)


def checker(schemas: Callable[[Object], Sequence[Cause]]) -> Callable[[Object], Sequence[Cause]]:
    """The validation, with what says what is wrong in the schemas of the versions."""

    def validate(object: Object) -> Sequence[Cause]:
        found = Found()
        _validate_outside(found, object)
        _validate_versions(found, object)
        found.causes += schemas(object)
        _validate_conversion(found, _spec(object).get("conversion") or {})
        return found.causes

    return validate


def _validate_update(new: Object, old: Object) -> Sequence[Cause]:
    found = Found()
    after, before = _spec(new), _spec(old)
    immutable(found, after.get("group"), before.get("group"), "spec.group")
    conditions = (old.get("status") or {}).get("conditions") or ()
    if any(each.get("type") == "Established" and each.get("status") == "True" for each in conditions):
        immutable(found, after.get("scope"), before.get("scope"), "spec.scope")
        kinds = [(spec.get("names") or {}).get("kind") for spec in (after, before)]
        immutable(found, kinds[0], kinds[1], "spec.names.kind")
    return found.causes


RULES: Mapping[str, Rules] = {
    "CustomResourceDefinition": Rules(
        default=_default,
        prepare_create=_prepare_create,
        prepare_update=_prepare_update,
        validate=checker(check_schemas),
        finalizers=(CLEANUP,),
        validate_update=_validate_update,
        generation=True,
        needs_version=True,
    )
}
