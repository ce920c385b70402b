"""The revisions of a deployment (its replica sets) or of a stateful or daemon set (its controller revisions)."""

from __future__ import annotations

from boxship.cli.call import Failure
from boxship.cli.kube.naming import Named
from boxship.cli.kube.server import Server

TYPE_CHECKING = False
if TYPE_CHECKING:
    from boxship.cli.kube.config import Object
else:
    Object = dict

REVISION = "deployment.kubernetes.io/revision"
CAUSE = "kubernetes.io/change-cause"
HASH = "pod-template-hash"


class Revision:
    """One: its number, why it was made, and the pod template (or patch) that it stands for."""

    __slots__ = ("cause", "number", "template")

    def __init__(self, number: int, cause: str, template: Object) -> None:
        self.number = number
        self.cause = cause
        self.template = template


def revisions(server: Server, of: Named) -> list[Revision]:
    """Those that are kept, the oldest first."""
    owner = server.ask("GET", of.kind.path(server.namespace, of.name))
    uid = owner["metadata"]["uid"]
    deployment = of.kind.plural == "deployments"
    kind = server.kind("replicasets.apps" if deployment else "controllerrevisions.apps")
    found = []
    for item in server.ask("GET", kind.path(server.namespace)).get("items") or []:
        if not any(
            each["uid"] == uid and each.get("controller") for each in item["metadata"].get("ownerReferences", ())
        ):
            continue
        marks = item["metadata"].get("annotations") or {}
        if deployment:
            number, template = int(marks.get(REVISION) or 0), item["spec"]["template"]
        else:
            number, template = (
                int(item.get("revision") or 0),
                ((item.get("data") or {}).get("spec") or {}).get("template") or {},
            )
        found.append(Revision(number, marks.get(CAUSE, "<none>"), template))
    return sorted(found, key=lambda revision: revision.number)


def show(name: str, found: list[Revision], wanted: int) -> str:
    """The table, or one revision in full. Raises Failure."""
    from boxship.cli.kube.printing import aligned
    from boxship.wire.yaml_text import write

    if wanted:
        for revision in found:
            if revision.number == wanted:
                return f"{name} with revision #{wanted}\n{write({'template': _plain(revision.template)}).decode()}"
        raise Failure(f"unable to find the specified revision {wanted} of {name}")
    rows = [["REVISION", "CHANGE-CAUSE"], *([str(each.number), each.cause] for each in found)]
    return f"{name}\n{aligned(rows)}"


def undo(server: Server, of: Named, found: list[Revision], wanted: int) -> None:
    """Write the template of an earlier revision back. Raises Failure where there is none."""
    shown = of.kind.shown(of.name)
    if wanted:
        chosen = [each for each in found if each.number == wanted]
        if not chosen:
            raise Failure(f"unable to find specified revision {wanted} in history of {shown}")
    else:
        chosen = found[-2:-1]
        if not chosen:
            raise Failure(f"no rollout history found for {shown}")
    template = _plain(chosen[0].template)
    patch = [{"op": "replace", "path": "/spec/template", "value": template}]
    path = of.kind.path(server.namespace, of.name)
    query = {"fieldManager": "boxship-rollout"}
    server.ask("PATCH", path, query, patch, media_type="application/json-patch+json")


def _plain(template: Object) -> Object:
    """Without what the controller added, and what a controller revision's patch says of itself."""
    metadata = dict(template.get("metadata") or {})
    labels = {key: value for key, value in (metadata.get("labels") or {}).items() if key != HASH}
    if labels:
        metadata["labels"] = labels
    return {key: value for key, value in {**template, "metadata": metadata}.items() if not key.startswith("$")}
