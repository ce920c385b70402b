"""Objects, types and small words for the tests of server-side apply."""

import copy
from typing import Any

from boxship.cluster.objects.apply import apply, update_managed
from boxship.cluster.objects.schema.builtin import load
from boxship.cluster.objects.schema.types import Form, Type

SCHEMAS = load(None)
DEPLOYMENT = SCHEMAS.type_of("apps", "v1", "Deployment")
SERVICE = SCHEMAS.type_of("", "v1", "Service")
CONFIG_MAP = SCHEMAS.type_of("", "v1", "ConfigMap")
TEXT = Type(Form.STRING)
NUMBER = Type(Form.INTEGER)
ITEM = Type(
    Form.OBJECT,
    fields={"key": TEXT, "value": TEXT, "count": NUMBER, "tags": Type(Form.LIST, items=TEXT, list_type="set")},
)
THING = Type(
    Form.OBJECT,
    fields={
        "apiVersion": TEXT,
        "kind": TEXT,
        "metadata": SCHEMAS.definition("io.k8s.apimachinery.pkg.apis.meta.v1.ObjectMeta"),
        "spec": Type(
            Form.OBJECT,
            fields={
                "text": TEXT,
                "number": NUMBER,
                "set": Type(Form.LIST, items=TEXT, list_type="set"),
                "items": Type(Form.LIST, items=ITEM, list_type="map", list_keys=("key",)),
                "atomic": Type(Form.LIST, items=ITEM),
                "whole": Type(Form.OBJECT, fields={"a": TEXT, "b": TEXT}, atomic=True),
                "map": Type(Form.MAP, items=TEXT),
                "struct": Type(Form.OBJECT, fields={"a": TEXT, "b": TEXT}),
                "free": Type(Form.ANY, keeps_unknown=True),
            },
        ),
        "status": Type(Form.OBJECT, fields={"phase": TEXT}),
    },
)
VERSION = "example.com/v1"
TIMES = [f"2026-11-22T12:00:{second:02d}Z" for second in range(60)]


def thing(**spec: Any) -> dict[str, Any]:
    return {"apiVersion": VERSION, "kind": "Thing", "metadata": {"name": "t", "namespace": "n"}, "spec": spec}


def applied(
    live: Any, spec: dict[str, Any], manager: str = "one", at: int = 0, force: bool = False, type_: Type = THING
) -> Any:
    """Apply a thing's spec; None: without one."""
    config = thing(**(spec or {}))
    if spec is None:
        del config["spec"]
    return apply(live, config, type_, manager=manager, api_version=VERSION, force=force, now=TIMES[at])


def updated(live: Any, new: dict[str, Any], manager: str = "writer", at: int = 0, **options: Any) -> Any:
    """Write a whole object (or, for a thing, its spec) by an update."""
    new = copy.deepcopy(new if "kind" in new else {**(live or thing()), "spec": new})
    update_managed(live, new, THING, manager=manager, api_version=VERSION, now=TIMES[at], **options)
    return new


def owners(object: Any) -> dict[str, Any]:
    """Each manager's fields below spec."""
    return {
        entry["manager"]: entry["fieldsV1"].get("f:spec", {}) for entry in object["metadata"].get("managedFields", ())
    }
