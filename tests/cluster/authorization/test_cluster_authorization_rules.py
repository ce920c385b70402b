"""Rules and roles by themselves: what they allow, what one covers of another, and how the answers read."""

import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from boxship.cluster.api.authorization.authorizer import forbidden, is_public, named
from boxship.cluster.api.authorization.needs import needs_of
from boxship.cluster.api.authorization.roles import Roles
from boxship.cluster.api.authorization.rules import EVERYTHING, Rule, breadth, compacted, missing, rules_of
from boxship.cluster.api.bootstrap import controllers, roles
from boxship.cluster.api.request import Ask, User

JANE = User("jane", ("developers", "system:authenticated"))
RBAC = "rbac.authorization.k8s.io"


def rule(verbs: str, groups: str, resources: str, names: str = "") -> Rule:
    return Rule(tuple(verbs.split()), tuple(groups.split(",")), tuple(resources.split()), tuple(names.split()))


@pytest.mark.parametrize(
    ("resources", "asked", "allowed"),
    [
        ("pods", "pods", True),
        ("pods", "pods/log", False),
        ("pods/log", "pods/log", True),
        ("pods/log", "pods", False),
        ("*", "pods/log", True),
        ("*/scale", "deployments/scale", True),
        ("*/scale", "deployments", False),
        ("*/scale", "deployments/status", False),
        ("pods/*", "pods/log", False),
    ],
)
def test_which_resources_a_rule_is_for(resources: str, asked: str, allowed: bool) -> None:
    assert rule("get", "", resources).allows_resource("", asked) is allowed


@pytest.mark.parametrize(
    ("own", "path", "allowed"),
    [
        ("/healthz", "/healthz", True),
        ("/healthz", "/healthz/etcd", False),
        ("/healthz/*", "/healthz/etcd", True),
        ("/healthz*", "/healthz", True),
        ("*", "/metrics", True),
    ],
)
def test_which_paths_a_rule_is_for(own: str, path: str, allowed: bool) -> None:
    assert Rule(("get",), paths=(own,)).allows_path(path) is allowed


def test_what_is_missing_reads_as_in_the_original() -> None:
    owned = [rule("get list", "", "pods"), rule("*", "apps", "*"), rule("get", "", "secrets", "mine")]
    wanted = [
        rule("get list watch", "", "pods secrets"),
        rule("delete", "apps", "deployments"),
        rule("get", "", "secrets", "mine other"),
    ]
    texts = {one.text() for one in compacted(missing(owned, wanted))}
    assert texts == {
        '{APIGroups:[""], Resources:["pods"], Verbs:["watch"]}',
        '{APIGroups:[""], Resources:["secrets"], Verbs:["get" "list" "watch"]}',
        '{APIGroups:[""], Resources:["secrets"], ResourceNames:["other"], Verbs:["get"]}',
    }
    assert missing([Rule(("*",), paths=("*",))], [Rule(("get",), paths=("/x",))]) == []
    assert missing(EVERYTHING, wanted) == []


WORDS = st.lists(st.sampled_from(["a", "b", "*"]), min_size=1, max_size=2).map(tuple)
RULES = st.lists(st.builds(Rule, WORDS, WORDS, WORDS), max_size=3)


@given(RULES, RULES)
def test_what_is_owned_is_never_missing_and_what_covers_allows(owned: list[Rule], wanted: list[Rule]) -> None:
    assert missing(owned, owned) == []
    if not missing(owned, wanted):
        for one in wanted:
            for verb in one.verbs:
                for group in one.groups:
                    for resource in one.resources:
                        assert any(o.allows_verb(verb) and o.allows_resource(group, resource) for o in owned)


def bind(known: Roles, kind: str, namespace: str, role_kind: str, role: str, *subjects: dict[str, str]) -> None:
    reference = {"apiGroup": RBAC, "kind": role_kind, "name": role}
    known.tell(kind, namespace, f"of-{role}", {"roleRef": reference, "subjects": list(subjects)})


@pytest.fixture
def known() -> Roles:
    made = Roles()
    pods = {"verbs": ["get"], "apiGroups": [""], "resources": ["pods"]}
    made.tell("ClusterRole", "", "reader", {"rules": [pods]})
    named_secret = {"verbs": ["get"], "apiGroups": [""], "resources": ["secrets"], "resourceNames": ["mine"]}
    made.tell("Role", "team", "secret", {"rules": [named_secret]})
    bind(made, "ClusterRoleBinding", "", "ClusterRole", "reader", {"kind": "Group", "name": "developers"})
    bind(made, "RoleBinding", "team", "Role", "secret", {"kind": "ServiceAccount", "name": "robot"})
    return made


def test_roles_answer_with_the_reason(known: Roles) -> None:
    ask = Ask(JANE, "get", resource="pods", namespace="default")
    assert known.allows(ask) == (
        'RBAC: allowed by ClusterRoleBinding "of-reader" of ClusterRole "reader" to Group "developers"'
    )
    assert known.allows(Ask(JANE, "list", resource="pods")) == ""
    robot = User("system:serviceaccount:team:robot")
    secret = Ask(robot, "get", resource="secrets", namespace="team", name="mine")
    assert known.allows(secret) == (
        'RBAC: allowed by RoleBinding "of-secret/team" of Role "secret" to ServiceAccount "robot/team"'
    )
    assert known.allows(Ask(robot, "get", resource="secrets", namespace="team", name="other")) == ""
    assert known.allows(Ask(robot, "get", resource="secrets", namespace="other", name="mine")) == ""


def test_a_change_counts_at_once(known: Roles) -> None:
    ask = Ask(JANE, "get", resource="pods")
    assert known.allows(ask)
    known.tell("ClusterRoleBinding", "", "of-reader", None)
    assert not known.allows(ask)
    bind(known, "ClusterRoleBinding", "", "ClusterRole", "gone", {"kind": "User", "name": "jane"})
    assert known.missing_role(JANE, "") == [f'clusterrole.{RBAC} "gone" not found']


def test_the_smallest_role_that_would_help_comes_first(known: Roles) -> None:
    known.tell("ClusterRole", "", "all", {"rules": [{"verbs": ["*"], "apiGroups": ["*"], "resources": ["*"]}]})
    known.tell(
        "ClusterRole", "", "system:pods", {"rules": [{"verbs": ["get"], "apiGroups": [""], "resources": ["pods"]}]}
    )
    watching = {"rules": [{"verbs": ["get", "watch"], "apiGroups": [""], "resources": ["pods", "nodes"]}]}
    known.tell("ClusterRole", "", "system:controller:watcher", watching)
    found = known.roles_allowing(Ask(JANE, "get", resource="pods", namespace="default"))
    assert [place[2] for place in found] == ["reader", "all", "system:pods"]
    known.tell("ClusterRole", "", "all", None)
    assert [place[2] for place in known.roles_allowing(Ask(JANE, "get", resource="nodes"))][-1].endswith("watcher")
    assert breadth(EVERYTHING) > breadth([rule("get", "", "pods")])


def test_refusals_read_as_in_the_original() -> None:
    ask = Ask(JANE, "get", group="apps", resource="deployments", subresource="scale", namespace="n", name="web")
    assert str(forbidden(ask, "")) == (
        'deployments.apps "web" is forbidden: User "jane" cannot get resource "deployments/scale" in API group "apps" '
        'in the namespace "n"'
    )
    nodes = forbidden(Ask(JANE, "list", resource="nodes"), "because")
    assert str(nodes) == (
        'nodes is forbidden: User "jane" cannot list resource "nodes" in API group "" at the cluster scope: because'
    )
    assert str(forbidden(Ask(JANE, "get", path="/metrics"), "")) == 'forbidden: User "jane" cannot get path "/metrics"'
    assert nodes.code == 403


def test_a_list_held_to_one_name_is_about_that_name() -> None:
    ask = Ask(JANE, "watch", resource="secrets", field_selector="metadata.name=mine")
    assert named(ask).name == "mine"
    assert named(Ask(JANE, "list", resource="secrets", field_selector="metadata.name!=mine")).name == ""
    assert named(Ask(JANE, "list", resource="secrets", field_selector="metadata.name=a=b=,")).name == ""


def test_what_nobody_in_particular_may_see() -> None:
    assert all(map(is_public, ("/healthz", "/livez/ping", "/readyz/", "/version")))
    assert not any(map(is_public, ("", "/", "/healthzz", "/api", "/metrics", "/versions")))


def test_what_a_pod_needs_of_its_namespace() -> None:
    container = {
        "env": [{"valueFrom": {"secretKeyRef": {"name": "s1"}}}, {"valueFrom": {"configMapKeyRef": {"name": "c1"}}}],
        "envFrom": [{"secretRef": {"name": "s2"}}, {"configMapRef": {"name": "c2"}}],
    }
    volumes = [
        {"name": "a", "secret": {"secretName": "s3"}},
        {"name": "b", "projected": {"sources": [{"secret": {"name": "s4"}}, {"configMap": {"name": "c3"}}]}},
        {"name": "c", "persistentVolumeClaim": {"claimName": "p1"}},
        {"name": "d", "ephemeral": {}},
        {"name": "e", "csi": {"nodePublishSecretRef": {"name": "s5"}}},
    ]
    spec = {
        "serviceAccountName": "robot",
        "imagePullSecrets": [{"name": "s6"}],
        "containers": [container],
        "volumes": volumes,
    }
    pod = {"metadata": {"name": "web", "namespace": "n"}, "spec": spec}
    found = {(resource, name) for resource, _, name in needs_of(pod)}
    secrets = {("secrets", f"s{index}") for index in range(1, 7)}
    maps = {("configmaps", f"c{index}") for index in range(1, 4)}
    claims = {("persistentvolumeclaims", "p1"), ("persistentvolumeclaims", "web-d")}
    assert found == secrets | maps | claims | {("serviceaccounts", "robot")}
    mirrored = {"metadata": {**pod["metadata"], "annotations": {"kubernetes.io/config.mirror": "x"}}, "spec": spec}
    assert not list(needs_of(mirrored))


def test_the_default_roles_name_each_other_and_no_one_twice() -> None:
    made = [*roles.PEOPLE, *roles.PARTS, *controllers.ROLES]
    names = [role["metadata"]["name"] for role in made]
    assert len(names) == len(set(names))
    for binding in (*roles.CLUSTER_BINDINGS, *controllers.BINDINGS):
        assert binding["roleRef"]["name"] in names
    local = {(role["metadata"]["namespace"], role["metadata"]["name"]) for role in roles.IN_NAMESPACES}
    for binding in roles.NAMESPACE_BINDINGS:
        assert (binding["metadata"]["namespace"], binding["roleRef"]["name"]) in local
    assert all(rules_of(role) or role.get("aggregationRule") for role in made)


@pytest.mark.undisturbed
def test_a_warm_decision_takes_no_time(known: Roles) -> None:
    for index in range(2000):
        bind(known, "RoleBinding", f"n{index}", "ClusterRole", "reader", {"kind": "User", "name": f"u{index}"})
    ask = Ask(JANE, "get", resource="pods", namespace="default")
    known.allows(ask)
    begin = time.process_time()
    for _ in range(1000):
        known.allows(ask)
    assert (time.process_time() - begin) / 1000 < 20e-6
