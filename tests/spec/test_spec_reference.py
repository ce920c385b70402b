"""Image references as Docker reads them."""

import pytest
from hypothesis import assume, example, given
from hypothesis import strategies as some

from boxship.errors import Invalid
from boxship.spec import reference as references

DIGEST = "sha256:" + "ab" * 32


@pytest.mark.parametrize(
    ("text", "normal", "familiar"),
    [
        ("busybox", "docker.io/library/busybox", "busybox"),
        ("busybox:1.36", "docker.io/library/busybox:1.36", "busybox:1.36"),
        ("library/busybox", "docker.io/library/busybox", "busybox"),
        ("docker.io/busybox", "docker.io/library/busybox", "busybox"),
        ("index.docker.io/library/busybox:x", "docker.io/library/busybox:x", "busybox:x"),
        ("user/app", "docker.io/user/app", "user/app"),
        ("localhost/app", "localhost/app", "localhost/app"),
        ("localhost:5000/a/b/c:t", "localhost:5000/a/b/c:t", "localhost:5000/a/b/c:t"),
        ("127.0.0.1:5000/a/b:tag", "127.0.0.1:5000/a/b:tag", "127.0.0.1:5000/a/b:tag"),
        ("[::1]:5000/a", "[::1]:5000/a", "[::1]:5000/a"),
        ("Registry.example/app", "Registry.example/app", "Registry.example/app"),
        (f"busybox@{DIGEST}", f"docker.io/library/busybox@{DIGEST}", f"busybox@{DIGEST}"),
        (f"q.io/a:t@{DIGEST}", f"q.io/a:t@{DIGEST}", f"q.io/a:t@{DIGEST}"),
        ("a__b/c.d-e---f", "docker.io/a__b/c.d-e---f", "a__b/c.d-e---f"),
        ("docker.io/library/a/b", "docker.io/library/a/b", "library/a/b"),
    ],
)
def test_normalise_and_back(text: str, normal: str, familiar: str) -> None:
    found = references.parse(text)
    assert (str(found), found.familiar) == (normal, familiar)
    assert references.parse(normal) == found == references.parse(familiar)


def test_latest_is_the_default_tag() -> None:
    assert str(references.parse("busybox").with_default_tag()) == "docker.io/library/busybox:latest"
    assert str(references.parse("busybox:1").with_default_tag()) == "docker.io/library/busybox:1"
    assert str(references.parse(f"a@{DIGEST}").with_default_tag()) == f"docker.io/library/a@{DIGEST}"
    assert str(references.parse_tag("localhost:5000/a", "")) == "localhost:5000/a:latest"
    assert str(references.parse_tag("localhost:5000/a", "x")) == "localhost:5000/a:x"


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "invalid reference format"),
        ("busybox:", "invalid reference format"),
        ("a//b", "invalid reference format"),
        ("/a", "invalid reference format"),
        ("../etc", "invalid reference format"),
        ("a/../b", "invalid reference format"),
        ("a b", "invalid reference format"),
        ("a\n", "invalid reference format"),
        ("a:" + "t" * 129, "invalid reference format"),
        ("a@sha256:abc", "invalid reference format"),
        ("-a", "invalid reference format"),
        ("X", "invalid reference format: repository name (library/X) must be lowercase"),
        ("user/Repo:tag", "invalid reference format: repository name (user/Repo) must be lowercase"),
        ("ab" * 32, f"invalid repository name ({'ab' * 32}), cannot specify 64-byte hexadecimal strings"),
        ("a@sha256:" + "a" * 63, "invalid checksum digest length"),
        ("a@md5:" + "a" * 32, "unsupported digest algorithm"),
        ("a/" + "b" * 256, "repository name must not be more than 255 characters"),
    ],
)
def test_wrong_references_are_refused_with_dockers_text(text: str, message: str) -> None:
    with pytest.raises(Invalid) as caught:
        references.parse(text)
    assert str(caught.value) == message


def test_wrong_tags_are_refused() -> None:
    with pytest.raises(Invalid, match="invalid tag format"):
        references.parse_tag("a", "b/c")


COMPONENTS = some.from_regex(r"\A[a-z0-9]{1,5}((\.|_|__|-{1,3})[a-z0-9]{1,5}){0,2}\Z")
DOMAINS = some.sampled_from(["", "docker.io/", "localhost/", "q.io/", "host:5000/", "[::1]/", "EXAMPLE.com:1/", "u/"])
TAGS = some.just("") | some.from_regex(r"\A[A-Za-z0-9_][A-Za-z0-9_.-]{0,9}\Z").map(":".__add__)
DIGESTS = some.sampled_from(["", "@" + DIGEST])


@given(DOMAINS, some.lists(COMPONENTS, min_size=1, max_size=3), TAGS, DIGESTS)
@example("docker.io/", ["library", "ab" * 32], "", "")
def test_every_form_comes_back(domain: str, path: list[str], tag: str, digest: str) -> None:
    assume(domain or len(path) == 1 or not {".", "_"} <= set(path[0]))  # read as a domain that cannot be one
    found = references.parse(domain + "/".join(path) + tag + digest)
    assert references.parse(str(found)) == found
    assert references.parse(found.familiar) == found
    assert found.tag == tag[1:] and found.digest == digest[1:]


@given(some.text(max_size=40) | some.text("aA0.:/@-_[]s", max_size=40))
def test_any_text_is_read_or_refused(text: str) -> None:
    try:
        found = references.parse(text)
    except Invalid:
        return
    assert references.parse(str(found)) == found
    assert ".." not in found.path and not found.path.startswith("/")
