"""The rules of Namespace, ServiceAccount, ConfigMap and Secret.

Source: documentation "Namespaces", "Service Accounts", "ConfigMaps", "Secrets"; API reference of core/v1;
k8s.io/kubernetes, registry/core (strategies).
"""

import base64
import binascii
import json
from collections.abc import Mapping, Sequence

from boxship.cluster.objects import Object, names
from boxship.cluster.objects.failure import Cause
from boxship.cluster.objects.kinds.checking import Found, child, immutable, kept
from boxship.cluster.objects.kinds.comparing import field_table, keep_status, path_of, same, take_spec_back
from boxship.cluster.objects.kinds.metadata import validate_finalizer_names
from boxship.cluster.objects.rules import Rules

SIZE_LIMIT_BYTES = 1024 * 1024
WHOLE = "[]"  # what the original calls the place of what is wrong with the whole object
NAME_LABEL = "kubernetes.io/metadata.name"
ACCOUNT_ANNOTATION = "kubernetes.io/service-account.name"
# Types of secrets that need keys in their data.
NEEDED_KEYS = {
    "kubernetes.io/dockercfg": (".dockercfg",),
    "kubernetes.io/dockerconfigjson": (".dockerconfigjson",),
    "kubernetes.io/tls": ("tls.crt", "tls.key"),
}


def _default_namespace(namespace: Object) -> None:
    name = path_of(namespace, "metadata", "name")
    if name:
        child(child(namespace, "metadata"), "labels")[NAME_LABEL] = name
    status = child(namespace, "status")
    if not status.get("phase"):
        status["phase"] = "Active"


def _create_namespace(namespace: Object) -> None:
    namespace["status"] = {"phase": "Active"}
    finalizers = child(namespace, "spec").setdefault("finalizers", [])
    if "kubernetes" not in finalizers:
        finalizers.append("kubernetes")


def _update_namespace(new: Object, old: Object) -> None:
    """Finalizers of the spec change only by the `finalize` subresource."""
    kept(child(new, "spec"), old.get("spec") or {}, "finalizers")
    keep_status(new, old)


def _validate_namespace(namespace: Object) -> Sequence[Cause]:
    found = Found()
    finalizers = path_of(namespace, "spec", "finalizers") or ()
    for finalizer in finalizers:
        found.because("spec.finalizers", finalizer, names.qualified(finalizer))
    plain = Found()
    validate_finalizer_names(plain, finalizers, "spec.finalizers")
    for cause in plain.causes:
        found.add(cause.reason, "spec.finalizers", cause.message)
    return found.causes


def _validate_namespace_status(new: Object, _: Object) -> Sequence[Cause]:
    found = Found()
    phase = path_of(new, "status", "phase") or ""
    if not path_of(new, "metadata", "deletionTimestamp"):
        if phase != "Active":
            found.invalid("status.Phase", phase, "may only be 'Active' if `deletionTimestamp` is empty")
    elif phase != "Terminating":
        found.invalid("status.Phase", phase, "may only be 'Terminating' if `deletionTimestamp` is not empty")
    return found.causes


def _validate_map(config: Object) -> Sequence[Cause]:
    found = Found()
    data, binary = config.get("data") or {}, config.get("binaryData") or {}
    size = 0
    for key, value in data.items():
        found.because(f"data[{key}]", key, names.config_key(key))
        if key in binary:
            found.invalid(f"data[{key}]", key, "duplicate of key present in binaryData")
        size += len(value) if value.isascii() else len(value.encode())
    for key, value in binary.items():
        found.because(f"binaryData[{key}]", key, names.config_key(key))
        size += decoded_length(value)
    if size > SIZE_LIMIT_BYTES:
        found.too_long(WHOLE, SIZE_LIMIT_BYTES)
    return found.causes


def decoded_length(text: str) -> int:
    """Bytes of base64."""
    return len(text) * 3 // 4 - text[-2:].count("=")


def _validate_frozen(found: Found, new: Object, old: Object, *keys: str) -> None:
    if not old.get("immutable"):
        return
    why = "field is immutable when `immutable` is set"
    if not new.get("immutable"):
        found.forbidden("immutable", why)
    for key in keys:
        if not same(new.get(key), old.get(key)):
            found.forbidden(key, why)


def _update_map(new: Object, old: Object) -> Sequence[Cause]:
    found = Found()
    _validate_frozen(found, new, old, "data", "binaryData")
    return found.causes


def _default_secret(secret: Object) -> None:
    """`stringData` is only written; it becomes data."""
    if not secret.get("type"):
        secret["type"] = "Opaque"
    plain = secret.pop("stringData", None)
    if plain:
        data = child(secret, "data")
        for key, value in plain.items():
            data[key] = base64.b64encode(value.encode()).decode()


def _prepare_secret_update(new: Object, old: Object) -> None:
    if not new.get("type"):
        new["type"] = old.get("type") or "Opaque"


def _validate_secret(secret: Object) -> Sequence[Cause]:
    found = Found()
    data: Mapping[str, str] = secret.get("data") or {}
    size = 0
    for key, value in data.items():
        found.because(f"data[{key}]", key, names.config_key(key))
        size += decoded_length(value or "")
    if size > SIZE_LIMIT_BYTES:
        found.too_long("data", SIZE_LIMIT_BYTES)
    kind = secret.get("type") or ""
    for key in NEEDED_KEYS.get(kind, ()):
        if key not in data:
            found.required(f"data[{key}]")
        elif kind != "kubernetes.io/tls":
            _validate_json(found, data[key] or "", f"data[{key}]")
    if kind == "kubernetes.io/service-account-token":
        if not path_of(secret, "metadata", "annotations", ACCOUNT_ANNOTATION):
            found.required(f"metadata.annotations[{ACCOUNT_ANNOTATION}]")
    elif kind == "kubernetes.io/basic-auth" and "username" not in data and "password" not in data:
        found.required("data[username]")
        found.required("data[password]")
    elif kind == "kubernetes.io/ssh-auth" and not data.get("ssh-privatekey"):
        found.required("data[ssh-privatekey]")
    return found.causes


def _validate_json(found: Found, text: str, path: str) -> None:
    hidden = "<secret contents redacted>"
    try:
        value = json.loads(base64.b64decode(text))
    except (ValueError, binascii.Error, RecursionError):
        found.invalid(path, hidden, "invalid character found: the value is no JSON")
        return
    if value is not None and not isinstance(value, dict):
        found.invalid(path, hidden, "json: cannot unmarshal into Go value of type map[string]interface {}")


def _update_secret(new: Object, old: Object) -> Sequence[Cause]:
    found = Found()
    immutable(found, new.get("type"), old.get("type"), "type")
    _validate_frozen(found, new, old, "data")
    return found.causes


def _account_warnings(account: Object) -> Sequence[str]:
    key = "kubernetes.io/enforce-mountable-secrets"
    if path_of(account, "metadata", "annotations", key) is None:
        return ()
    text = "deprecated in v1.32+; prefer separate namespaces to isolate access to mounted secrets"
    return (f"metadata.annotations[{key}]: {text}",)


RULES = {
    "Namespace": Rules(
        default=_default_namespace,
        prepare_create=_create_namespace,
        prepare_update=_update_namespace,
        prepare_status=take_spec_back,
        validate=_validate_namespace,
        validate_status=_validate_namespace_status,
        validate_name=names.label,
        fields=field_table(status_phase="Active")("status.phase"),
    ),
    "ServiceAccount": Rules(warnings=_account_warnings),
    "ConfigMap": Rules(
        validate=_validate_map,
        validate_update=_update_map,
        create_on_update=False,
    ),
    "Secret": Rules(
        default=_default_secret,
        prepare_update=_prepare_secret_update,
        validate=_validate_secret,
        validate_update=_update_secret,
        fields=field_table()("type"),
    ),
}
