"""Ingress by a real haproxy."""

import asyncio
import base64
import hashlib
import os
import signal
import ssl
import subprocess
from datetime import UTC, datetime
from pathlib import Path

import pytest
from ingress_kit import Door, ingress, path, running_door, secret, service, slice

from boxship.pki.certificates import Issuer, dump_certificates
from boxship.pki.cluster_certificates import make_authority
from boxship.pki.cluster_serving import make_pair
from boxship.pki.keys import new_key

pytestmark = pytest.mark.skipif(not Path("/usr/sbin/haproxy").exists(), reason="haproxy is not installed")


async def test_no_way_of_writing_a_path_passes_by_its_rule(tmp_path: Path) -> None:
    closed = ingress("closed", path("web", "/admin"), annotations={"denylist-source-range": "127.0.0.0/8"})
    everyone = ingress("open", path("api"))
    default = ingress("default")
    default["spec"] = {"defaultBackend": path("api")["backend"]}
    grown = ingress("grown", path("web", "/größe"), host="b.test")
    async with running_door(tmp_path, closed, everyone, default, grown) as door:
        await door.serves("/", by="api")
        for target in ("/admin", "/%61dmin", "/admin%2Fx", "/x/%2e%2e/admin", "/%2Fadmin", "//admin", "/./admin/"):
            assert (await door.ask(target)).status == 403, target
        for target in ("/x%2F..%2Fadmin", "/admin%00", "/admin/%zz", "/x%2f%2e%2e"):
            assert (await door.ask(target)).status == 400, target
        assert (await door.ask("/a%20b%2Fc?x=%2F..%2F")).seen["target"] == "/a%20b%2Fc?x=%2F..%2F"
        assert (await door.ask("/gr%C3%B6%C3%9Fe/1", host="b.test.")).seen["server"] == "web"
        assert (await door.ask("/other", host="b.test")).seen["server"] == "api"
        assert (await door.ask("/any", host="nobody.test")).seen["server"] == "api"


async def test_hosts_and_paths(tmp_path: Path) -> None:
    one = ingress("one", path("web"), path("api", "/api"), path("web", "/api/exact", "Exact"))
    wild = ingress("wild", path("api"), host="*.wild.test")
    everyone = ingress("everyone", path("api", "/all"), host="")
    async with running_door(tmp_path, one, wild, everyone) as door:
        await door.serves("/", by="web")
        for target, by in (
            ("/", "web"),
            ("/apis", "web"),
            ("/api", "api"),
            ("/api/", "api"),
            ("/api/more?x=1", "api"),
            ("/api/exact", "web"),
            ("/api/exact/", "api"),
            ("/other/../api", "api"),
        ):
            assert (await door.ask(target)).seen["server"] == by, target
        assert (await door.ask(host="A.TEST:80")).seen["server"] == "web"
        assert (await door.ask(host="x.wild.test")).seen["server"] == "api"
        assert (await door.ask(host="x.y.wild.test")).status == 404
        assert (await door.ask("/all", host="nobody.test")).seen["server"] == "api"
        assert (await door.ask("/", host="nobody.test")).status == 404
        seen = (await door.ask("/api?q=1", headers={"X-Forwarded-For": "192.0.2.1"})).seen
        assert seen["target"] == "/api?q=1"
        assert seen["headers"]["x-forwarded-for"] == seen["headers"]["x-real-ip"] == "127.0.0.1"
        assert seen["headers"]["x-forwarded-proto"] == "http" and seen["headers"]["x-request-id"]


async def test_endpoints_change_without_a_new_worker(tmp_path: Path) -> None:
    async with running_door(tmp_path, ingress("one", path("web"))) as door:
        await door.serves(by="web")
        worker = await door.server._haproxy._worker()
        second = await door.behind("second")
        door.page.put("endpointslices", slice("web", second.place))
        await door.serves(by="second")
        door.page.put("endpointslices", slice("web", second.place, ready=False))

        async def unavailable() -> bool:
            return (await door.ask()).status == 503

        await door.until(unavailable)
        door.page.put("endpointslices", slice("web", door.servers["web"].place))
        await door.serves(by="web")
        port = door.servers["web"].place[1]
        for number in range(2, 12):
            await door.behind(f"w{number}", f"127.0.0.{number}", port)
        door.page.put("endpointslices", slice("web", *[(f"127.0.0.{number}", port) for number in range(1, 4)]))
        await door.serves(by="w3")
        assert await door.server._haproxy._worker() == worker
        door.page.put("endpointslices", slice("web", *[(f"127.0.0.{number}", port) for number in range(1, 12)]))
        assert "UP/READY" not in (tmp_path / "haproxy.log").read_text()  # it would grow without end
        await door.serves(by="w11")  # more than there were numbers for: a new worker
        assert await door.server._haproxy._worker() != worker


async def test_annotations(tmp_path: Path) -> None:
    rewriting = ingress(
        "rewriting", path("web", "/app(/|$)(.*)", "ImplementationSpecific"), annotations={"rewrite-target": "/$2"}
    )
    moved = ingress("moved", path("web"), host="old.test", annotations={"permanent-redirect": "https://new.test/%41"})
    limited = ingress("limited", path("web"), host="small.test", annotations={"proxy-body-size": "10"})
    local = ingress("local", path("web"), host="local.test", annotations={"whitelist-source-range": "127.0.0.0/8"})
    foreign = ingress(
        "foreign", path("web"), host="foreign.test", annotations={"whitelist-source-range": "192.0.2.0/24"}
    )
    wrong = ingress("wrong", path("web"), host="wrong.test", annotations={"whitelist-source-range": "nonsense"})
    root = ingress("root", path("web"), host="root.test", annotations={"app-root": "/start"})
    alias = ingress(
        "alias", path("web"), host="name.test", annotations={"server-alias": "other.test", "upstream-vhost": "in.test"}
    )
    rated = ingress(
        "rated", path("web"), host="rated.test", annotations={"limit-rps": "1", "limit-burst-multiplier": "3"}
    )
    www = ingress("www", path("web"), host="www.site.test", annotations={"from-to-www-redirect": "true"})
    cors = ingress(
        "cors",
        path("web"),
        host="cors.test",
        annotations={"enable-cors": "true", "cors-allow-origin": "https://*.ok.test"},
    )
    all = [rewriting, moved, limited, local, foreign, wrong, root, alias, rated, www, cors]
    async with running_door(tmp_path, *all) as door:
        await door.serves("/app/x", by="web")
        assert (await door.ask("/app/x/y?q=1")).seen["target"] == "/x/y?q=1"
        assert (await door.ask("/app")).seen["target"] == "/"
        assert (await door.ask("/apple")).status == 404
        away = await door.ask(host="old.test")
        assert (away.status, away.headers["location"]) == (301, "https://new.test/%41")
        assert (await door.ask(host="small.test", method="POST", body=b"x" * 10)).status == 200
        assert (await door.ask(host="small.test", method="POST", body=b"x" * 11)).status == 413
        for body, status in ((b"5\r\nhello\r\n0\r\n\r\n", 200), (b"6\r\nhello!\r\n" * 2 + b"0\r\n\r\n", 413)):
            unsaid = await door.ask(
                host="small.test", method="POST", headers={"Transfer-Encoding": "chunked"}, chunks=body
            )
            assert unsaid.status == status
        assert (await door.ask(host="local.test")).status == 200
        assert (await door.ask(host="foreign.test")).status == 403
        assert (await door.ask(host="wrong.test")).status == 503
        assert (await door.ask(host="root.test")).headers["location"] == "/start"
        assert (await door.ask("/x", host="root.test")).status == 200
        assert (await door.ask(host="other.test")).seen["headers"]["host"] == "in.test"
        statuses = [(await door.ask(host="rated.test")).status for _ in range(6)]
        assert statuses[:3] == [200] * 3 and statuses[-1] == 503
        assert (await door.ask("/p?q", host="site.test")).headers["location"] == "http://www.site.test/p?q"
        asked = {"Origin": "https://a.ok.test", "Access-Control-Request-Method": "PUT"}
        preflight = await door.ask(host="cors.test", method="OPTIONS", headers=asked)
        assert preflight.status == 204 and preflight.headers["access-control-allow-origin"] == "https://a.ok.test"
        plain = await door.ask(host="cors.test", headers=asked)
        assert plain.seen and plain.headers["access-control-allow-credentials"] == "true"
        stranger = await door.ask(host="cors.test", headers={"Origin": "https://a.ok.test.evil"})
        assert "access-control-allow-origin" not in stranger.headers


def hash_of(word: str, kind: str = "-5") -> str:
    command = ["openssl", "passwd", kind, "-salt", "salt", word]
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip()


async def test_who_may_come_in(tmp_path: Path) -> None:
    annotations = {"auth-type": "basic", "auth-secret": "users", "auth-realm": "It's mine"}
    older = hash_of("word" * 9, "-apr1")
    sha = "{SHA}" + base64.b64encode(hashlib.sha1(b"word").digest()).decode()
    lines = f"me:{hash_of('word')}\nolder:{older}\nsha:{sha}\n"
    known = secret("users", auth=lines.encode())
    async with running_door(tmp_path, ingress("one", path("web"), annotations=annotations), secrets=[known]) as door:

        async def asked() -> bool:
            return (await door.ask()).status == 401

        await door.until(asked)
        right = {"Authorization": "Basic " + base64.b64encode(b"me:word").decode()}
        wrong = {"Authorization": "Basic " + base64.b64encode(b"me:other").decode()}
        assert (await door.ask(headers=right)).status == 200
        assert (await door.ask(headers=wrong)).status == 401
        for pair, status in (
            (b"older:" + b"word" * 9, 200),
            (b"older:" + b"word" * 9, 200),
            (b"older:word", 401),
            (b"sha:word", 200),
            (b"sha:", 401),
            (b"me:", 401),
            (b"nobody:word", 401),
        ):
            words = {"Authorization": "Basic " + base64.b64encode(pair).decode()}
            assert (await door.ask(headers=words)).status == status, pair
        door.page.put("secrets", known, "DELETED")

        async def closed() -> bool:
            return (await door.ask(headers=right)).status == 503

        await door.until(closed)


async def test_canaries_and_affinity(tmp_path: Path) -> None:
    main = ingress("main", path("web"))
    canary = ingress(
        "canary", path("api"), annotations={"canary": "true", "canary-weight": "30", "canary-by-header": "X-New"}
    )
    sticky = ingress("sticky", path("many"), host="sticky.test", annotations={"affinity": "cookie"})
    services = [service("web"), service("api"), service("many")]
    async with running_door(tmp_path, main, canary, sticky, services=services) as door:
        port = (await door.behind("m1")).place[1]
        await door.behind("m2", "127.0.0.2", port)
        door.page.put("endpointslices", slice("many", ("127.0.0.1", port), ("127.0.0.2", port)))
        await door.serves(by="web")
        found = [(await door.ask()).seen["server"] for _ in range(60)]
        assert 5 <= found.count("api") <= 35
        assert {(await door.ask(headers={"X-New": "always"})).seen["server"] for _ in range(5)} == {"api"}
        assert {(await door.ask(headers={"X-New": "never"})).seen["server"] for _ in range(15)} == {"web"}
        await door.serves(by="m1", host="sticky.test")
        first = await door.ask(host="sticky.test")
        cookie = first.headers["set-cookie"].partition(";")[0]
        assert cookie.startswith("INGRESSCOOKIE=")
        again = {(await door.ask(host="sticky.test", headers={"Cookie": cookie})).seen["server"] for _ in range(10)}
        assert again == {first.seen["server"]}


async def _load(door: Door, stop: asyncio.Event, failures: list[str]) -> int:
    count = 0
    while not stop.is_set():
        try:
            answer = await door.ask()
            if answer.status != 200:
                failures.append(str(answer))
        except OSError as error:
            failures.append(repr(error))
        count += 1
    return count


async def test_no_request_is_lost_when_rules_and_endpoints_change(tmp_path: Path) -> None:
    async with running_door(tmp_path, ingress("one", path("web"))) as door:
        await door.serves(by="web")
        second = await door.behind("second")
        stop, failures = asyncio.Event(), []
        loads = [asyncio.create_task(_load(door, stop, failures)) for _ in range(4)]
        for number in range(5):
            door.page.put("ingresses", ingress("more", path("api"), host=f"h{number}.test"))
            place = second.place if number % 2 else door.servers["web"].place
            door.page.put("endpointslices", slice("web", place))
            await door.serves(by="api", host=f"h{number}.test")
        stop.set()
        count = sum(await asyncio.gather(*loads))
        assert not failures, failures[:3]
        assert count > 50


async def test_it_outlives_the_daemon_and_is_found_again(tmp_path: Path) -> None:
    async with running_door(tmp_path, ingress("one", path("web"))) as door:
        await door.serves(by="web")
        pid = door.pid
        await door.stop()
        assert (await door.ask()).status == 200
        (tmp_path / "process.json").unlink()  # as if the daemon had been killed before it wrote it
        door.page.put("ingresses", ingress("two", path("api"), host="b.test"))
        door.start()
        await door.serves(by="api", host="b.test")
        assert door.pid == pid
        os.kill(pid, signal.SIGKILL)

        async def another() -> bool:
            return door.pid != pid

        await door.until(another)
        await door.serves(by="web")
        second = door.pid
        for name in ("one", "two"):
            door.page.put("ingresses", ingress(name), "DELETED")

        async def over() -> bool:
            return not Path(f"/proc/{second}").exists() or not door.server._haproxy.is_alive

        await door.until(over)


async def test_websockets_pass(tmp_path: Path) -> None:
    async with running_door(tmp_path, ingress("one", path("web"))) as door:
        await door.serves(by="web")
        reader, writer = await asyncio.open_connection("127.0.0.1", door.plain)
        writer.write(
            b"GET / HTTP/1.1\r\nHost: a.test\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n"
            b"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n"
        )
        head = await asyncio.wait_for(reader.readuntil(b"\r\n\r\n"), 20)
        assert b"101" in head.split(b"\r\n")[0]
        writer.write(b"echo")
        assert await asyncio.wait_for(reader.readexactly(4), 20) == b"echo"
        writer.close()


async def test_what_haproxy_refuses_does_not_harm_the_others(tmp_path: Path) -> None:
    nested = "/x" + "(a{900}" * 4 + "){900}" * 4  # too large a machine for PCRE, fine for others
    odd = ingress(
        "odd", path("web", nested, "ImplementationSpecific"), annotations={"use-regex": "true"}, host="o.test"
    )
    later = ingress("later", path("api"), host="l.test")
    later["metadata"]["creationTimestamp"] = "2026-03-01T00:00:00Z"
    async with running_door(tmp_path, ingress("one", path("web")), odd, later) as door:
        await door.serves(by="web")
        await door.serves(by="api", host="l.test")
        assert (await door.ask("/xa", host="o.test")).status == 404


def authority() -> Issuer:
    key = new_key()
    return Issuer(make_authority("test", key, datetime.now(UTC)), key)


async def test_each_host_has_its_certificate(tmp_path: Path) -> None:
    issuer = authority()
    trust = tmp_path / "ca.pem"
    trust.write_bytes(dump_certificates(issuer.certificate))
    pairs = {
        name: make_pair(name, [host], issuer, datetime.now(UTC))
        for name, host in (("one", "a.test"), ("own", "b.test"))
    }
    one = secret("one", tls_crt=pairs["one"][0], tls_key=pairs["one"][1])
    own = secret("boxship-ingress", tls_crt=pairs["own"][0], tls_key=pairs["own"][1])
    own["metadata"]["namespace"] = "kube-system"
    first = ingress("first", path("web"), tls=[{"hosts": ["a.test"], "secretName": "one"}])
    second = ingress("second", path("api"), host="b.test", annotations={"force-ssl-redirect": "true"})
    context = ssl.create_default_context(cafile=trust)
    context.set_alpn_protocols(["h2", "http/1.1"])
    plain = ssl.create_default_context(cafile=trust)
    async with running_door(tmp_path / "door", first, second, secrets=[one, own]) as door:
        await door.serves(by="web", tls=plain)
        await door.serves(by="api", tls=plain, host="b.test")
        with pytest.raises(ssl.SSLCertVerificationError):
            await door.ask(tls=plain, host="c.test")
        for host in ("a.test", "b.test"):
            away = await door.ask("/x?y", host=host)
            assert (away.status, away.headers["location"]) == (308, f"https://{host}:{door.tls}/x?y")
        _, writer = await asyncio.open_connection("127.0.0.1", door.tls, ssl=context, server_hostname="a.test")
        assert writer.get_extra_info("ssl_object").selected_alpn_protocol() == "h2"
        writer.close()
        renewed = make_pair("one", ["a.test"], issuer, datetime.now(UTC))
        door.page.put("secrets", secret("one", tls_crt=renewed[0], tls_key=renewed[1]))
        wanted = ssl.PEM_cert_to_DER_cert(renewed[0].decode())

        async def served() -> bool:
            _, writer = await asyncio.open_connection("127.0.0.1", door.tls, ssl=plain, server_hostname="a.test")
            found = writer.get_extra_info("ssl_object").getpeercert(binary_form=True)
            writer.close()
            return bool(found == wanted)

        await door.until(served)
        broken = secret("one", tls_crt=renewed[0], tls_key=pairs["own"][1])
        door.page.put("secrets", broken)
        door.page.put("ingresses", ingress("third", path("api"), host="d.test"))
        await door.serves(by="api", host="d.test")  # a pair that does not fit harms nobody else
        await door.serves(by="api", tls=plain, host="b.test")
