"""Watches and lists of the API: from where they go on, what a selector shows, and lists that come in pieces."""

import contextlib
import threading
from typing import Any

import pytest
from conformance_kit import Space
from watching_kit import Watch, watching

pytestmark = pytest.mark.slow

MAPS = "configmaps"
WRITES = 30


def made(space: Space, name: str, label: str = "a") -> dict[str, Any]:
    return space.made(MAPS, {"metadata": {"name": name, "labels": {"watched": label}}})


def version(found: dict[str, Any]) -> str:
    return str(found["metadata"]["resourceVersion"])


# Covers: watch-configmaps-with-multiple-watchers.
def test_each_watch_sees_what_its_selector_names(space: Space) -> None:
    path, cluster = space.path(MAPS), space.cluster
    with (
        watching(cluster, path, labelSelector="watched=a") as of_a,
        watching(cluster, path, labelSelector="watched=b") as of_b,
        watching(cluster, path, labelSelector="watched in (a, b)") as of_both,
    ):
        made(space, "one")
        space.patched(f"{MAPS}/one", {"data": {"mutation": "1"}})
        space.patched(f"{MAPS}/one", {"data": {"mutation": "2"}})
        space.request("DELETE", f"{MAPS}/one")
        made(space, "two", "b")
        space.request("DELETE", f"{MAPS}/two")
        first = [("ADDED", "one"), ("MODIFIED", "one"), ("MODIFIED", "one"), ("DELETED", "one")]
        second = [("ADDED", "two"), ("DELETED", "two")]
        of_a.until(*first)
        of_b.until(*second)
        of_both.until(*first, *second)
        assert [each["object"].get("data") for each in of_a.events] == [
            None,
            {"mutation": "1"},
            {"mutation": "2"},
            {"mutation": "2"},
        ]


# Covers: watch-configmaps-from-resource-version; watch-configmaps-closed-and-restarted.
def test_a_watch_goes_on_from_the_version_that_it_is_given(space: Space) -> None:
    made(space, "one")
    first = version(space.patched(f"{MAPS}/one", {"data": {"mutation": "1"}}))
    space.patched(f"{MAPS}/one", {"data": {"mutation": "2"}})
    space.request("DELETE", f"{MAPS}/one")
    with watching(space.cluster, space.path(MAPS), labelSelector="watched", resourceVersion=first) as seen:
        seen.until(("MODIFIED", "one"), ("DELETED", "one"))
        assert seen.events[0]["object"]["data"] == {"mutation": "2"}
        made(space, "two")
        seen.until(("MODIFIED", "one"), ("DELETED", "one"), ("ADDED", "two"))
        last = seen.versions[-1]
    space.patched(f"{MAPS}/two", {"data": {"mutation": "1"}})
    space.request("DELETE", f"{MAPS}/two")
    with watching(space.cluster, space.path(MAPS), labelSelector="watched", resourceVersion=last) as seen:
        seen.until(("MODIFIED", "two"), ("DELETED", "two"))


# Covers: watch-configmaps-label-changed.
def test_what_stops_fitting_the_selector_is_told_as_deleted(space: Space) -> None:
    with watching(space.cluster, space.path(MAPS), labelSelector="watched=a") as seen:
        made(space, "one")
        space.patched(f"{MAPS}/one", {"data": {"mutation": "1"}})
        space.patched(f"{MAPS}/one", {"metadata": {"labels": {"watched": "other"}}})
        space.patched(f"{MAPS}/one", {"data": {"mutation": "2"}})
        space.patched(f"{MAPS}/one", {"metadata": {"labels": {"watched": "a"}}})
        space.patched(f"{MAPS}/one", {"data": {"mutation": "3"}})
        space.request("DELETE", f"{MAPS}/one")
        kinds = ("ADDED", "MODIFIED", "DELETED", "ADDED", "MODIFIED", "DELETED")
        seen.until(*((kind, "one") for kind in kinds))
        assert [(each["object"].get("data") or {}).get("mutation") for each in seen.events][2:] == ["1", "2", "3", "3"]


# Covers: watch-consistency.
def test_all_watches_see_changes_in_the_same_order(space: Space) -> None:
    """A writer makes, changes and deletes; from each event that the first watch sees, another watch is begun."""

    def write() -> None:
        for number in range(WRITES):
            name = f"m{number % 7}"
            if space.is_gone(f"{MAPS}/{name}"):
                made(space, name)
            elif number % 3:
                space.patched(f"{MAPS}/{name}", {"data": {"number": str(number)}})
            else:
                space.request("DELETE", f"{MAPS}/{name}")

    with contextlib.ExitStack() as open_watches:

        def begun(**query: str) -> Watch:
            return open_watches.enter_context(
                watching(space.cluster, space.path(MAPS), labelSelector="watched", **query)
            )

        first = begun()
        writer = threading.Thread(target=write)
        writer.start()
        later = []
        for place in range(WRITES):
            first.until_count(place + 1)
            later.append(begun(resourceVersion=first.versions[place]))
        writer.join()
        for place, watch in enumerate(later):
            rest = list(zip(first.told, first.versions, strict=True))[place + 1 :]
            watch.until_count(len(rest))
            assert list(zip(watch.told, watch.versions, strict=True)) == rest


TEMPLATES = 40
BOX = {"name": "c", "image": "busybox", "imagePullPolicy": "IfNotPresent"}


def pieces(space: Space, path: str) -> dict[str, Any]:
    answer = space.request("GET", path)
    assert answer.status == 200, answer.body
    found: dict[str, Any] = answer.object
    return found


# Covers: API Chunking, server should return chunks of results for list calls.
def test_a_list_comes_in_pieces_of_one_moment(space: Space) -> None:
    for number in range(TEMPLATES):
        space.made("podtemplates", {"metadata": {"name": f"t{number:02}"}, "template": {"spec": {"containers": [BOX]}}})
    names: list[str] = []
    token, moment = "", ""
    while True:
        found = pieces(space, f"podtemplates?limit=17&continue={token}")
        metadata = found["metadata"]
        assert len(found["items"]) <= 17
        assert metadata["resourceVersion"] == (moment or metadata["resourceVersion"])
        moment, token = metadata["resourceVersion"], metadata.get("continue", "")
        names += [each["metadata"]["name"] for each in found["items"]]
        assert metadata.get("remainingItemCount", 0) == TEMPLATES - len(names)
        assert bool(token) == (len(names) < TEMPLATES)
        if not token:
            break
        space.request("DELETE", f"podtemplates/t{TEMPLATES - 1}")  # of the moment, it goes on being shown
    assert names == [f"t{number:02}" for number in range(TEMPLATES)]
    assert len(pieces(space, "podtemplates")["items"]) == TEMPLATES - 1
