"""Variables of containers: where they come from, what they may use of each other, what is missing."""

import time
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from plan_kit import Stored, config_map, container, facts, pod, secret

from boxship.cluster.node.plan import fields
from boxship.cluster.node.plan.environment import Reading, value_in_file
from boxship.cluster.node.plan.expanding import UnknownName, expand, expand_strictly
from boxship.cluster.node.plan.services import essential, service_variables
from boxship.cluster.node.planning import NotPossible

FACTS = facts()


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("", ""),
        ("plain", "plain"),
        ("$(A)", "1"),
        ("x$(A)y$(B)z", "x1y2z"),
        ("$(C)", "$(C)"),
        ("$$(A)", "$(A)"),
        ("$$$(A)", "$1"),
        ("$$$$(A)", "$$(A)"),
        ("$(A", "$(A"),
        ("$A", "$A"),
        ("$", "$"),
        ("$)", "$)"),
        ("a$", "a$"),
        ("$(A)$", "1$"),
        ("$(EMPTY)|", "|"),
        ("$(A)$(A)", "11"),
        ("$($(A))", "$($(A))"),
        ("$()", "$()"),
    ],
)
def test_names_in_brackets_are_replaced(text: str, expected: str) -> None:
    assert expand(text, {"A": "1", "B": "2", "EMPTY": ""}) == expected


@given(st.text(alphabet=st.characters(exclude_characters="$")), st.text(alphabet="AB$()x", max_size=12))
def test_what_has_no_known_name_stays_and_nothing_fails(plain: str, odd: str) -> None:
    assert expand(plain, {"A": "1"}) == plain
    assert expand(odd) == odd.replace("$$", "$") or "$$" in odd
    assert expand(plain.replace("$", "$$") + "$$" + plain) == plain + "$" + plain


def test_a_path_must_know_all_its_names() -> None:
    assert expand_strictly("a/$(N)", {"N": "b"}) == "a/b"
    with pytest.raises(UnknownName, match="M"):
        expand_strictly("$(M)", {"N": "b"})
    with pytest.raises(UnknownName, match="N"):
        expand_strictly("$(N)", {"N": ""})


async def read(one: dict[str, Any], *stored: Any, files: dict[str, str] | None = None, **known: Any) -> dict[str, str]:
    async def read_file(volume: str, path: str) -> str | None:
        return (files or {}).get(f"{volume}/{path}")

    reading = Reading(
        Stored(*stored),
        known.get("pod") or pod(one),
        one,
        facts=FACTS,
        addresses=("10.244.0.7",),
        services=known.get("services") or {},
        read_file=read_file,
    )
    return await reading.variables()


def source(**fields: Any) -> dict[str, Any]:
    return {"name": "X", "valueFrom": fields}


async def test_later_variables_use_earlier_ones_and_services() -> None:
    one = container(
        env=[
            {"name": "A", "value": "1"},
            {"name": "B", "value": "$(A)-$(HOST)-$(LATER)"},
            {"name": "LATER", "value": "x"},
            {"name": "HOST2"},
        ]
    )
    found = await read(one, services={"HOST": "h", "A": "service"})
    assert found == {"HOST": "h", "A": "1", "B": "1-h-$(LATER)", "LATER": "x", "HOST2": ""}


async def test_all_of_a_map_and_a_secret_with_prefixes_and_own_values_over_them() -> None:
    one = container(
        envFrom=[
            {"configMapRef": {"name": "c"}, "prefix": "P_"},
            {"secretRef": {"name": "s"}},
            {"configMapRef": {"name": "none", "optional": True}},
            {"secretRef": {"name": "none", "optional": True}},
        ],
        env=[{"name": "own", "value": "$(P_a)"}, {"name": "k", "value": "mine"}],
    )
    found = await read(one, config_map("c", {"a": "1"}), secret("s", {"k": "djE=", "l": "djI="}))
    assert found == {"P_a": "1", "k": "mine", "l": "v2", "own": "1"}


@pytest.mark.parametrize(
    ("reference", "expected"),
    [
        ({"configMapKeyRef": {"name": "c", "key": "a"}}, "1"),
        ({"secretKeyRef": {"name": "s", "key": "k"}}, "v1"),
        ({"fieldRef": {"fieldPath": "metadata.name"}}, "web"),
        ({"fieldRef": {"fieldPath": "metadata.labels['app']"}}, "shop"),
        ({"fieldRef": {"fieldPath": "metadata.annotations['none']"}}, ""),
        ({"fieldRef": {"fieldPath": "spec.nodeName"}}, "one"),
        ({"fieldRef": {"fieldPath": "spec.serviceAccountName"}}, "default"),
        ({"fieldRef": {"fieldPath": "status.podIP"}}, "10.244.0.7"),
        ({"fieldRef": {"fieldPath": "status.hostIPs"}}, "192.0.2.1"),
        ({"resourceFieldRef": {"resource": "limits.cpu"}}, "1"),
        ({"resourceFieldRef": {"resource": "limits.cpu", "divisor": "1m"}}, "750"),
        ({"resourceFieldRef": {"resource": "requests.cpu"}}, "0"),
        ({"resourceFieldRef": {"resource": "limits.memory", "divisor": "1Mi"}}, "4096"),
        ({"resourceFieldRef": {"resource": "requests.memory", "divisor": "1Mi"}}, "2"),
        ({"resourceFieldRef": {"resource": "limits.ephemeral-storage", "divisor": "1Gi"}}, "10"),
        ({"fileKeyRef": {"volumeName": "v", "path": "f.env", "key": "K"}}, "two\nlines"),
    ],
)
async def test_a_value_from(reference: dict[str, Any], expected: str) -> None:
    resources = {"limits": {"cpu": "750m"}, "requests": {"memory": "1025Ki"}}
    one = container(env=[source(**reference)], resources=resources)
    found = await read(
        one,
        config_map("c", {"a": "1"}),
        secret("s", {"k": "djE="}),
        files={"v/f.env": "# one\nK='two\nlines'\n"},
        pod=pod(one, metadata={"labels": {"app": "shop"}}),
    )
    assert found["X"] == expected


async def test_a_limit_that_a_container_has_not_is_its_pods() -> None:
    names = ("limits.cpu", "limits.memory", "requests.cpu")
    one = container(env=[{**source(resourceFieldRef={"resource": name}), "name": name} for name in names])
    limited = pod(one, resources={"limits": {"cpu": "1500m"}, "requests": {"cpu": "1"}})
    found = await read(one, pod=limited)
    assert (found["limits.cpu"], found["requests.cpu"]) == ("2", "0")
    assert found["limits.memory"] == (await read(one))["limits.memory"]  # what the node has


@pytest.mark.parametrize(
    ("reference", "message"),
    [
        ({"configMapKeyRef": {"name": "none", "key": "a"}}, 'configmap "none" not found'),
        ({"secretKeyRef": {"name": "none", "key": "a"}}, 'secret "none" not found'),
        ({"configMapKeyRef": {"name": "c", "key": "z"}}, "couldn't find key z in ConfigMap shop/c"),
        ({"secretKeyRef": {"name": "s", "key": "z"}}, "couldn't find key z in Secret shop/s"),
        ({"fileKeyRef": {"volumeName": "v", "path": "f", "key": "K"}}, "environment variable key"),
    ],
)
async def test_what_is_missing_is_named_unless_it_is_optional(reference: dict[str, Any], message: str) -> None:
    stored = (config_map("c", {"a": "1"}), secret("s", {}))
    with pytest.raises(NotPossible) as refused:
        await read(container(env=[source(**reference)]), *stored)
    assert refused.value.reason == "CreateContainerConfigError"
    assert message in refused.value.message
    ((kind, inner),) = reference.items()
    assert await read(container(env=[source(**{kind: {**inner, "optional": True}})]), *stored) == {}


async def test_a_whole_map_that_is_missing_is_named() -> None:
    with pytest.raises(NotPossible, match='configmap "none" not found'):
        await read(container(envFrom=[{"configMapRef": {"name": "none"}}]))


def test_files_of_variables() -> None:
    text = "\n# x\n  A='1'\nB='' # none\nC='a\n# no comment\n\nb'\nD= 'not this'\nA='2'\nnot read"
    found = {name: value_in_file(text, name) for name in "ABCD"}
    assert found == {"A": "1", "B": "", "C": "a\n# no comment\n\nb", "D": ""}
    assert value_in_file("A='1'", "B") is None
    for wrong, why in (
        ("A=1", "line 1: value must be enclosed in single quotes"),
        ("\nA", "line 2: missing '='"),
        ("='x'", "line 1: empty variable name"),
        ("A ='x'", "line 1: whitespace before '=' is not allowed"),
        ("A='1", "line 1: unclosed single quote"),
        ("A='1' 2", "line 1: unexpected content after closing quote"),
    ):
        with pytest.raises(NotPossible, match=why):
            value_in_file(wrong, "A")


def test_a_value_of_very_many_lines_is_read_at_once() -> None:
    """A container that has the file to write may make it as odd as it likes; the loop of the whole node reads it."""
    began = time.process_time()
    assert value_in_file("A='" + "\n" * (1 << 19) + "'", "A") == "\n" * (1 << 19)
    assert time.process_time() - began < 3.0  # a copy of the value for each line takes half a minute


def service(name: str, address: str, *ports: dict[str, Any], namespace: str = "shop") -> Any:
    return (namespace, name), essential({"spec": {"clusterIP": address, "ports": list(ports)}})


def test_services_become_variables() -> None:
    services = [
        service("kubernetes", "10.96.0.1", {"name": "https", "port": 443}, namespace="default"),
        service("my-db", "10.96.0.5", {"port": 5432, "protocol": "TCP"}, {"name": "m-x", "port": 9, "protocol": "UDP"}),
        service("headless", "None", {"port": 1}),
        service("elsewhere", "10.96.0.9", {"port": 1}, namespace="other"),
    ]
    found = service_variables(services, "shop", all=True)
    assert found["KUBERNETES_SERVICE_HOST"] == "10.96.0.1"
    assert found["KUBERNETES_SERVICE_PORT_HTTPS"] == "443"
    assert {key: value for key, value in found.items() if key.startswith("MY_DB")} == {
        "MY_DB_SERVICE_HOST": "10.96.0.5",
        "MY_DB_SERVICE_PORT": "5432",
        "MY_DB_SERVICE_PORT_M_X": "9",
        "MY_DB_PORT": "tcp://10.96.0.5:5432",
        "MY_DB_PORT_5432_TCP": "tcp://10.96.0.5:5432",
        "MY_DB_PORT_5432_TCP_PROTO": "tcp",
        "MY_DB_PORT_5432_TCP_PORT": "5432",
        "MY_DB_PORT_5432_TCP_ADDR": "10.96.0.5",
        "MY_DB_PORT_9_UDP": "udp://10.96.0.5:9",
        "MY_DB_PORT_9_UDP_PROTO": "udp",
        "MY_DB_PORT_9_UDP_PORT": "9",
        "MY_DB_PORT_9_UDP_ADDR": "10.96.0.5",
    }
    assert not any(key.startswith(("HEADLESS", "ELSEWHERE")) for key in found)
    assert set(service_variables(services, "shop", all=False)) == {key for key in found if key.startswith("KUBERNETES")}


def test_labels_as_a_file() -> None:
    one = pod(metadata={"labels": {"b": 'a "quoted"\tone', "a": "x\ny\\"}})
    assert fields.field_text(one, "metadata.labels", facts=FACTS) == 'a="x\\ny\\\\"\nb="a \\"quoted\\"\\tone"'
