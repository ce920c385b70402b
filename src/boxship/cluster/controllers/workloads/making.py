"""A pod of a template, for its owner."""

import copy
from collections.abc import Mapping

from boxship.cluster.controllers.workloads.claiming import reference
from boxship.cluster.objects import Object, names

PREFIX_LIMIT = 58  # characters: five random ones follow


def pod_of(template: Object, owner: Object) -> Object:
    """A new object; nothing of it is shared with the template."""
    given = template.get("metadata") or {}
    metadata: Object = {"namespace": owner["metadata"].get("namespace", ""), "ownerReferences": [reference(owner)]}
    for key in ("labels", "annotations"):
        if given.get(key):
            metadata[key] = dict(given[key])
    if given.get("finalizers"):
        metadata["finalizers"] = list(given["finalizers"])
    prefix = f"{owner['metadata']['name']}-"
    if names.subdomain(f"{prefix}a"):  # not a name for pods: without the hyphen
        prefix = owner["metadata"]["name"]
    metadata["generateName"] = prefix
    return {"apiVersion": "v1", "kind": "Pod", "metadata": metadata, "spec": copy.deepcopy(template.get("spec") or {})}


def with_labels(object: Object, more: Mapping[str, str]) -> Object:
    """In place; the object, for chaining."""
    metadata = object["metadata"]
    metadata["labels"] = {**(metadata.get("labels") or {}), **more}
    return object


def with_annotations(object: Object, more: Mapping[str, str]) -> Object:
    """In place; the object, for chaining."""
    metadata = object["metadata"]
    metadata["annotations"] = {**(metadata.get("annotations") or {}), **more}
    return object
