"""Whether a custom kind's names are free, and what its status says of them."""

from typing import Any

from boxship.cluster.api.custom.names import condition_of, is_established, judged, neighbours
from boxship.cluster.objects import Object

NOW, LATER = "2026-01-01T00:00:00Z", "2026-01-02T00:00:00Z"


def definition(plural: str, kind: str, group: str = "example.com", **names: Any) -> Object:
    words = {"plural": plural, "singular": kind.lower(), "kind": kind, "listKind": f"{kind}List", **names}
    metadata = {"name": f"{plural}.{group}"}
    return {"metadata": metadata, "spec": {"group": group, "names": words}, "status": {"storedVersions": ["v1"]}}


def settled(made: Object, *others: Object, now: str = NOW) -> Object:
    return {**made, "status": judged(made, others, now)}


def test_free_names_are_accepted() -> None:
    made = settled(definition("jars", "Jar", shortNames=["j"], categories=["all"]))
    assert made["status"]["acceptedNames"] == {**made["spec"]["names"]}
    assert made["status"]["storedVersions"] == ["v1"]
    assert is_established(made)
    assert [(each["type"], each["status"], each["reason"]) for each in made["status"]["conditions"]] == [
        ("NamesAccepted", "True", "NoConflicts"),
        ("Established", "True", "InitialNamesAccepted"),
    ]


def test_nothing_changes_when_nothing_happens() -> None:
    made = settled(definition("jars", "Jar"))
    assert judged(made, (), LATER) == made["status"]


def test_taken_names_are_not() -> None:
    first = settled(definition("jars", "Jar", shortNames=["j"]))
    for names, reason, message in (
        ({"kind": "Jar", "plural": "pots"}, "KindConflict", '"Jar" is already in use'),
        ({"kind": "Pot", "plural": "jars"}, "PluralConflict", '"jars" is already in use'),
        ({"kind": "Pot", "plural": "pots", "singular": "jar"}, "SingularConflict", '"jar" is already in use'),
        ({"kind": "Pot", "plural": "pots", "listKind": "JarList"}, "ListKindConflict", '"JarList" is already in use'),
        ({"kind": "Pot", "plural": "pots", "shortNames": ["j"]}, "ShortNamesConflict", '"j" is already in use'),
    ):
        words: dict[str, Any] = {**names}
        plural, kind = words.pop("plural"), words.pop("kind")
        words.setdefault("singular", "pot")
        words.setdefault("listKind", "PotList")
        second = settled(definition(plural, kind, **words), first)
        accepted = second["status"]["conditions"][0]
        assert (accepted["status"], accepted["reason"], accepted["message"]) == ("False", reason, message)
        assert condition_of(second, "Established") == "False"
        freed = settled(second, now=LATER)
        assert is_established(freed)
        assert {each["lastTransitionTime"] for each in freed["status"]["conditions"]} == {LATER}


def test_who_was_first_stays_established() -> None:
    first = settled(definition("jars", "Jar"))
    second = settled(definition("pots", "Jar", singular="pot", listKind="PotList"), first)
    assert is_established(settled(first, second))


def test_other_groups_do_not_count() -> None:
    first, other = definition("jars", "Jar"), definition("jars", "Jar", "example.org")
    second = definition("pots", "Pot")
    assert neighbours(first, [first, other, second]) == [second]
