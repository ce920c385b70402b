"""What people write in Ingresses never breaks haproxy's files, nor gets more into them than it should: pure decisions,
and a look by haproxy itself at files made of random annotations."""

import random
import re
import shlex
import subprocess
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from ingress_kit import NGINX, ingress, path

from boxship.cluster.controllers.services.ingresses import LARGEST, certified_of, is_of_the_cluster
from boxship.cluster.ingress.configuration import CONFIGURATION, Wanted, files_of
from boxship.cluster.ingress.facts import Place, service_of, slice_of
from boxship.cluster.ingress.model import Plan, parsed_of, plan_of
from boxship.cluster.ingress.routing import tables_of
from boxship.cluster.ingress.secrets import is_hash
from boxship.cluster.ingress.serving import wanted_of
from boxship.cluster.ingress.slots import all_commands, first_slots, moved
from boxship.cluster.objects import Object
from boxship.cluster.objects.ingress.annotations import CANARY, COOKIE, CORS, LIMITS, SIMPLE, parse
from boxship.cluster.objects.ingress.classes import hosts_without_certificate, is_ours, our_classes, secrets_of

NASTY = [
    "'",
    '"',
    "\\",
    "%[src]",
    "$",
    "{ }",
    "\n    server evil 1.2.3.4:80",
    "#",
    " ",
    "é",
    "(",
    "[",
    "|",
    ";",
    "`",
    "\0",
]
FINE = [
    "true",
    "false",
    "10",
    "10m",
    "a.test",
    "/x/$1",
    "https://a.test/%41",
    "10.0.0.0/8",
    "cookie",
    "X-A",
    "^a(b|c)$",
]
KNOWN = [*SIMPLE, *COOKIE, *CORS, *CANARY, *LIMITS, "affinity", "enable-cors", "canary", "permanent-redirect"]
KNOWN += ["permanent-redirect-code", "auth-type", "auth-secret", "backend-protocol", "upstream-hash-by", "load-balance"]


def plan(*ingresses: Object) -> Plan:
    return plan_of([parsed_of(one) for one in ingresses])


def wanted(plan: Plan) -> Wanted:
    slots = {name: first_slots([Place("127.0.0.1", 80)]) for name in plan.backends}
    users = {"me": "$5$salt$abc", "you": "$apr1$salt$" + "a" * 22}
    return Wanted(plan, slots, {}, [Place("127.0.0.1", 8080)], (), {}, {}, {"users_file_default_users": users})


def values(chance: random.Random) -> dict[str, str]:
    """Sometimes right, sometimes not, sometimes meant to do harm."""
    found = {}
    for name in chance.sample(KNOWN, chance.randrange(1, 8)):
        value = chance.choice([*FINE, "basic", "users", "GRPC", "$http_x_a", "ewma", "301", "always"])
        if chance.random() < 0.3:
            place = chance.randrange(len(value) + 1)
            value = value[:place] + chance.choice(NASTY) + value[place:]
        found[name] = value
    return found


@pytest.mark.skipif(not Path("/usr/sbin/haproxy").exists(), reason="haproxy is not installed")
@pytest.mark.parametrize("seed", range(4))
def test_haproxy_takes_files_of_random_annotations(seed: int, tmp_path: Path) -> None:
    chance = random.Random(seed)
    ingresses = []
    for number in range(150):
        kind = chance.choice(["Prefix", "Exact", "ImplementationSpecific"])
        route = chance.choice(
            ["/", "/a", "/a(/|$)(.*)", "/a.b", "/x y", "/(", "/a'b", "/é", "/a{2}", "/[a-z]+", "/%20"]
        )
        made = ingress(f"i{number}", path("web", route, kind), host=f"h{number % 40}.test", annotations=values(chance))
        ingresses.append(made)
    files = files_of(wanted(plan(*ingresses)), tmp_path, tmp_path / "s.sock")
    for name, data in files.items():
        (tmp_path / name).write_bytes(data)
    checked = subprocess.run(["haproxy", "-c", "-f", tmp_path / CONFIGURATION], capture_output=True, text=True)
    assert checked.returncode == 0, checked.stderr
    assert b"server evil" not in files[CONFIGURATION]


@given(st.dictionaries(st.sampled_from(KNOWN), st.text(max_size=30), max_size=6))
def test_annotations_are_read_or_named(annotations: dict[str, str]) -> None:
    settings = parse({NGINX + key: value for key, value in annotations.items()}, "default")
    if settings.wrong or settings.unsupported:
        assert all(name.startswith(NGINX) for name in (*settings.wrong, *settings.unsupported))
    if "auth-type" in annotations and not settings.auth_secret:
        assert settings.closed
    if (
        "whitelist-source-range" in annotations
        and not settings.allowed
        and annotations["whitelist-source-range"].strip(", ")
    ):
        assert settings.closed


def test_what_is_unknown_is_named() -> None:
    given = {NGINX + "server-snippet": "x", NGINX + "proxy-buffering": "off", NGINX + "proxy-read-timeout": "-1"}
    settings = parse({**given, "other.io/x": "y"}, "default")
    assert settings.unsupported == (NGINX + "server-snippet",)
    assert settings.wrong[0].startswith(NGINX + "proxy-read-timeout: write a number")
    assert not settings.closed and settings.read_seconds == 60
    assert parse({NGINX + "auth-url": "x"}, "default").closed
    foreign = parse({NGINX + "auth-type": "basic", NGINX + "auth-secret": "other/users"}, "default")
    assert foreign.closed and "same namespace" in foreign.wrong[0]


def test_the_older_ingress_has_the_path() -> None:
    old, new = ingress("old", path("web")), ingress("new", path("api"))
    new["metadata"]["creationTimestamp"] = "2026-02-01T00:00:00Z"
    (route,) = plan(new, old).routes
    assert route.backend.service == "web"


def test_whose_an_ingress_is() -> None:
    def made(name: str, controller: str, **annotations: str) -> Object:
        return {"metadata": {"name": name, "annotations": annotations}, "spec": {"controller": controller}}

    default: Any = {"ingressclass.kubernetes.io/is-default-class": "true"}
    ours = our_classes([made("boxship", "boxship.io/ingress", **default), made("nginx", "k8s.io/ingress-nginx")])
    plain = ingress("a")
    assert is_ours(plain, ours)
    assert not is_ours({**plain, "spec": {"ingressClassName": "nginx"}}, ours)
    assert not is_ours(plain, our_classes([made("boxship", "boxship.io/ingress")]))
    covered = ingress("b", path("web"), tls=[{"hosts": ["a.test"], "secretName": "s"}, {"hosts": ["b.test"]}])
    assert hosts_without_certificate(covered) == ["b.test"]


def test_nobody_gets_a_certificate_for_the_cluster_itself() -> None:
    nodes = ["node1", "node2.site.test"]
    for host in (
        "kubernetes",
        "kubernetes.default",
        "*.default.svc",
        "db.shop.svc.cluster.local",
        "localhost",
        "node1",
    ):
        assert is_of_the_cluster(host, nodes)
    assert is_of_the_cluster("*.site.test", nodes)
    assert not any(is_of_the_cluster(host, nodes) for host in ("shop.test", "*.shop.test", "web.site.test"))


def test_the_older_ingresses_have_certificates() -> None:
    """Whoever comes later takes nobody's away, and is told."""
    old = ingress("z-old", path("web"), host="z.test")
    old["metadata"]["creationTimestamp"] = "2025-01-01T00:00:00Z"
    many = [ingress(f"m{number:03}", path("web"), host=f"a{number}.test") for number in range(LARGEST)]
    own = ingress("own", path("web"), host="node1")
    hosts, told = certified_of([*many, own, old], ["node1"])
    assert len(hosts) == LARGEST and "z.test" in hosts and "a499.test" not in hosts
    assert set(told) == {("default", "m499"), ("default", "own")}
    assert "a499.test: it is for 500 hosts" in told["default", "m499"][0]
    assert "node1: it is a name of the cluster itself" in told["default", "own"][0]
    assert certified_of([], []) == ({}, {})


def test_what_no_rule_matches() -> None:
    ruled = ingress("ruled", path("api", "/api"), path("web", "/x(.*)", "ImplementationSpecific"))
    ruled["spec"]["defaultBackend"] = path("old")["backend"]
    ruled["metadata"]["annotations"] = {NGINX + "use-regex": "true"}
    later = ingress("later", path("all", "/"), host="b.test")
    later["spec"]["defaultBackend"] = path("late")["backend"]
    later["metadata"]["creationTimestamp"] = "2026-02-01T00:00:00Z"
    older = ingress("older", host="b.test")
    older["spec"]["defaultBackend"] = path("never")["backend"]
    found = plan(later, older, ruled)
    services = {(route.host, route.path): route.backend.service for route in found.routes}
    assert services == {
        ("a.test", "/api"): "api",
        ("a.test", "/x(.*)"): "web",
        ("a.test", "/"): "old",
        ("b.test", "/"): "all",  # a rule comes before an older default
        ("", "/"): "never",
    }
    tables = tables_of(found)
    assert found.backends[tables.fallback].service == "never"
    assert tables.maps["patterns"].splitlines()[-1].startswith("^s1-(/|$) ")
    assert tables_of(plan(ingress("one", path("web")))).fallback == ""


def test_names_are_names_and_numbers_have_ends() -> None:
    """What becomes part of a selector, a path or a number of haproxy's."""
    for name in ("users,metadata.name!=x", "../x", "a b", "Users", "a" * 254):
        marked = {"auth-type": "basic", "auth-secret": name}
        assert parse({NGINX + key: value for key, value in marked.items()}, "default").closed, name
        assert not list(secrets_of(ingress("one", annotations=marked))), name
    assert list(secrets_of(ingress("one", annotations={"auth-secret": " default/users "}))) == [("default", "users")]
    for key, value in (("proxy-body-size", "9" * 10 + "g"), ("proxy-read-timeout", "9999999")):
        assert parse({NGINX + key: value}, "default").wrong, key
    for value in ("}", "-f"):
        given = {"canary": "true", "canary-by-header": "X-A", "canary-by-header-value": value}
        canary = parse({NGINX + key: text for key, text in given.items()}, "default").canary
        assert canary is not None and canary.value in ("", "-f")
    assert is_hash("$2y$10$" + "a" * 53) and not is_hash("$2y$31$" + "a" * 53)
    assert is_hash("$6$rounds=50000$s$a") and not is_hash("$6$rounds=999999999$s$a")
    names = {"addressType": "FQDN", "metadata": {}, "endpoints": [{"addresses": ["localhost"]}]}
    assert slice_of(names).endpoints == ()


def test_one_secret_may_be_read_in_two_ways() -> None:
    marked = {"auth-type": "basic", "auth-secret": "users"}
    file = ingress("file", path("web"), annotations=marked)
    map = ingress("map", path("web"), host="b.test", annotations={**marked, "auth-secret-type": "auth-map"})
    hashed = b"$5$salt$abc"
    made = wanted_of(plan(file, map), {}, {}, ((), ()), {("default", "users"): {"auth": b"me:" + hashed}}.get)
    assert made.accounts == {"users_file_default_users": {"me": hashed.decode()}}
    made = wanted_of(plan(map, file), {}, {}, ((), ()), {("default", "users"): {"me": hashed}}.get)
    assert made.accounts == {"users_map_default_users": {"me": hashed.decode()}}


def test_tables_lead_to_backends() -> None:
    made = ingress("a", path("web"), path("api", "/api/"), path("web", "/one", "Exact"))
    pattern = ingress("b", path("web", "/x(.*)", "Prefix"), host="*.b.test", annotations={"use-regex": "true"})
    maps = tables_of(plan(made, pattern)).maps
    assert maps["hosts"] == "a.test s1-\n" and maps["wildcards"] == ".b.test s2-\n"
    assert [line.split()[0] for line in maps["prefixes"].splitlines()] == ["s1-/", "s1-/api/"]
    assert maps["exact"].startswith("s1-/one ") and maps["patterns"].startswith("^s2-(?i:/x(.*)) ")


def test_no_annotation_says_more_to_haproxy_than_it_may(tmp_path: Path) -> None:
    """Each would have read a file of the machine, or had a program started, as root."""
    ranges = "::1%x }\n    http-request return status 200 content-type text/plain file hosts\n#/128"
    text = "x' content-type text/plain file /etc/shadow if TRUE #"
    hostile = dict.fromkeys(("cors-allow-methods", "cors-allow-headers", "cors-expose-headers"), text)
    hostile |= dict.fromkeys(("whitelist-source-range", "denylist-source-range", "limit-whitelist"), ranges)
    hostile |= {"enable-cors": "true", "canary-by-header": "a'b", "canary-by-cookie": "a#b", "limit-rps": "1"}
    one = ingress("one", path("web", "/a\n    server evil", "Exact"), path("web"), annotations=hostile)
    lines = files_of(wanted(plan(one)), tmp_path, tmp_path / "s.sock")[CONFIGURATION].decode().splitlines()
    assert not [line for line in lines if line.strip().startswith(("http-request return status 200", "server evil"))]
    assert not [line for line in lines if "file" in shlex.split(line, comments=True)]
    assert parse({NGINX + "whitelist-source-range": ranges}, "default").closed


def test_an_expression_is_for_its_own_host_alone() -> None:
    many = [ingress(f"i{number}", path("web"), host=f"h{number}.test") for number in range(12)]
    many[1] = ingress("i1", path("bad", "/x|.*"), host="h1.test", annotations={"use-regex": "true"})
    maps = tables_of(plan(*many)).maps
    site = {line.split()[0]: line.split()[1] for line in maps["hosts"].splitlines()}
    (expression,) = (line.split()[0] for line in maps["patterns"].splitlines())
    found = {host for host, name in site.items() if re.search(expression, f"{name}/admin")}
    assert found == {"h1.test"}


@pytest.mark.parametrize("name", ["localhost", "a.localhost", "LOCALHOST.", "127.0.0.1", "169.254.169.254"])
def test_no_name_leads_back_to_the_machine(name: str) -> None:
    assert service_of({"spec": {"type": "ExternalName", "externalName": name}}).external == ""
    assert service_of({"spec": {"type": "ExternalName", "externalName": "db.test"}}).external == "db.test"


places = st.sets(st.integers(1, 20), max_size=12)


@given(st.lists(places, min_size=1, max_size=8))
def test_slots_follow_endpoints(steps: list[set[int]]) -> None:
    def of(numbers: set[int]) -> list[Place]:
        return sorted(Place(f"10.0.0.{number}", 80) for number in numbers)

    slots = first_slots(of(steps[0]))
    serving = {number: place for number, place in enumerate(slots, 1) if place}
    for step in steps[1:]:
        after = moved(slots, of(step))
        if after is None:
            assert len(step) > len(slots)
            slots = first_slots(of(step))
            serving = {number: place for number, place in enumerate(slots, 1) if place}
            continue
        for line in all_commands({"b": slots}, {"b": after}):
            words = line.split()
            number = int(words[2].partition("/e")[2])
            if words[3] == "addr":
                serving[number] = Place(words[4], int(words[6]))
            elif words[4] == "maint":
                serving.pop(number, None)
        slots = after
        assert sorted(serving.values()) == of(step)
        assert all(serving.get(number) == place for number, place in enumerate(slots, 1) if place)
