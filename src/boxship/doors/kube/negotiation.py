"""Media types: in which form an answer is wanted, and what a body is. Pure.

Answers are JSON, or YAML for who asks for that; objects as they are, as rows of a Table or as their metadata alone.
Protobuf is taken in bodies and never sent: clients that prefer it name JSON as well.
"""

import msgspec

from boxship.cluster.api.request import View
from boxship.cluster.objects.failure import bad_request, not_acceptable, unsupported_media_type
from boxship.cluster.objects.media_types import BODIES, CUSTOM_PATCHES, JSON, PATCHES, YAML

ANSWERS = (JSON, YAML)
STREAMS = (JSON,)
META_GROUP = "meta.k8s.io"
FORMS = {"Table": "table", "PartialObjectMetadata": "metadata", "PartialObjectMetadataList": "metadata"}
INCLUDES = ("", "None", "Metadata", "Object")
CLAUSES = 64  # of one Accept header
PRETTY_AGENTS = ("curl", "Wget", "Mozilla/5.0")


class Wanted(msgspec.Struct, frozen=True):
    """How to answer. `content_type` is as it is said to the client."""

    view: View = View()
    yaml: bool = False
    pretty: bool = False
    content_type: str = JSON


class Clause(msgspec.Struct, frozen=True):
    """One choice of an Accept header."""

    media_type: str
    parameters: dict[str, str]
    quality: float


def parse_accept(text: str) -> list[Clause]:
    """The choices, the best first; those that are not understood are left out."""
    found = []
    for part in text.split(",")[:CLAUSES]:
        fields = [field.strip() for field in part.split(";")]
        pairs = (field.partition("=") for field in fields[1:])
        parameters = {name.strip().lower(): value.strip().strip('"') for name, _, value in pairs}
        try:
            quality = float(parameters.pop("q", "1"))
        except ValueError:
            quality = 1.0
        if "/" in fields[0] and quality > 0:
            found.append(Clause(fields[0].lower(), parameters, quality))
    return sorted(found, key=lambda clause: -clause.quality)


def negotiate(accept: str, pretty: bool | None, agent: str, include: str, *, verb: str, tables: bool = True) -> Wanted:
    """The form of an answer. `include` is a Table's includeObject; without `tables` there are none. Raises Failure 406,
    400."""
    if accept in ("", JSON, "*/*") or accept == f"{JSON}, */*":
        shown = agent.startswith(PRETTY_AGENTS) if pretty is None else pretty
        return Wanted(pretty=shown and verb != "watch")
    offered = STREAMS if verb == "watch" else ANSWERS
    for clause in parse_accept(accept):
        wanted = _accept(clause, offered, include, verb)
        if wanted is not None and (tables or wanted.view.form != "table"):
            shown = agent.startswith(PRETTY_AGENTS) if pretty is None else pretty
            return msgspec.structs.replace(wanted, pretty=shown and verb != "watch" and not wanted.yaml)
    raise not_acceptable(offered)


def _accept(clause: Clause, offered: tuple[str, ...], include: str, verb: str) -> Wanted | None:
    """The form that one choice asks for, None where it is not to be had."""
    media_type = clause.media_type
    if media_type in ("*/*", "application/*"):
        media_type = JSON
    if media_type not in offered:
        return None
    form = clause.parameters.get("as", "")
    if not form:
        if clause.parameters.get("stream", "watch") != "watch":
            return None
        return Wanted(yaml=media_type == YAML, content_type=media_type)
    known = (clause.parameters.get("g"), clause.parameters.get("v")) == (META_GROUP, "v1")
    if not known or form not in FORMS or (form == "PartialObjectMetadataList" and verb not in ("list", "watch")):
        return None
    if include not in INCLUDES:
        raise bad_request(f'includeObject: unrecognized value: "{include[:100]}"')
    view = View(FORMS[form], include or "Metadata")
    return Wanted(view, yaml=media_type == YAML, content_type=media_type)


def media_type_of(content_type: str, *, patch: bool, custom: bool) -> str:
    """What a body is, by its header. Raises Failure 415."""
    name = content_type.partition(";")[0].strip().lower()
    if patch:
        offered = CUSTOM_PATCHES if custom else PATCHES
        if name not in offered:
            raise unsupported_media_type(offered)
        return name
    if not name:
        return JSON
    if name not in BODIES:
        raise unsupported_media_type(BODIES)
    return name
