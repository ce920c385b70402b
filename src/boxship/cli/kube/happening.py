"""Which events are about an object. Pure."""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from boxship.cli.kube.config import Object
else:
    Object = dict


def terms_of(made: Object) -> str:
    """The field selector of its events. Of a Node by its name alone: agents write that where others write its uid."""
    metadata = made["metadata"]
    term = "involvedObject.kind=Node" if made.get("kind") == "Node" else f"involvedObject.uid={metadata.get('uid', '')}"
    return f"involvedObject.name={metadata['name']},{term}"
