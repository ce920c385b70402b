"""Which of the stored objects a request selects, by labels and fields, decoding as little as that needs.

What was found out about a value is remembered by its key and revision, so that a list and all watches look at each
state of an object once.
"""

from collections.abc import Mapping
from typing import Any, TypeVar

import msgspec

from boxship.cluster.api.catalog import Definition
from boxship.cluster.api.request import Options
from boxship.cluster.api.storage import place_of
from boxship.cluster.objects import Object, selectors
from boxship.cluster.objects.failure import bad_request
from boxship.store import Entry

FACTS_LIMIT = 20_000  # states of objects that are remembered, of labels and fields each
OF_THE_KEY = ("metadata.name", "metadata.namespace")

Place = TypeVar("Place")

_object_decoder = msgspec.json.Decoder(Object)


class _Labels(msgspec.Struct):
    labels: dict[str, str] | None = None


class _Labelled(msgspec.Struct):
    metadata: _Labels


class _PodSpec(msgspec.Struct, frozen=True):
    nodeName: Any = msgspec.UNSET
    restartPolicy: Any = msgspec.UNSET
    schedulerName: Any = msgspec.UNSET
    serviceAccountName: Any = msgspec.UNSET
    hostNetwork: Any = msgspec.UNSET


class _PodStatus(msgspec.Struct, frozen=True):
    phase: Any = msgspec.UNSET
    podIP: Any = msgspec.UNSET
    podIPs: Any = msgspec.UNSET
    nominatedNodeName: Any = msgspec.UNSET


class _Pod(msgspec.Struct, frozen=True):
    """What a pod can be selected by; the rest of it, which is most, is skipped over."""

    spec: _PodSpec = _PodSpec()
    status: _PodStatus = _PodStatus()


_pod_decoder = msgspec.json.Decoder(_Pod)
_labels_decoder = msgspec.json.Decoder(_Labelled)


class Facts:
    """Labels and selectable fields of states of objects, each found once."""

    def __init__(self) -> None:
        self._labels: dict[tuple[str, int], Mapping[str, str]] = {}
        self._fields: dict[tuple[str, int, str], Mapping[str, str]] = {}

    def labels(self, entry: Entry) -> Mapping[str, str]:
        place = (entry.key, entry.modified)
        found = self._labels.get(place)
        if found is None:
            found = _labels_decoder.decode(entry.value).metadata.labels or {}
            _remember(self._labels, place, found)
        return found

    def fields(self, definition: Definition, entry: Entry) -> Mapping[str, str]:
        place = (entry.key, entry.modified, definition.resource.group)
        found = self._fields.get(place)
        if found is None:
            if definition.resource.storage == "pods":
                object = msgspec.to_builtins(_pod_decoder.decode(entry.value))
            else:
                object = _object_decoder.decode(entry.value)
            found = definition.rules.fields(object)
            _remember(self._fields, place, found)
        return found


def _remember(known: dict[Place, Mapping[str, str]], place: Place, found: Mapping[str, str]) -> None:
    if len(known) >= FACTS_LIMIT:
        for old in [place for place, _ in zip(known, range(FACTS_LIMIT // 4), strict=False)]:
            del known[old]
    known[place] = found


class Selection:
    """What one request selects. Entries have open values in the storage version."""

    def __init__(self, definition: Definition, options: Options, facts: Facts, name: str = "") -> None:
        """`name`: only this object, as a watch of a single one asks. Raises Failure 400."""
        self._definition = definition
        self._resource = definition.resource
        self._facts = facts
        self._labels = selectors.parse_labels(options.label_selector)
        fields = selectors.parse_fields(options.field_selector)
        _check(definition, fields)
        self._named = tuple(term for term in fields.terms if term.field in OF_THE_KEY)
        self._fields = selectors.FieldSelector(tuple(term for term in fields.terms if term.field not in OF_THE_KEY))
        self.name = name or next((t.value for t in self._named if t.field == "metadata.name" and t.equal), "")
        self.namespace = next((t.value for t in self._named if t.field == "metadata.namespace" and t.equal), "")
        self.pinned = {term.field: term.value for term in self._fields.terms if term.equal}
        self._only = name
        self.empty = self._labels.nothing
        self.everything = self._labels.everything and not fields.terms and not name
        self.shape = (self._labels.text, fields.text, name)  # equal for requests that select the same

    def matches(self, entry: Entry) -> bool:
        if self.everything:
            return True
        if self._only or self._named:
            namespace, name = place_of(self._resource, entry.key)
            if self._only and name != self._only:
                return False
            for term in self._named:
                value = name if term.field == "metadata.name" else namespace
                if (value == term.value) is not term.equal:
                    return False
        if not self._labels.everything and not self._labels.matches(self._facts.labels(entry)):
            return False
        return not self._fields.terms or self._fields.matches(self._facts.fields(self._definition, entry))


def _check(definition: Definition, fields: selectors.FieldSelector) -> None:
    """Refuse fields that the kind cannot be selected by."""
    unknown = [term.field for term in fields.terms if term.field not in OF_THE_KEY]
    if not unknown:
        return
    known = definition.rules.fields({"metadata": {}})
    for field in unknown:
        if field not in known:
            raise bad_request(f"field label not supported: {field}")
