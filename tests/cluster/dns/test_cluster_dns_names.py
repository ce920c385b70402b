"""The names of the cluster as a client of DNS sees them."""

import asyncio
import time
from collections.abc import AsyncIterator

import dns.flags
import dns.message
import dns.rcode
import pytest
from names_kit import Asking, Others, Page, answer_text, endpoint, running_names, service, slice

DOMAIN = "cluster.local"
QUICK_SECONDS = 0.0002


def page() -> Page:
    headless = service("db", "None", ports=[{"name": "sql", "port": 5432, "protocol": "TCP"}])
    external = service("out", type="ExternalName", externalName="example.com", clusterIP="")
    inward = service("in", type="ExternalName", externalName=f"web.default.svc.{DOMAIN}", clusterIP="")
    dual = [{"name": "http", "port": 80, "protocol": "TCP"}, {"name": "dns", "port": 53, "protocol": "UDP"}]
    return Page(
        services=[service("web", "10.96.0.7", ports=dual), headless, external, inward, service("bare", "None")],
        endpointslices=[
            slice(
                "db",
                endpoint("10.244.0.4", "db-0"),
                endpoint("10.244.0.5", "db-1"),
                endpoint("10.244.0.6", ready=False),
            ),
            slice("web", endpoint("10.244.0.9"), endpoint("10.244.0.10")),
        ],
        namespaces=[{"metadata": {"name": "default"}}, {"metadata": {"name": "empty"}}],
    )


class Containers:
    def addresses_of(self, name: str, network: str) -> list[str]:
        known = {("db", "shop"): ["172.18.0.2"], ("cache", "shop"): ["172.18.0.3"], ("cache", "other"): ["172.19.0.3"]}
        found = [addresses for (of, on), addresses in known.items() if of == name and network in ("", on)]
        return found[0] if len(found) == 1 else []

    def name_of(self, address: str) -> str:
        return "db.shop" if address == "172.18.0.2" else ""


@pytest.fixture
async def names() -> AsyncIterator[Asking]:
    others = Others(
        {
            "example.com": answer_text("example.com. 60 IN A 192.0.2.80"),
            "gone.example.com": answer_text(code="NXDOMAIN", authority=["example.com. 30 IN SOA a. b. 1 2 3 4 20"]),
        }
    )
    async with running_names(page(), others, neighbours=Containers()) as asking:
        yield asking


async def test_services_and_their_endpoints(names: Asking) -> None:
    assert await names.texts(f"web.default.svc.{DOMAIN}") == ["10.96.0.7"]
    assert await names.texts(f"WEB.Default.svc.{DOMAIN}") == ["10.96.0.7"]
    assert await names.texts(f"db.default.svc.{DOMAIN}") == ["10.244.0.4", "10.244.0.5"]
    assert await names.texts(f"db-1.db.default.svc.{DOMAIN}") == ["10.244.0.5"]
    assert await names.texts(f"10-244-0-9.web.default.svc.{DOMAIN}") == ["10.244.0.9"]
    assert await names.texts(f"10-244-7-9.empty.pod.{DOMAIN}") == ["10.244.7.9"]
    assert await names.texts(f"dns-version.{DOMAIN}", "TXT") == ['"1.1.0"']
    assert await names.texts(f"in.default.svc.{DOMAIN}") == ["10.96.0.7", f"web.default.svc.{DOMAIN}."]
    assert await names.texts(f"{DOMAIN}", "NS") == [f"ns.dns.{DOMAIN}."]


async def test_named_ports(names: Asking) -> None:
    (found,) = await names.texts(f"_http._tcp.web.default.svc.{DOMAIN}", "SRV")
    assert found == f"0 100 80 web.default.svc.{DOMAIN}."
    whole = await names.ask(f"_http._tcp.db.default.svc.{DOMAIN}", "SRV")
    targets = sorted(one.to_text() for records in whole.answer for one in records)
    assert targets == [f"0 50 8080 db-{number}.db.default.svc.{DOMAIN}." for number in (0, 1)]
    assert sorted(one.to_text() for records in whole.additional for one in records) == ["10.244.0.4", "10.244.0.5"]
    assert (await names.ask(f"_no._tcp.web.default.svc.{DOMAIN}", "SRV")).rcode() == dns.rcode.NXDOMAIN
    assert len(await names.texts(f"web.default.svc.{DOMAIN}", "SRV")) == 2


@pytest.mark.parametrize(
    ("name", "kind", "code"),
    [
        ("nobody.default.svc", "A", "NXDOMAIN"),
        ("web.default.svc", "AAAA", "NOERROR"),
        ("bare.default.svc", "A", "NXDOMAIN"),  # headless, and nobody is ready
        ("default.svc", "A", "NOERROR"),
        ("empty.svc", "A", "NOERROR"),
        ("nowhere.svc", "A", "NXDOMAIN"),
        ("svc", "A", "NOERROR"),
        ("_tcp.web.default.svc", "A", "NOERROR"),
        ("_sctp.web.default.svc", "A", "NXDOMAIN"),
        ("_._tcp.web.default.svc", "SRV", "NXDOMAIN"),
        ("a.b.c.d.web.default.svc", "A", "NXDOMAIN"),
        ("10-244-0-6.db.default.svc", "A", "NXDOMAIN"),
        ("10-244-0-1.nowhere.pod", "A", "NXDOMAIN"),
        ("example.com.default.svc", "A", "NXDOMAIN"),
        ("web.default.svc", "MX", "NOERROR"),
    ],
)
async def test_what_is_not_there(names: Asking, name: str, kind: str, code: str) -> None:
    found = await names.ask(f"{name}.{DOMAIN}", kind)
    assert (dns.rcode.to_text(found.rcode()), found.answer) == (code, [])
    assert found.flags & dns.flags.AA and found.authority[0].to_text().split()[3] == "SOA"


async def test_names_of_addresses(names: Asking) -> None:
    assert await names.texts("7.0.96.10.in-addr.arpa", "PTR") == [f"web.default.svc.{DOMAIN}."]
    assert await names.texts("4.0.244.10.in-addr.arpa", "PTR") == [f"db-0.db.default.svc.{DOMAIN}."]
    assert await names.texts("9.0.244.10.in-addr.arpa", "PTR") == [f"10-244-0-9.web.default.svc.{DOMAIN}."]
    assert await names.texts("2.0.18.172.in-addr.arpa", "PTR") == ["db.shop.docker.internal."]


async def test_the_rest_is_asked_once_and_remembered(names: Asking) -> None:
    assert await names.texts("example.com") == ["192.0.2.80"]
    assert await names.texts("Example.com") == ["192.0.2.80"]
    assert names.others.asked == ["example.com"]
    found = await names.texts(f"out.default.svc.{DOMAIN}")
    assert found == ["192.0.2.80", "example.com."]
    assert (await names.ask("gone.example.com")).rcode() == dns.rcode.NXDOMAIN
    assert (await names.ask("gone.example.com")).rcode() == dns.rcode.NXDOMAIN
    assert (await names.ask("unknown.example.com")).rcode() == dns.rcode.SERVFAIL
    assert names.others.asked == ["example.com", "gone.example.com", "unknown.example.com"]


async def test_containers_of_the_machine(names: Asking) -> None:
    assert await names.texts("db.shop.docker.internal") == ["172.18.0.2"]
    assert await names.texts("cache.other.docker.internal") == ["172.19.0.3"]
    assert await names.texts("db") == ["172.18.0.2"]
    assert (await names.ask("cache")).rcode() == dns.rcode.SERVFAIL  # ambiguous: others may know


async def test_changes_are_seen(names: Asking) -> None:
    names.page.put("services", service("new", "10.96.0.9"), "ADDED")
    names.page.put("services", service("web", "10.96.0.7"), "DELETED")
    names.page.put("endpointslices", slice("db", endpoint("10.244.0.6", "db-2")))
    for _ in range(100):
        if (await names.ask(f"web.default.svc.{DOMAIN}")).rcode() == dns.rcode.NXDOMAIN:
            break
    assert await names.texts(f"new.default.svc.{DOMAIN}") == ["10.96.0.9"]
    assert await names.texts(f"db.default.svc.{DOMAIN}") == ["10.244.0.6"]
    assert (await names.ask("7.0.96.10.in-addr.arpa", "PTR")).rcode() == dns.rcode.SERVFAIL


async def test_large_answers_are_cut_and_whole_over_tcp(names: Asking) -> None:
    many = [endpoint(f"10.244.1.{number}") for number in range(1, 101)]
    names.page.put("endpointslices", slice("bare", *many))
    name = f"bare.default.svc.{DOMAIN}"
    while not (found := await names.ask(name)).answer:
        pass
    assert found.flags & dns.flags.TC and 20 < len(found.answer[0]) < 30
    offered = await names.ask(name, use_edns=0, payload=1232)
    assert offered.flags & dns.flags.TC and len(offered.answer[0]) > 60
    whole = await names.ask(name, tcp=True)
    assert not whole.flags & dns.flags.TC and len(whole.answer[0]) == 100
    firsts = {(await names.ask(name)).answer[0][0].to_text() for _ in range(20)}
    assert len(firsts) > 5


async def test_an_answer_from_memory_is_quick(names: Asking) -> None:
    queries = [
        dns.message.make_query(f"{name}.default.svc.{DOMAIN}", "A").to_wire() for name in ("web", "db", "nobody")
    ]
    best = 1.0
    for _ in range(20):
        begun = time.perf_counter()
        for query in queries * 10:
            assert names.server.at_once(query)
        best = min(best, (time.perf_counter() - begun) / 30)
    print(f"{best * 1e6:.0f} µs")
    assert best < QUICK_SECONDS


async def test_questions_under_way_are_asked_once(names: Asking) -> None:
    """So a circle of nameservers ends here: the question that comes back waits for the first."""
    names.others.gate.clear()
    several = [asyncio.create_task(names.ask("example.com")) for _ in range(5)]
    while not names.others.asked:
        await asyncio.sleep(0)
    names.others.gate.set()
    assert [bool((await one).answer) for one in several] == [True] * 5
    assert names.others.asked == ["example.com"]


async def test_what_is_no_question_gets_no_harm(names: Asking) -> None:
    ask = names.server.answer
    assert await ask(b"") is None
    assert await ask(b"\0" * 12) is not None
    query = dns.message.make_query(f"web.default.svc.{DOMAIN}", "A").to_wire()
    for end in range(len(query)):
        await ask(query[:end])
    notify = bytearray(query)
    notify[2] |= 4 << 3
    refused = await ask(bytes(notify))
    assert refused is not None and refused[3] & 0xF == 4
    assert (await names.ask(DOMAIN, "AXFR")).rcode() == dns.rcode.REFUSED
