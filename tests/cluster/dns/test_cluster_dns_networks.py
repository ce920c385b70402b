"""What a cluster and the machine's own networks know of each other: containers find services, pods find containers."""

from pathlib import Path

import dns.message
import dns.rcode
from names_kit import Page, running_names, service

from boxship.network.directory import Directory
from boxship.network.elsewhere import Elsewhere, Neighbours
from boxship.network.hostfiles import HostFiles
from boxship.network.model import Settings
from boxship.network.resolver import Answerer, Policy
from boxship.transport.nameservers import Upstream
from boxship.wire import dns as wire

LEADS_OUT = Policy("c" * 64, forwards=True, nameservers=("127.0.0.254",), keeps_short_names=False)
LEADS_NOWHERE = Policy("d" * 64, forwards=False, nameservers=(), keeps_short_names=False)


def query(name: str, kind: str = "A") -> bytes:
    return dns.message.make_query(name, kind).to_wire()


def addresses(answer: object) -> list[str]:
    assert isinstance(answer, bytes)
    return [one.to_text() for records in dns.message.from_wire(answer).answer for one in records]


async def test_containers_find_services(tmp_path: Path) -> None:
    page = Page(services=[service("web", "10.96.0.7")], endpointslices=[], namespaces=[])
    elsewhere = Elsewhere()
    host = HostFiles(Settings(resolv_conf=tmp_path / "none", hosts_file=tmp_path / "none"))
    answerer = Answerer(Directory(), Upstream(), host, elsewhere)
    async with running_names(page) as names:
        for name in ("web.default.svc", "web.default.svc.cluster.local"):
            assert isinstance(answerer.at_once(LEADS_OUT, query(name), stream=False), wire.Question)
            with elsewhere.asked(names.server):
                assert addresses(answerer.at_once(LEADS_OUT, query(name), stream=False)) == ["10.96.0.7"]
                kept = answerer.at_once(LEADS_NOWHERE, query(name), stream=False)
                assert isinstance(kept, wire.Question)
                code = dns.message.from_wire(await answerer.passed_on(LEADS_NOWHERE, kept, stream=False)).rcode()
                assert code == dns.rcode.SERVFAIL
        with elsewhere.asked(names.server):
            answer = answerer.at_once(LEADS_OUT, query("no.default.svc"), stream=False)
            assert isinstance(answer, bytes) and dns.message.from_wire(answer).rcode() == dns.rcode.NXDOMAIN
            assert isinstance(answerer.at_once(LEADS_OUT, query("example.com"), stream=False), wire.Question)


def filled(*containers: tuple[str, str, str]) -> Directory:
    """(network, name, address) each."""
    directory = Directory()
    for network, name, address in containers:
        names = directory._networks.setdefault(network, _names(network))
        names.addresses.setdefault(name, {})[address] = address
        names.owners[address] = name
    return directory


def _names(network: str):  # type: ignore[no-untyped-def]
    from boxship.network.directory import _Names

    return _Names(network)


async def test_pods_find_containers() -> None:
    known = Neighbours(
        filled(
            ("shop_default", "db", "172.18.0.2"),
            ("shop_default", "cache", "172.18.0.3"),
            ("other", "cache", "172.19.0.3"),
            ("other", "my.box", "172.19.0.4"),
        )
    )
    page = Page(services=[], endpointslices=[], namespaces=[])
    async with running_names(page, neighbours=known) as names:
        for name in ("db", "db.docker.internal", "db.shop.docker.internal", "db.shop_default.docker.internal"):
            assert await names.texts(name) == ["172.18.0.2"], name
        assert await names.texts("cache.other.docker.internal") == ["172.19.0.3"]
        assert await names.texts("my.box.other.docker.internal") == ["172.19.0.4"]
        assert await names.texts("2.0.18.172.in-addr.arpa", "PTR") == ["db.shop_default.docker.internal."]
        assert (await names.ask("db", "AAAA")).rcode() == dns.rcode.NOERROR
        assert (await names.ask("cache")).rcode() == dns.rcode.SERVFAIL  # two networks have it
