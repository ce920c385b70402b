"""What the flags of `config` print, and fingerprints."""

import json

import pytest
import yaml
from compose_cases_kit import loaded
from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec import structs

from boxship.compose import printing
from boxship.compose.hashing import grants_hash, network_hash, service_hash, volume_hash
from boxship.compose.interpolation import Use
from boxship.compose.load import Options
from boxship.compose.model import Project, Volume
from boxship.compose.printing_yaml import dump
from boxship.compose.reading import parse
from boxship.compose.trees import plain
from boxship.errors import Invalid

TEXT = """
name: shop
services:
  web: {image: nginx, depends_on: [zeta], networks: [front], environment: {PRICE: "$$5"}}
  zeta: {build: ., volumes: [data:/d]}
  alpha: {image: a, profiles: [p, q]}
networks: {front: }
volumes: {data: }
x-kept: {b: 1, a: [1.50, .inf]}
"""


@pytest.fixture(scope="module")
def project() -> Project:
    return loaded(TEXT, {"Z": "1"})


def test_lists_of_names(project: Project) -> None:
    assert printing.services_text(project) == "zeta\nweb\n"
    assert printing.volumes_text(project) == "data\n"
    assert printing.networks_text(project) == "default\nfront\n"
    assert printing.images_text(project) == "nginx\nshop-zeta\n"
    assert printing.profiles_text(project) == "p\nq\n"
    assert "HOME=/root\n" in printing.environment_text(project)


def test_the_variables_table() -> None:
    uses = (Use("TAG", default="latest"), Use("PORT", required=True), Use("A" * 30, replacement="x"))
    assert printing.variables_text(uses).splitlines() == [
        f"{'NAME':33}{'REQUIRED':20}{'DEFAULT VALUE':20}ALTERNATE VALUE",
        f"{'TAG':33}{'false':20}{'latest':20}",
        f"{'PORT':33}{'true':20}{'':20}",
        f"{'A' * 30:33}{'false':20}{'':20}x",
    ]


def test_dollars_are_doubled_so_that_the_text_can_be_read_again(project: Project) -> None:
    text = printing.config_yaml(project)
    assert "PRICE: $$5" in text
    assert "x-kept:\n  a:\n    - 1.5\n    - .inf\n  b: 1\n" in text
    again = loaded(text)
    assert printing.config_yaml(again) == text
    with pytest.raises(Invalid, match="a number that JSON does not have"):
        printing.config_json(project)
    finite = structs.replace(project, extensions={})
    assert json.loads(printing.config_json(finite))["services"]["web"]["environment"] == {"PRICE": "$$5"}


def test_images_can_be_pinned(project: Project) -> None:
    pinned = printing.with_images(project, lambda image: f"{image}@sha256:00")
    assert pinned.services["web"].image == "nginx@sha256:00"
    assert pinned.services["zeta"].image == ""


def test_fingerprints_leave_out_how_many_and_how_the_image_comes(project: Project) -> None:
    web = project.services["web"]
    assert len(service_hash(web)) == 64
    same = structs.replace(web, scale=3, pull_policy="always", build=project.services["zeta"].build)
    assert service_hash(same) == service_hash(web)
    assert service_hash(structs.replace(web, hostname="other")) != service_hash(web)
    assert service_hash(structs.replace(web, extensions={"x-a": 1})) == service_hash(web)
    lines = printing.hashes_text(project, ("zeta", "web"), service_hash).splitlines()
    assert lines[0] == f"web {service_hash(web)}"
    assert lines[1].startswith("zeta ")
    with pytest.raises(Invalid, match=r'no such service: wb \(did you mean "web"\?\)'):
        printing.hashes_text(project, ("wb",), service_hash)
    assert volume_hash(Volume(name="v")) == volume_hash(Volume(name="v", driver="local"))
    assert network_hash(project.networks["front"]) != network_hash(project.networks["default"])


def test_what_a_service_is_given_has_a_fingerprint_of_its_own() -> None:
    text = """
services:
  a: {image: x, secrets: [s, v], configs: [c]}
  b: {image: x}
secrets: {s: {file: ./s}, v: {environment: V}}
configs: {c: {content: "CONTENT"}}
"""

    def digest(content: str, file: str, variable: str) -> str:
        more, grants = {"/p/s": file}, Options(grants=True)
        project = loaded(text.replace("CONTENT", content), {"V": variable}, grants, more)
        assert grants_hash(project, project.services["b"]) == ""
        assert "digest" not in printing.config_json(project)
        return grants_hash(project, project.services["a"])

    seen = {digest("1", "1", "1"), digest("2", "1", "1"), digest("1", "2", "1"), digest("1", "1", "2")}
    assert len(seen) == 4
    assert digest("1", "1", "1") in seen
    project = loaded(text, {"V": "1"}, more={"/p/s": ""})
    assert grants_hash(project, project.services["a"]) == ""


LEAVES = st.one_of(
    st.text(alphabet=st.characters(codec="utf-8", exclude_categories=("Cs", "Cc"), exclude_characters="\ufeff")),
    st.sampled_from(
        ["yes", "NO", "~", "null", "1", "0x1", "1e3", "1_0", ".5", "2020-01-01", "a: b", "#", "- ", "\n", "a\nb"]
    ),
    st.sampled_from(
        ["", " ", "a ", "\ta", "é", "🙂", "%", "@", "`", "'", '"', "{}", "[]", "!", "&a", "*a", "?", "|", ">", "="]
    ),
    st.integers(min_value=-(2**60), max_value=2**60),
    st.booleans(),
    st.none(),
    st.floats(allow_nan=False, allow_infinity=False, width=32),
)
VALUES = st.recursive(
    LEAVES, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text("ab-y1", min_size=1), inner, max_size=3)
)


@settings(max_examples=60, deadline=None)
@given(st.dictionaries(st.text("xyn1: #", min_size=1), VALUES, min_size=1, max_size=4))
def test_what_is_written_reads_back_the_same(values: dict[str, object]) -> None:
    text = dump(values)
    (document,) = parse(text.encode(), "f")
    assert plain(document) == values
    assert set(yaml.safe_load(text)) == set(values)
