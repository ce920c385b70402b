"""Names: what is well formed, and the original's words for what is not."""

import pytest

from boxship.cluster.objects import names


@pytest.mark.parametrize(
    ("check", "good", "bad"),
    [
        (names.label, ["a", "my-name", "123"], ["", "A", "a.b", "-a", "a-", "a" * 64, "a\n"]),
        (names.subdomain, ["a.b", "a"], ["", "a..b", "A", "a_b", "a" * 254]),
        (names.label_1035, ["a1"], ["1a", "a.b", ""]),
        (names.qualified, ["a", "x.y/A_b.c", "A"], ["", "/a", "a/", "a/b/c", "X/a", "-a", "a" * 64]),
        (names.label_value, ["", "A.b_c-d"], ["-a", "a b", "a" * 64, "é"]),
        (names.path_segment, ["a:b", "A"], [".", "..", "a/b", "a%"]),
        (names.wildcard, ["*.a.b"], ["a.b", "*", "*.", "*.*.a"]),
        (names.port_name, ["http", "a-1"], ["", "1", "A", "a--b", "-a", "a" * 16]),
        (names.config_key, ["a.b", "..".replace("..", "A_-")], ["", ".", "..", "..a", "a/b"]),
        (names.environment_name, ["A_B", "a.b-c"], ["", "1a", "a=b", ".."]),
        (names.environment_name_relaxed, ["1 a"], ["", "a=b", "é"]),
        (names.domain_path, ["a.io/b"], ["", "a", "a/", "/b"]),
        (names.c_identifier, ["_a1"], ["1a", ""]),
        (names.header_name, ["X-A"], ["a b", ""]),
    ],
)
def test_names(check, good, bad) -> None:  # type: ignore[no-untyped-def]
    assert [name for name in good if check(name)] == []
    assert [name for name in bad if not check(name)] == []


def test_texts_are_those_that_clients_match() -> None:
    assert names.subdomain("A") == (
        "a lowercase RFC 1123 subdomain must consist of lower case alphanumeric characters, '-' or '.', and must start "
        "and end with an alphanumeric character (e.g. 'example.com', regex used for validation is "
        "'[a-z0-9]([-a-z0-9]*[a-z0-9])?(\\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*')"
    )
    assert names.label("A").endswith(
        "(e.g. 'my-name',  or '123-abc', regex used for validation is '[a-z0-9]([-a-z0-9]*[a-z0-9])?')"
    )
    assert names.port(0) == names.port(65536) == names.port(True) == "must be between 1 and 65535, inclusive"
    assert names.port(1) == ""
