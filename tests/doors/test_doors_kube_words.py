"""The Kubernetes door's pure parts: paths, query parameters, media types, discovery's order, warnings."""

from typing import Any

import pytest

from boxship.cluster.api import versions
from boxship.cluster.api.request import View
from boxship.cluster.objects.failure import Failure
from boxship.doors.kube.discovery import version_rank
from boxship.doors.kube.door import new_id, warning_header
from boxship.doors.kube.negotiation import media_type_of, negotiate
from boxship.doors.kube.openapi import V2_PROTOBUF, wants_binary
from boxship.doors.kube.paths import read_path
from boxship.doors.kube.query import deadline, read_options
from boxship.doors.kube.site import wanted_form


@pytest.mark.parametrize(
    ("method", "path", "want"),
    [
        ("GET", "/api/v1/pods", {"verb": "list", "plural": "pods"}),
        ("GET", "/api/v1/namespaces/a/pods", {"verb": "list", "plural": "pods", "namespace": "a"}),
        ("GET", "/api/v1/namespaces/a/pods/b", {"verb": "get", "plural": "pods", "namespace": "a", "name": "b"}),
        ("HEAD", "/api/v1/namespaces/a/pods/b", {"verb": "get", "plural": "pods", "namespace": "a", "name": "b"}),
        (
            "PUT",
            "/api/v1/namespaces/a/pods/b/status",
            {"verb": "update", "plural": "pods", "namespace": "a", "name": "b", "subresource": "status"},
        ),
        ("GET", "/api/v1/namespaces", {"verb": "list", "plural": "namespaces"}),
        ("GET", "/api/v1/namespaces/a", {"verb": "get", "plural": "namespaces", "namespace": "a", "name": "a"}),
        (
            "PUT",
            "/api/v1/namespaces/a/finalize",
            {"verb": "update", "plural": "namespaces", "namespace": "a", "name": "a", "subresource": "finalize"},
        ),
        (
            "GET",
            "/api/v1/namespaces/a/status",
            {"verb": "get", "plural": "namespaces", "namespace": "a", "name": "a", "subresource": "status"},
        ),
        ("POST", "/api/v1/namespaces/a/pods", {"verb": "create", "plural": "pods", "namespace": "a"}),
        ("DELETE", "/api/v1/namespaces/a/pods", {"verb": "deletecollection", "plural": "pods", "namespace": "a"}),
        (
            "DELETE",
            "/apis/apps/v1/namespaces/a/deployments/b",
            {"group": "apps", "verb": "delete", "plural": "deployments", "namespace": "a", "name": "b"},
        ),
        ("GET", "/apis/apps/v1/deployments", {"group": "apps", "verb": "list", "plural": "deployments"}),
        ("GET", "/api/v1/watch/pods", {"verb": "watch", "plural": "pods"}),
        (
            "GET",
            "/api/v1/watch/namespaces/a/pods/b",
            {"verb": "watch", "plural": "pods", "namespace": "a", "name": "b"},
        ),
        (
            "GET",
            "/api/v1/namespaces/a/services/b:80/proxy/x/y",
            {
                "verb": "get",
                "plural": "services",
                "namespace": "a",
                "name": "b:80",
                "subresource": "proxy",
                "rest": "x/y",
            },
        ),
        ("GET", "/api/v1/nodes/n/proxy/", {"verb": "get", "plural": "nodes", "name": "n", "subresource": "proxy"}),
    ],
)
def test_paths_of_resources(method: str, path: str, want: dict[str, Any]) -> None:
    target = read_path(method, path)
    assert target is not None
    empty = {"group": "", "namespace": "", "name": "", "subresource": "", "rest": ""}
    found = {name: getattr(target, name) for name in (*empty, "verb", "plural")}
    assert found == {**empty, **want} and target.version == "v1"


@pytest.mark.parametrize("path", ["/", "", "/api", "/api/v1", "/apis/apps/v1", "/healthz", "/x/y/z/a", "/api/v1/"])
def test_paths_of_nothing(path: str) -> None:
    assert read_path("GET", path) is None


def options(verb: str, media_type: str = "", **query: Any) -> Any:
    return read_options(verb, {name: [value] for name, value in query.items()}, media_type)


def test_options() -> None:
    found = options("list", labelSelector="a=b", limit="5", resourceVersion="7", resourceVersionMatch="Exact")
    assert (found.label_selector, found.limit, found.version, found.match) == ("a=b", 5, "7", "Exact")
    found = options(
        "watch",
        timeoutSeconds="9",
        allowWatchBookmarks="true",
        sendInitialEvents="1",
        resourceVersionMatch="NotOlderThan",
    )
    assert (found.timeout, found.bookmarks, found.initial_events) == (9.0, True, True)
    found = options("create", dryRun="All", fieldManager="me", fieldValidation="Strict")
    assert (found.dry_run, found.field_manager, found.field_validation) == (True, "me", "Strict")
    assert options("create", other="x").field_validation == "Warn"
    found = options("delete", propagationPolicy="Orphan", gracePeriodSeconds="0", dryRun="All")
    assert (found.propagation, found.grace, found.dry_run) == ("Orphan", 0, True)
    assert options("delete", orphanDependents="true").propagation == "Orphan"
    assert options("patch", "application/apply-patch+yaml", fieldManager="me", force="true").force
    assert options("connect", stdin="true").parameters == {"stdin": ("true",)}
    assert deadline({"timeout": ["30s"]}, 60) == 30 and deadline({"timeout": ["2h"]}, 60) == 60


@pytest.mark.parametrize(
    ("verb", "query", "code", "text"),
    [
        ("list", {"limit": "x"}, 400, 'strconv.ParseInt: parsing "x": invalid syntax'),
        (
            "list",
            {"timeoutSeconds": "9" * 25},
            400,
            f'strconv.ParseInt: parsing "{"9" * 25}": value out of range',
        ),
        (
            "list",
            {"resourceVersionMatch": "Exact"},
            422,
            'ListOptions.meta.k8s.io "" is invalid: resourceVersionMatch: Forbidden: resourceVersionMatch is forbidden'
            " unless resourceVersion is provided",
        ),
        (
            "list",
            {"resourceVersionMatch": "X", "resourceVersion": "1"},
            422,
            'ListOptions.meta.k8s.io "" is invalid: resourceVersionMatch: Unsupported value: "X": supported values: '
            '"Exact", "NotOlderThan", ""',
        ),
        (
            "list",
            {"sendInitialEvents": "true"},
            422,
            'ListOptions.meta.k8s.io "" is invalid: sendInitialEvents: Forbidden: sendInitialEvents is forbidden for'
            " list",
        ),
        (
            "watch",
            {"sendInitialEvents": "true"},
            422,
            'ListOptions.meta.k8s.io "" is invalid: resourceVersionMatch: Forbidden: sendInitialEvents requires setting'
            " resourceVersionMatch to NotOlderThan",
        ),
        (
            "create",
            {"dryRun": "None"},
            422,
            'CreateOptions.meta.k8s.io "" is invalid: dryRun: Unsupported value: ["None"]: supported values: "All"',
        ),
        (
            "create",
            {"fieldValidation": "x"},
            422,
            'CreateOptions.meta.k8s.io "" is invalid: fieldValidation: Unsupported value: "x": supported values: "", '
            '"Ignore", "Strict", "Warn"',
        ),
        (
            "update",
            {"fieldManager": "x" * 129},
            422,
            'UpdateOptions.meta.k8s.io "" is invalid: fieldManager: Too long: may not be more than 128 bytes',
        ),
        (
            "patch",
            {"force": "true"},
            422,
            'PatchOptions.meta.k8s.io "" is invalid: force: Forbidden: may not be specified for non-apply patch',
        ),
        (
            "delete",
            {"propagationPolicy": "x"},
            422,
            'DeleteOptions.meta.k8s.io "" is invalid: propagationPolicy: Unsupported value: "x": supported values: '
            '"Foreground", "Background", "Orphan", "nil"',
        ),
    ],
)
def test_wrong_options(verb: str, query: dict[str, str], code: int, text: str) -> None:
    check = {"list": versions.check_list, "watch": versions.check_watch}.get(verb, id)
    with pytest.raises(Failure) as caught:
        check(options(verb, **query))
    assert (caught.value.code, str(caught.value)) == (code, text)


def test_an_apply_needs_its_manager() -> None:
    with pytest.raises(Failure, match="fieldManager: Required value: is required for apply patch"):
        options("patch", "application/apply-patch+yaml")


TABLE = "application/json;as=Table;v=v1;g=meta.k8s.io"
METADATA = "application/json;as=PartialObjectMetadataList;v=v1;g=meta.k8s.io"
PROTOBUF = "application/vnd.kubernetes.protobuf"


@pytest.mark.parametrize(
    ("accept", "verb", "view", "yaml"),
    [
        ("", "get", View(), False),
        ("*/*", "get", View(), False),
        ("application/json", "list", View(), False),
        ("application/json, */*", "list", View(), False),
        ("application/yaml", "get", View(), True),
        (f"{PROTOBUF},application/json", "get", View(), False),
        (f"{PROTOBUF};q=0.9, application/yaml;q=0.1,*/*;q=0.5", "get", View(), False),
        (f"{TABLE},application/json", "list", View("table"), False),
        (f"application/json;as=Table;v=v1beta1;g=meta.k8s.io,{TABLE}", "list", View("table"), False),
        (f"{METADATA},application/json", "list", View("metadata"), False),
        (f"{METADATA},application/json", "get", View(), False),
        ("application/json;stream=watch", "watch", View(), False),
    ],
)
def test_what_is_accepted(accept: str, verb: str, view: View, yaml: bool) -> None:
    wanted = negotiate(accept, None, "kubectl", "", verb=verb)
    assert (wanted.view, wanted.yaml, wanted.pretty) == (view, yaml, False)


@pytest.mark.parametrize("accept", ["text/html", PROTOBUF, "application/json;as=Tree;v=v1;g=meta.k8s.io", ";;,"])
def test_what_is_not_acceptable(accept: str) -> None:
    with pytest.raises(Failure) as caught:
        negotiate(accept, None, "", "", verb="get")
    assert caught.value.code == 406
    assert str(caught.value).startswith("only the following media types are accepted: application/json")


def test_pretty_answers_and_rows_with_objects() -> None:
    assert negotiate("*/*", None, "curl/8", "", verb="get").pretty
    assert not negotiate("*/*", None, "curl/8", "", verb="watch").pretty
    assert negotiate("", True, "x", "", verb="get").pretty and not negotiate("", False, "curl", "", verb="get").pretty
    assert negotiate(TABLE, None, "", "Object", verb="list").view == View("table", "Object")
    assert negotiate(f"{TABLE},application/json", None, "", "", verb="create", tables=False).view == View()
    with pytest.raises(Failure, match="only the following media types are accepted"):
        negotiate(TABLE, None, "", "", verb="create", tables=False)
    with pytest.raises(Failure, match="includeObject"):
        negotiate(TABLE, None, "", "All", verb="list")


def test_media_types_of_bodies() -> None:
    assert media_type_of("", patch=False, custom=False) == "application/json"
    assert media_type_of("application/yaml; charset=utf-8", patch=False, custom=False) == "application/yaml"
    strategic = "application/strategic-merge-patch+json"
    assert media_type_of(strategic, patch=True, custom=False) == strategic
    for content_type, patch, custom in (("text/plain", False, False), (strategic, True, True), ("", True, False)):
        with pytest.raises(Failure) as caught:
            media_type_of(content_type, patch=patch, custom=custom)
        assert caught.value.code == 415
        assert str(caught.value).startswith("the body of the request was in an unknown format - accepted media types")


def test_forms_of_discovery() -> None:
    v2 = "application/json;g=apidiscovery.k8s.io;v=v2;as=APIGroupDiscoveryList"
    old = "application/json;g=apidiscovery.k8s.io;v=v2beta1;as=APIGroupDiscoveryList"
    assert wanted_form(f"{v2},{old},application/json") == v2
    assert wanted_form(f"{old},application/json") == old
    assert wanted_form("application/json, */*") == wanted_form("") == "application/json"
    with pytest.raises(Failure):
        wanted_form("text/html")


def test_forms_of_openapi() -> None:
    assert wants_binary("application/com.github.proto-openapi.spec.v2@v1.0+protobuf", "v2")
    assert wants_binary(V2_PROTOBUF, "v2")
    assert not wants_binary("application/json, */*", "v2") and not wants_binary("", "v3")
    with pytest.raises(Failure):
        wants_binary(V2_PROTOBUF, "v3")


def test_the_order_of_versions() -> None:
    names = [
        "foo10",
        "v1alpha1",
        "v2",
        "v11beta2",
        "v3beta1",
        "v12alpha1",
        "v10",
        "v1",
        "foo1",
        "v11alpha2",
        "v10beta3",
    ]
    want = ["v10", "v2", "v1", "v11beta2", "v10beta3", "v3beta1", "v12alpha1", "v11alpha2", "v1alpha1", "foo1", "foo10"]
    assert sorted(names, key=version_rank) == want


def test_warnings_as_a_header() -> None:
    assert warning_header(['say "x\\y"\n', "b", "b"]) == '299 - "say \\"x\\\\y\\" ", 299 - "b"'
    assert len(warning_header([f"{number} " + "x" * 300 for number in range(100)]).encode()) < 5000


def test_ids_look_like_uuids() -> None:
    assert len(new_id()) == 36 and new_id()[14] == "4" and new_id() != new_id()
