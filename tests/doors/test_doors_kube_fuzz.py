"""Requests made of good and hostile words: each gets an answer with a Status that fits, none an internal error, and
the door serves on."""

import asyncio
import random
from typing import Any
from unittest import mock

import msgspec
import pytest
from doors_kube_kit import Place, running_door, schemas
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as make

from boxship.cluster.api import versions
from boxship.cluster.objects import protobuf

WORDS = [
    *("api", "apis", "v1", "apps", "batch", "namespaces", "demo", "pods", "configmaps", "deployments", "nodes", "a"),
    *("status", "scale", "watch", "proxy", "log", "finalize", "", "..", "%2F", "%00", "é", "x" * 300, "?", "~1"),
    *("autoscaling", "v2", "horizontalpodautoscalers", "events", "openapi", "v2", "v3", "healthz", "readyz", "metrics"),
]
PARAMETERS = {
    "labelSelector": ["a=b", "a in (b", "!", ",", "a==b,c!=d", "(" * 50, "a=" + "x" * 100],
    "fieldSelector": ["metadata.name=a", "spec.x=1", "=", "a\\,b", "metadata.name"],
    "limit": ["1", "-1", "x", "9" * 30],
    "continue": ["x", "eyJ2IjoibWV0YS5rOHMuaW8vdjEifQ==", "{}", "%ff"],
    "resourceVersion": ["0", "1", "x", "99999999999", "-1"],
    "resourceVersionMatch": ["Exact", "NotOlderThan", "x"],
    "timeoutSeconds": ["0", "1", "x"],
    "timeout": ["1s", "x", "-1s"],
    "watch": ["false", "0"],
    "sendInitialEvents": ["true", "x"],
    "dryRun": ["All", "x"],
    "fieldManager": ["me", "x" * 200, "\x01"],
    "fieldValidation": ["Strict", "Ignore", "x"],
    "force": ["true"],
    "propagationPolicy": ["Orphan", "x"],
    "gracePeriodSeconds": ["0", "-5", "x"],
    "pretty": ["true"],
    "includeObject": ["Object", "x"],
}
HEADERS = {
    "Accept": [
        "application/json",
        "*/*",
        "text/plain",
        "application/yaml",
        ";;;",
        "application/json;as=Table;v=v1;g=meta.k8s.io",
    ],
    "Content-Type": [
        "application/json",
        "application/yaml",
        "application/vnd.kubernetes.protobuf",
        "application/json-patch+json",
        "application/merge-patch+json",
        "application/strategic-merge-patch+json",
        "application/apply-patch+yaml",
        "text/html",
        "",
    ],
    "If-None-Match": ["*", '"x"'],
    "Audit-ID": ["x" * 1000, "é"],
}
MAP: dict[str, Any] = {"kind": "ConfigMap", "apiVersion": "v1", "metadata": {"name": "a"}, "data": {"x": "y"}}
BODIES = [
    b"",
    b"{}",
    b"null",
    b"[]",
    b'"a"',
    b"{",
    b"\xff\xfe",
    msgspec.json.encode(MAP),
    b"kind: ConfigMap\napiVersion: v1\nmetadata: {name: a}\n",
    b"a: &a [*a]",
    b"[" * 2000,
    b'{"a":' * 2000,
    b'{"metadata":{"name":"a","name":"b"}}',
    b'{"metadata":[1]}',
    b'{"metadata":{"labels":{"a":1}}}',
    b'{"metadata":{"creationTimestamp":"never"}}',
    b'{"spec":{"replicas":1e400}}',
    b'{"data":{"\\ud800":"x"}}',
    b'[{"op":"add","path":"/x","value":1}]',
    b'[{"op":"move","from":"/a/b","path":"/metadata/name"}]',
    b'{"$patch":"replace"}',
    b"k8s\x00",
    b"k8s\x00" + b"\x0a\xff\xff\xff\xff\x0f",
    protobuf.write(MAP, schemas()),
    protobuf.write(MAP, schemas())[:-3],
]
METHODS = ["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "X"]


def requests() -> Any:
    pairs = make.sampled_from([(name, value) for name, values in PARAMETERS.items() for value in values])
    good = ["api/v1/namespaces/demo/configmaps", "api/v1/namespaces/demo/configmaps/a", "apis/apps/v1/deployments"]
    paths = make.one_of(make.sampled_from(good), make.lists(make.sampled_from(WORDS), max_size=8).map("/".join))
    return make.tuples(
        make.sampled_from(METHODS),
        paths,
        make.lists(pairs, max_size=3),
        make.fixed_dictionaries({}, optional={name: make.sampled_from(values) for name, values in HEADERS.items()}),
        make.one_of(make.sampled_from(BODIES), make.binary(max_size=30)),
    )


async def check(place: Place, request: Any) -> None:
    method, path, query, headers, body = request
    target = f"/{path}" + ("?" + "&".join(f"{name}={value}" for name, value in query) if query else "")
    answer = await asyncio.wait_for(place.client.call(method, target, body, headers), 10)
    if not isinstance(answer.body, bytes):
        await answer.body.aclose()  # type: ignore[union-attr]
        return
    assert answer.status not in (500, 502), (request, answer.body)
    assert answer.status < 500 or answer.status in (501, 503, 504), (request, answer.body)
    if answer.status >= 400 and method != "HEAD" and "yaml" not in answer.headers["Content-Type"]:
        status = msgspec.json.decode(answer.body)
        assert (status["kind"], status["code"]) == ("Status", answer.status) and status["message"], request


@settings(max_examples=30, deadline=None, suppress_health_check=list(HealthCheck))
@given(make.lists(requests(), min_size=20, max_size=40))
def test_any_requests(sequence: list[Any]) -> None:
    async def run() -> None:
        async with running_door() as place:
            for request in sequence:
                await check(place, request)
            assert (await place.ask("GET", "/api/v1/namespaces/demo"))[0] == 200

    with mock.patch.object(versions, "WAIT", versions.STEP):  # for resource versions that never come
        asyncio.run(run())


@pytest.mark.parametrize("seed", range(3))
def test_any_bytes_in_the_middle_of_a_body(seed: int) -> None:
    """Good bodies in all forms, with some bytes changed."""
    chance = random.Random(seed)
    pod = {
        "kind": "Pod",
        "apiVersion": "v1",
        "metadata": {"name": "p", "labels": {"a": "b"}},
        "spec": {"containers": [{"name": "c", "image": "i", "resources": {"limits": {"cpu": "1"}}}]},
    }
    forms = [
        ("application/json", msgspec.json.encode(pod)),
        ("application/yaml", msgspec.json.encode(pod)),
        ("application/vnd.kubernetes.protobuf", protobuf.write(pod, schemas())),
    ]

    async def run() -> None:
        async with running_door() as place:
            for _ in range(80):
                media_type, data = chance.choice(forms)
                body = bytearray(data)
                for _ in range(chance.randint(1, 4)):
                    body[chance.randrange(len(body))] = chance.randrange(256)
                await check(
                    place,
                    (
                        "POST",
                        "api/v1/namespaces/demo/pods",
                        [("dryRun", "All")],
                        {"Content-Type": media_type},
                        bytes(body),
                    ),
                )

    asyncio.run(run())
