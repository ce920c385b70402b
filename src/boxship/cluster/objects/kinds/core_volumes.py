"""The volumes of a pod.

Source: documentation "Volumes", "Projected Volumes", "Ephemeral Volumes", "Image Volumes"; API reference Volume.
"""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from boxship.cluster.objects import Object, names
from boxship.cluster.objects.kinds.checking import Found
from boxship.cluster.objects.kinds.core_claims import validate_claim_template
from boxship.cluster.objects.kinds.core_environment import VOLUME_FIELDS, validate_field, validate_resource_field
from boxship.cluster.objects.kinds.core_paths import validate_items, validate_local_path, validate_mode
from boxship.cluster.objects.kinds.core_resources import parsed
from boxship.cluster.objects.kinds.core_volume_sources import PORTAL_TEXT, validate_driver, validate_source
from boxship.cluster.objects.kinds.metadata import validate_label_selector

Source = Mapping[str, Any]
MORE_THAN_ONE = "may not specify more than 1 volume type"
PORTAL_LENGTH = 64
SHORTEST_TOKEN = 600
LONGEST_TOKEN = 2**32
LONGEST_CERTIFICATE = 91 * 86400
SHORTEST_CERTIFICATE = 3600
KEY_TYPES = ("ECDSAP256", "ECDSAP384", "ECDSAP521", "ED25519", "RSA3072", "RSA4096")
PULL_POLICIES = ("Always", "IfNotPresent", "Never")


def validate_volumes(
    found: Found, volumes: Sequence[Object], path: str, *, pod_name: str, is_pod: bool
) -> dict[str, Object]:
    """The volumes that are right, by name. `pod_name`: of the real pod, "" in a template."""
    right: dict[str, Object] = {}
    made = {f"{pod_name}-{each.get('name')}" for each in volumes if each.get("ephemeral")} if pod_name else set()
    for index, volume in enumerate(volumes):
        at = f"{path}[{index}]"
        before = len(found.causes)
        name = volume.get("name") or ""
        _validate_sources(found, volume, at, pod_name, is_pod)
        if not name:
            found.required(f"{at}.name")
        else:
            found.because(f"{at}.name", name, names.label(name))
        if name in right:
            found.duplicate(f"{at}.name", name)
        if len(found.causes) == before:
            right[name] = volume
        claim = (volume.get("persistentVolumeClaim") or {}).get("claimName")
        if claim and claim in made:
            why = "must not reference a PVC that gets created for an ephemeral volume"
            found.invalid(f"{at}.persistentVolumeClaim.claimName", claim, why)
    return right


def _validate_sources(found: Found, volume: Object, path: str, pod_name: str, is_pod: bool) -> None:
    seen = False
    for key, source in volume.items():
        if key == "name" or source is None:
            continue
        if seen:
            found.forbidden(f"{path}.{key}", MORE_THAN_ONE)
            continue
        seen = True
        at = f"{path}.{key}"
        if key == "projected":
            _validate_projected(found, source, at)
        elif key in ("secret", "configMap"):
            name = "secretName" if key == "secret" else "name"
            if not source.get(name):
                found.required(f"{at}.{name}")
            validate_mode(found, source, "defaultMode", at)
            if source.get("items"):
                validate_items(found, source, at)
        elif key == "emptyDir":
            if parsed(source.get("sizeLimit")).nanos < 0:
                found.forbidden(f"{at}.sizeLimit", "SizeLimit field must be a valid resource quantity")
        elif key == "downwardAPI":
            validate_mode(found, source, "defaultMode", at)
            for file in source.get("items") or ():
                _validate_file(found, file, at)
        elif key == "csi":
            _validate_csi(found, source, at)
        elif key == "ephemeral":
            _validate_ephemeral(found, source, volume, path, pod_name)
        elif key == "image":
            if is_pod and not source.get("reference"):
                found.required(f"{at}.reference")
            if source.get("pullPolicy") not in PULL_POLICIES:
                found.unsupported(f"{at}.pullPolicy", source.get("pullPolicy") or "", PULL_POLICIES)
        else:
            validate_source(found, key, source, path, persistent=False)
            if key == "iscsi" and source.get("initiatorName") is not None:
                name = volume.get("name") or ""
                if len(f"{name}:{source.get('targetPortal') or ''}") > PORTAL_LENGTH:
                    found.invalid(f"{path}.name", name, PORTAL_TEXT)
    if not seen:
        found.required(path, "must specify a volume type")


def _validate_csi(found: Found, source: Source, path: str) -> None:
    validate_driver(found, source.get("driver") or "", f"{path}.driver")
    secret = source.get("nodePublishSecretRef")
    if secret is not None:
        name = secret.get("name")
        if not name:
            found.required(f"{path}.nodePublishSecretRef.name")
        else:
            found.because(f"{path}.name", name, names.subdomain(name))


def _validate_ephemeral(found: Found, source: Source, volume: Source, path: str, pod_name: str) -> None:
    template = source.get("volumeClaimTemplate")
    if template is None:
        found.required(f"{path}.ephemeral.volumeClaimTemplate")
    else:
        validate_claim_template(found, template, f"{path}.ephemeral.volumeClaimTemplate")
    name = volume.get("name")
    if pod_name and name:
        claim = f"{pod_name}-{name}"
        why = names.subdomain(claim)
        if why:
            found.invalid(f"{path}.name", name, f'PVC name "{claim}": {why}')


def _validate_file(found: Found, file: Source, path: str) -> None:
    """A file with something of the pod in it."""
    place = file.get("path") or ""
    if not place:
        found.required(f"{path}.path")
    validate_local_path(found, place, f"{path}.path")
    field, resource = file.get("fieldRef"), file.get("resourceFieldRef")
    if field is not None:
        validate_field(found, field, VOLUME_FIELDS, f"{path}.fieldRef")
        if resource is not None:
            found.invalid(path, "resource", "fieldRef and resourceFieldRef can not be specified simultaneously")
    elif resource is not None:
        validate_resource_field(found, resource, f"{path}.resourceFieldRef", volume=True)
    else:
        found.required(path, "one of fieldRef and resourceFieldRef is required")
    validate_mode(found, file, "mode", path)


def _validate_projected(found: Found, projected: Source, path: str) -> None:
    validate_mode(found, projected, "defaultMode", path)
    taken: set[str] = set()
    for index, source in enumerate(projected.get("sources") or ()):
        at = f"{path}.sources[{index}]"
        count = 0
        for key, part in source.items():
            if part is None:
                continue
            count += 1
            if key in ("secret", "configMap"):
                name = part.get("name") or ""
                if not name:
                    found.required(f"{at}.{key}.name")
                validate_items(found, part, f"{at}.{key}")
                _take(found, ((item.get("path"), name) for item in part.get("items") or ()), taken, path)
            elif key == "downwardAPI":
                for file in part.get("items") or ():
                    _validate_file(found, file, f"{at}.{key}")
                _take(found, ((item.get("path"), item.get("path")) for item in part.get("items") or ()), taken, path)
            elif key == "serviceAccountToken":
                _validate_token(found, part, path, f"{at}.{key}")
            elif key == "clusterTrustBundle":
                _validate_bundle(found, part, f"{at}.{key}")
                _take(found, ((part.get("path"), part.get("path")),), taken, path)
            elif key == "podCertificate":
                _validate_certificate(found, part, f"{at}.{key}")
        if count > 1:
            found.forbidden(at, "may not specify more than 1 volume type per source")


def _take(found: Found, paths: Iterable[tuple[str | None, str | None]], taken: set[str], at: str) -> None:
    for path, shown in paths:
        if path and path in taken:
            found.invalid(at, shown or "", "conflicting duplicate paths")
        elif path:
            taken.add(path)


def _validate_token(found: Found, token: Source, volume_path: str, path: str) -> None:
    seconds = token.get("expirationSeconds") or 0
    if seconds < SHORTEST_TOKEN:
        found.invalid(f"{path}.expirationSeconds", seconds, "may not specify a duration less than 10 minutes")
    if seconds > LONGEST_TOKEN:
        found.invalid(f"{path}.expirationSeconds", seconds, "may not specify a duration larger than 2^32 seconds")
    if not token.get("path"):
        found.required(f"{volume_path}.path")
    else:
        validate_local_path(found, token["path"], f"{volume_path}.path")


def _validate_bundle(found: Found, bundle: Source, path: str) -> None:
    name, signer = bundle.get("name"), bundle.get("signerName")
    selector = bundle.get("labelSelector")
    if name is not None and signer is not None:
        found.invalid(path, bundle, "only one of name and signerName may be used")
    elif name is not None:
        if not name:
            found.required(f"{path}.name", "must be a valid object name")
        why = names.subdomain(name.rpartition(":")[2])
        if why:
            found.invalid(f"{path}.name", name, f"not a valid clustertrustbundlename: {why}")
        if selector is not None:
            found.invalid(f"{path}.labelSelector", selector, "labelSelector must be unset if name is specified")
    elif signer is not None:
        if not signer:
            found.required(f"{path}.signerName", "must be a valid signer name")
        _validate_signer(found, signer, f"{path}.signerName")
        validate_label_selector(found, selector, f"{path}.labelSelector")
    else:
        found.required(path, "either name or signerName must be specified")
    if not bundle.get("path"):
        found.required(f"{path}.path")
    validate_local_path(found, bundle.get("path") or "", f"{path}.path")


def _validate_signer(found: Found, signer: str, path: str) -> None:
    domain, slash, rest = signer.partition("/")
    if not signer:
        found.required(path)
    elif not slash or not rest or "." not in domain or names.subdomain(domain):
        found.invalid(path, signer, "must be a fully qualified domain and path of the form 'example.com/signer-name'")


def _validate_certificate(found: Found, certificate: Source, path: str) -> None:
    _validate_signer(found, certificate.get("signerName") or "", f"{path}.signerName")
    kind = certificate.get("keyType") or ""
    if kind not in KEY_TYPES:
        found.unsupported(f"{path}.keyType", kind, KEY_TYPES)
    seconds = certificate.get("maxExpirationSeconds")
    if seconds is not None and not SHORTEST_CERTIFICATE <= seconds <= LONGEST_CERTIFICATE:
        why = f"must be between {SHORTEST_CERTIFICATE} and {LONGEST_CERTIFICATE}, inclusive"
        found.invalid(f"{path}.maxExpirationSeconds", seconds, why)
    places = [key for key in ("credentialBundlePath", "keyPath", "certificateChainPath") if certificate.get(key)]
    if not places:
        why = "specify at least one of credentialBundlePath, keyPath, and certificateChainPath"
        found.required(path, why)
    for key in places:
        validate_local_path(found, certificate[key], f"{path}.{key}")
