"""Wrong files: one error each, with the file, the line and the nearest right name, before anything is touched."""

import pytest
from compose_cases_kit import loaded, wrong_files

from boxship.compose.document import FileError
from boxship.compose.load import Options
from boxship.errors import BoxshipError, Unsupported


def test_there_are_enough_wrong_files() -> None:
    assert len(wrong_files()) >= 100


def test_every_wrong_file_has_its_error() -> None:
    for text, message in wrong_files():
        with pytest.raises(BoxshipError) as raised:
            loaded(text)
        assert str(raised.value) == message, text


def test_what_the_platform_lacks_is_a_kind_of_its_own() -> None:
    with pytest.raises(Unsupported, match=r"compose.yaml:2:28: unsupported: services.a.isolation: process"):
        loaded("services:\n  a: {image: x, isolation: process}\n")


def test_an_error_in_an_overriding_file_names_that_file() -> None:
    more = {"/p/compose.override.yaml": "services:\n  web:\n    depends_on: [bd]\n"}
    with pytest.raises(
        FileError, match=r'override.yaml:3:18: services.web: there is no service "bd" .did you mean "db"'
    ):
        loaded("services:\n  web: {image: x}\n  db: {image: x}\n", more=more)


def test_half_a_service_may_stand_in_a_file_that_overrides() -> None:
    more = {"/p/compose.override.yaml": "services:\n  web:\n    depends_on: {db: {restart: true}}\n"}
    base = "services:\n  web: {image: x, depends_on: {db: {condition: service_healthy}}}\n  db: {image: x}\n"
    assert loaded(base, more=more).services["web"].depends_on["db"].restart


def test_what_services_are_given_must_be_there_when_they_are_to_start() -> None:
    text = """
services:
  web: {image: x, depends_on: [db], configs: [conf]}
  db: {image: x, secrets: [key]}
  job: {image: x, secrets: [token]}
  far: {image: x, secrets: [old], profiles: [p]}
secrets: {key: {file: ./key.pem}, token: {environment: TOKN}, old: {external: true}}
configs: {conf: {content: a}}
"""
    there = {"/p/key.pem": ""}
    grants = Options(grants=True)
    with pytest.raises(FileError, match=r"yaml:7:\d+: secrets.key.file: there is no file /p/key.pem"):
        loaded(text, options=Options(grants=True, services=("web",)))
    with pytest.raises(FileError, match=r"yaml:7:\d+: secrets.token.environment: the variable TOKN is not set .*TOKEN"):
        loaded(text, {"TOKEN": "t"}, grants, there)
    loaded(text, {"TOKN": "t"}, grants, there)
    loaded(text, options=Options(grants=True, services=("web",)), more=there)
    with pytest.raises(Unsupported, match=r"services.far.secrets\[0\]: unsupported: external secret old"):
        loaded(text, options=Options(grants=True, services=("far",)))
    loaded(text)


def test_checks_of_the_whole_can_be_left_out() -> None:
    text = "services:\n  web: {image: x, depends_on: [nobody], networks: [nowhere]}\n"
    assert loaded(text, options=Options(consistency=False)).services["web"].networks == {"nowhere": None}
