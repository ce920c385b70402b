"""The Kubernetes door in memory: what is answered to whom, with which headers and which Status."""

import asyncio
import json
from typing import Any

import pytest
from doors_kube_kit import Place, running_door, schemas

from boxship.cluster.objects import protobuf
from boxship.transport.memory import Answer

MAPS = "/api/v1/namespaces/demo/configmaps"
TABLE = "application/json;as=Table;v=v1;g=meta.k8s.io"


def config_map(name: str, **data: str) -> dict[str, Any]:
    return {"kind": "ConfigMap", "apiVersion": "v1", "metadata": {"name": name}, "data": data}


async def test_an_object_lives_and_dies() -> None:
    async with running_door() as place:
        status, made = await place.ask("POST", MAPS, config_map("a", x="1"))
        assert status == 201 and made["metadata"]["uid"]
        made["data"]["x"] = "2"
        assert (await place.ask("PUT", f"{MAPS}/a", made))[0] == 200
        patch = {"Content_Type": "application/merge-patch+json"}
        status, found = await place.ask("PATCH", f"{MAPS}/a", {"data": {"y": "3"}}, **patch)
        assert status == 200 and found["data"] == {"x": "2", "y": "3"}
        assert [each["metadata"]["name"] for each in (await place.ask("GET", MAPS))[1]["items"]] == ["a"]
        assert (await place.ask("GET", "/api/v1/configmaps"))[1]["kind"] == "ConfigMapList"
        options = {"kind": "DeleteOptions", "apiVersion": "v1", "preconditions": {"uid": "other"}}
        status, refused = await place.ask("DELETE", f"{MAPS}/a", options)
        assert (status, refused["reason"]) == (409, "Conflict")
        body = protobuf.write({"apiVersion": "v1", "kind": "DeleteOptions", "gracePeriodSeconds": 0}, schemas())
        status, gone = await place.ask("DELETE", f"{MAPS}/a", body, Content_Type="application/vnd.kubernetes.protobuf")
        assert (status, gone["status"]) == (200, "Success")
        status, missing = await place.ask("GET", f"{MAPS}/a")
        assert status == 404
        assert missing == {
            "kind": "Status",
            "apiVersion": "v1",
            "metadata": {},
            "status": "Failure",
            "message": 'configmaps "a" not found',
            "reason": "NotFound",
            "details": {"name": "a", "kind": "configmaps"},
            "code": 404,
        }


async def test_bodies_in_yaml_and_protobuf_and_answers_in_yaml() -> None:
    async with running_door() as place:
        yaml = b"kind: ConfigMap\napiVersion: v1\nmetadata: {name: in-yaml}\ndata: {a: 'yes'}\n"
        headers = {"Content-Type": "application/yaml", "Accept": "application/yaml"}
        answer = await place.call("POST", MAPS, yaml, headers)
        text = (await answer.read()).decode()
        assert answer.status == 201 and answer.headers["Content-Type"] == "application/yaml"
        assert "  a: 'yes'\n" in text
        body = protobuf.write(config_map("p", b="c"), schemas())
        status, made = await place.ask("POST", MAPS, body, Content_Type="application/vnd.kubernetes.protobuf")
        assert (status, made["data"]) == (201, {"b": "c"})
        answer = await place.call("GET", f"{MAPS}/nothing", headers={"Accept": "application/yaml"})
        assert answer.status == 404 and b"reason: NotFound" in await answer.read()


async def test_rows_and_metadata() -> None:
    async with running_door() as place:
        await place.ask("POST", MAPS, config_map("a", x="1"))
        _, table = await place.ask("GET", MAPS, Accept=f"{TABLE},application/json")
        assert table["kind"] == "Table" and table["rows"][0]["cells"][:2] == ["a", 1]
        form = "application/json;as=PartialObjectMetadataList;v=v1;g=meta.k8s.io"
        _, listed = await place.ask("GET", MAPS, Accept=form)
        assert listed["kind"] == "PartialObjectMetadataList" and "data" not in listed["items"][0]


async def test_headers_of_answers() -> None:
    async with running_door() as place:
        answer = await place.call("GET", MAPS, headers={"Audit-ID": "known", "User-Agent": "curl/8"})
        assert answer.headers["Audit-Id"] == "known" and answer.headers["Cache-Control"] == "no-cache, private"
        assert (await answer.read()).startswith(b'{\n  "kind"')
        answer = await place.call("GET", f"{MAPS}?pretty=false", headers={"User-Agent": "curl/8"})
        assert (await answer.read()).startswith(b'{"kind"') and len(answer.headers["Audit-Id"]) == 36
        answer = await place.call("HEAD", MAPS)
        assert answer.status == 200 and await answer.read() == b"" and int(answer.headers["Content-Length"]) > 20


@pytest.mark.parametrize(
    ("method", "target", "code", "reason"),
    [
        ("GET", "/api/v1/nothings", 404, "NotFound"),
        ("GET", "/apis/example.com/v1/widgets", 404, "NotFound"),
        ("GET", "/api/v1/namespaces/demo/nodes", 404, "NotFound"),
        ("GET", "/api/v1/pods/a", 404, "NotFound"),
        ("GET", f"{MAPS}/a/status", 404, "NotFound"),
        ("GET", "/api/v1/namespaces/demo/pods/a/status/x", 404, "NotFound"),
        ("GET", "/nothing", 404, "NotFound"),
        ("GET", "/readyz/nothing", 404, "NotFound"),
        ("POST", "/api/v1/configmaps", 405, "MethodNotAllowed"),
        ("POST", f"{MAPS}/a", 405, "MethodNotAllowed"),
        ("PUT", MAPS, 405, "MethodNotAllowed"),
        ("DELETE", "/api/v1/configmaps", 405, "MethodNotAllowed"),
        ("DELETE", "/api/v1/namespaces", 405, "MethodNotAllowed"),
        ("GET", "/apis/authorization.k8s.io/v1/subjectaccessreviews", 405, "MethodNotAllowed"),
        ("POST", "/apis", 405, "MethodNotAllowed"),
        ("POST", "/version", 405, "MethodNotAllowed"),
        ("GET", "/version?timeout=invalid", 400, "BadRequest"),
        ("BREW", MAPS, 405, "MethodNotAllowed"),
        ("GET", f"{MAPS}?limit=x", 400, "BadRequest"),
        ("GET", f"{MAPS}?labelSelector=a%20b%20c", 400, "BadRequest"),
        ("GET", f"{MAPS}?timeout=soon", 400, "BadRequest"),
        ("GET", f"{MAPS}?continue=nonsense", 400, "BadRequest"),
        ("GET", "/api/v1/namespaces/demo/pods/a/log", 404, "NotFound"),
        ("POST", "/api/v1/namespaces/demo/pods/a/exec", 404, "NotFound"),
    ],
)
async def test_what_is_refused(method: str, target: str, code: int, reason: str) -> None:
    async with running_door() as place:
        status, answer = await place.ask(method, target)
        assert (status, answer["kind"], answer["code"], answer["reason"]) == (code, "Status", code, reason)


@pytest.mark.parametrize(
    ("body", "content_type", "code", "reason"),
    [
        (b"{", "application/json", 400, "BadRequest"),
        (b"", "application/json", 400, "BadRequest"),
        (b"[]", "application/json", 400, "BadRequest"),
        (b"{}", "text/plain", 415, "UnsupportedMediaType"),
        (b"{}", "application/merge-patch+json", 415, "UnsupportedMediaType"),
        (b"a: [", "application/yaml", 400, "BadRequest"),
        (b"k8s\0\xff\xff", "application/vnd.kubernetes.protobuf", 400, "BadRequest"),
        (b"nothing", "application/vnd.kubernetes.protobuf", 400, "BadRequest"),
        (b'{"a":' * 5000 + b"1" + b"}" * 5000, "application/json", 400, "BadRequest"),
        (b"x" * (3 * 1024 * 1024 + 1), "application/json", 413, "RequestEntityTooLarge"),
        (b'{"kind":"Secret","apiVersion":"v1","metadata":{"name":"a"}}', "application/json", 400, "BadRequest"),
    ],
)
async def test_wrong_bodies(body: bytes, content_type: str, code: int, reason: str) -> None:
    async with running_door() as place:
        status, answer = await place.ask("POST", MAPS, body, Content_Type=content_type)
        assert (status, answer["code"], answer["reason"]) == (code, code, reason)
        status, answer = await place.ask("GET", MAPS)
        assert status == 200 and answer["items"] == []


async def test_wrong_delete_options() -> None:
    async with running_door() as place:
        for body, code in ((b"{", 400), (b'{"gracePeriodSeconds":"x"}', 400), (b'{"kind":"Pod"}', 400)):
            assert (await place.ask("DELETE", f"{MAPS}/a", body, Content_Type="application/json"))[0] == code
        assert (await place.ask("DELETE", f"{MAPS}/a", {"propagationPolicy": "x"}))[0] == 422


async def test_who_may_not() -> None:
    async with running_door() as place:
        status, refused = await place.ask("GET", MAPS, X_User="wrong")
        assert (status, refused["reason"]) == (401, "Unauthorized")
        for path in (MAPS, "/api/v1/nothings", "/version", "/nothing"):
            status, refused = await place.ask("GET", path, X_User="nobody")
            assert (status, refused["reason"]) == (403, "Forbidden"), path
        _, refused = await place.ask("GET", "/api/v1/namespaces/demo", X_User="nobody")
        assert refused["message"] == "forbidden: get namespaces demo/demo"


async def next_event(answer: Answer) -> Any:
    assert not isinstance(answer.body, bytes)
    return json.loads(await asyncio.wait_for(anext(answer.body), 20))  # type: ignore[arg-type]


async def test_a_watch_is_a_stream_of_lines() -> None:
    async with running_door() as place:
        await place.ask("POST", MAPS, config_map("a"))
        answer = await place.call("GET", f"{MAPS}?watch=true")
        assert answer.headers["Content-Type"] == "application/json"
        event = await next_event(answer)
        assert (event["type"], event["object"]["metadata"]["name"]) == ("ADDED", "a")
        legacy = await place.call("GET", "/api/v1/watch/namespaces/demo/configmaps/b")
        await place.ask("POST", MAPS, config_map("b"))
        assert (await next_event(answer))["object"]["metadata"]["name"] == "b"
        assert (await next_event(legacy))["object"]["metadata"]["name"] == "b"
        text = (await (await place.call("GET", "/metrics")).read()).decode()
        assert 'apiserver_longrunning_requests{group="",resource="configmaps",scope="namespace",' in text
        await answer.body.aclose()  # type: ignore[union-attr]
        await legacy.body.aclose()  # type: ignore[union-attr]
        text = (await (await place.call("GET", "/metrics")).read()).decode()
        assert "apiserver_longrunning_requests{" not in text


async def test_a_watch_over_a_websocket() -> None:
    async with running_door() as place:
        await place.ask("POST", MAPS, config_map("a"))
        answer = await place.call("GET", f"{MAPS}?watch=true", headers={"Upgrade": "websocket"})
        assert answer.status == 101 and answer.raw is not None
        event = json.loads(await asyncio.wait_for(answer.raw.read(), 20))
        assert event["object"]["metadata"]["name"] == "a"


async def test_discovery() -> None:
    async with running_door() as place:
        assert (await place.ask("GET", "/api"))[1]["versions"] == ["v1"]
        groups = (await place.ask("GET", "/apis"))[1]["groups"]
        assert [group["name"] for group in groups][:3] == ["apiregistration.k8s.io", "apps", "events.k8s.io"]
        autoscaling = next(group for group in groups if group["name"] == "autoscaling")
        assert autoscaling["preferredVersion"]["version"] == "v2" and len(autoscaling["versions"]) == 2
        assert (await place.ask("GET", "/apis/autoscaling"))[1]["kind"] == "APIGroup"
        core = (await place.ask("GET", "/api/v1"))[1]
        assert core["groupVersion"] == "v1" and "apiVersion" not in core
        pods = next(each for each in core["resources"] if each["name"] == "pods")
        assert pods["shortNames"] == ["po"] and pods["storageVersionHash"] == "xPOwRZ+Yhw8="
        apps = (await place.ask("GET", "/apis/apps/v1"))[1]["resources"]
        scale = next(each for each in apps if each["name"].endswith("/scale"))
        assert (scale["group"], scale["version"], scale["kind"]) == ("autoscaling", "v1", "Scale")


async def test_aggregated_discovery_is_kept_by_its_tag() -> None:
    async with running_door() as place:
        form = "application/json;g=apidiscovery.k8s.io;v=v2;as=APIGroupDiscoveryList"
        answer = await place.call("GET", "/apis", headers={"Accept": f"{form},application/json"})
        assert answer.headers["Content-Type"] == form and answer.headers["Vary"] == "Accept"
        document = json.loads(await answer.read())
        assert document["kind"] == "APIGroupDiscoveryList" and document["apiVersion"] == "apidiscovery.k8s.io/v2"
        apps = next(item for item in document["items"] if item["metadata"]["name"] == "apps")
        deployments = next(each for each in apps["versions"][0]["resources"] if each["resource"] == "deployments")
        assert deployments["scope"] == "Namespaced" and deployments["responseKind"]["kind"] == "Deployment"
        assert [part["subresource"] for part in deployments["subresources"]] == ["scale", "status"]
        again = {"Accept": f"{form},application/json", "If-None-Match": answer.headers["ETag"]}
        answer = await place.call("GET", "/apis", headers=again)
        assert answer.status == 304 and await answer.read() == b""
        core = await place.ask("GET", "/api", Accept=form)
        assert [item["versions"][0]["version"] for item in core[1]["items"]] == ["v1"]


async def text(place: Place, target: str) -> tuple[int, str]:
    answer = await place.call("GET", target)
    return answer.status, (await answer.read()).decode()


async def test_health() -> None:
    async with running_door() as place:
        assert await text(place, "/readyz") == await text(place, "/livez/ping") == (200, "ok")
        shown = "[+]ping ok\n[+]log ok\n[+]etcd ok\nreadyz check passed\n"
        assert await text(place, "/readyz?verbose") == (200, shown)
        place.is_well = False
        shown = "[+]ping ok\n[+]log ok\n[-]etcd failed: reason withheld\nhealthz check failed\n"
        assert await text(place, "/healthz") == (500, shown)
        assert await text(place, "/livez?exclude=etcd") == (200, "ok")
        assert "excluded: ok" in (await text(place, "/livez?exclude=etcd&verbose"))[1]
        assert "cannot be excluded" in (await text(place, "/livez?exclude=x&exclude=etcd&verbose"))[1]


async def test_index_version_and_metrics() -> None:
    async with running_door() as place:
        assert {"/apis/apps/v1", "/readyz/etcd", "/openapi/v3"} <= set((await place.ask("GET", "/"))[1]["paths"])
        assert (await place.ask("GET", "/version"))[1] == {"major": "1"}
        await place.ask("GET", f"{MAPS}/none")
        await place.ask("GET", '/api/v1/namespaces/a/strange"%0Aword/b')
        shown = (await text(place, "/metrics"))[1]
        assert "strange" not in shown and "word" not in shown
        assert 'apiserver_request_total{code="404",group="",resource="configmaps",scope="resource",' in shown
        assert 'apiserver_request_duration_seconds_bucket{group="",resource="configmaps"' in shown


async def test_nobody_unknown_makes_us_read_his_body() -> None:
    read: list[int] = []

    async def endless() -> Any:
        while True:
            read.append(1)
            yield b"x" * 1024

    async with running_door() as place:
        for user, code in (("wrong", 401), ("nobody", 403)):
            headers = {"X-User": user, "Content-Type": "application/json"}
            assert (await place.call("POST", MAPS, endless(), headers)).status == code
        assert not read
        headers = {"Content-Type": "application/json"}
        assert (await place.call("POST", MAPS, endless(), headers)).status == 413
        assert len(read) == 3 * 1024 + 1


async def test_long_yaml_is_read_like_short_yaml() -> None:
    async with running_door() as place:
        lines = "".join(f"  k{number}: 'v{number}'\n" for number in range(2000))
        text = f"kind: ConfigMap\napiVersion: v1\nmetadata: {{name: long}}\ndata:\n{lines}  k0: 'twice'\n".encode()
        status, refused = await place.ask(
            "POST", f"{MAPS}?fieldValidation=Strict", text, Content_Type="application/yaml"
        )
        assert status == 400 and 'line 2005: key "k0" already set in map' in refused["message"]
        answer = await place.call("POST", MAPS, text, {"Content-Type": "application/yaml"})
        assert answer.status == 201 and "already set in map" in answer.headers["Warning"]
        text = text.replace(b"name: long", b"name: other")
        target = f"{MAPS}/other?fieldManager=me"
        status, made = await place.ask("PATCH", target, text, Content_Type="application/apply-patch+yaml")
        assert status == 201 and made["data"]["k0"] == "twice"
