"""Policies for images: what a file may say, which rule governs, what counts as a signature."""

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from boxship.errors import Invalid, NotFound
from boxship.pki import cosign, keys, payloads
from boxship.pki.payloads import Signature
from boxship.pki.policy import Decision, Policy, decide, parse

PATH = Path("/etc/boxship/policy.toml")
KEYS = {name: keys.new_key() for name in ("a", "b", "c")}
DIGEST = "sha256:" + "1" * 64
OTHER = "sha256:" + "2" * 64
WEB = "r.io/prod/web"


def read(path: Path) -> bytes:
    if path.stem not in KEYS:
        raise NotFound(f"cannot read {path}: no such file")
    return keys.dump_public(KEYS[path.stem].public_key())


def policy(*rules: str, default: str = "accept", names: str = "abc") -> Policy:
    known = "\n".join(f'{name} = "{name}.pub"' for name in names)
    text = f'default = "{default}"\n[keys]\n{known}\n' + "".join(f"[[rule]]\n{rule}\n" for rule in rules)
    return parse(text.encode(), PATH, read)


def require(names: str = "a", more: str = "", pattern: str = "r.io/prod/**") -> str:
    return f'repository = "{pattern}"\naction = "require"\nkeys = {list(names)}\n{more}'


def signature(name: str, digest: str = DIGEST, reference: str = WEB, **annotations: str) -> Signature:
    payload = payloads.write_payload(digest, reference, annotations)
    return Signature(payload, cosign.sign(KEYS[name], payload))


def ask(made: Policy, *signatures: Signature, repository: str = WEB, digests: tuple[str, ...] = (DIGEST,)) -> Decision:
    return decide(made, made.rule_for(repository), repository, digests, signatures)


def test_without_a_rule_the_default_holds() -> None:
    for default, accepted in (("accept", True), ("reject", False)):
        made = policy(default=default)
        assert ask(made).accepted is accepted and made.rule_for(WEB).title == "default (**)"
        assert made.rule_for("").action == default


@pytest.mark.parametrize(
    ("name", "pattern"),
    [
        ("docker.io/library/busybox", "busybox"),
        ("docker.io/library/alpine", "docker.io/library/*"),
        ("docker.io/someone/thing", "**"),
        ("r.io/prod/web", "r.io/prod/web"),
        ("r.io/prod/web2", "r.io/prod/we*"),
        ("r.io/prod/a/b", "r.io/prod/**"),
        ("r.io/test/a", "r.io/*/a"),
        ("r.io:5000/prod/a", "*/prod/**"),
        ("x.org/y/z/secret", "**/secret"),
        ("localhost:5000/x", "localhost:5000/*"),
    ],
)
def test_the_most_specific_rule_governs(name: str, pattern: str) -> None:
    patterns = ["**", "busybox", "docker.io/library/*", "r.io/prod/**", "r.io/prod/we*", "r.io/prod/web", "r.io/*/a"]
    patterns += ["*/prod/**", "**/secret", "localhost:5000/*"]
    for order in (patterns, patterns[::-1]):
        made = policy(*(f'repository = "{entry}"\naction = "reject"' for entry in order))
        assert made.rule_for(name).repository == pattern


def test_any_all_and_a_number_of_keys() -> None:
    a, b, c = (signature(name) for name in "abc")
    assert ask(policy(require("ab")), a).accepted
    assert not ask(policy(require("ab")), c).accepted
    assert not ask(policy(require("ab", 'count = "all"')), a, a).accepted
    assert ask(policy(require("ab", 'count = "all"')), a, b).accepted
    assert not ask(policy(require("abc", "count = 2")), a, a).accepted
    assert ask(policy(require("abc", "count = 2")), a, c).accepted
    told = ask(policy(require("ab", 'count = "all"')), a).reasons
    assert any("signed by a " in line for line in told) and any("no signature by b " in line for line in told)


def test_a_signature_counts_for_its_image_its_name_and_its_annotations() -> None:
    made = policy(require("a", 'annotations = { stage = "prod" }'))
    assert ask(made, signature("a", stage="prod")).accepted
    for wrong, why in (
        (signature("a", OTHER, stage="prod"), "for another image"),
        (signature("a", reference="r.io/test/web", stage="prod"), "signed as r.io/test/web"),
        (signature("a", reference="", stage="prod"), "signed as no name"),
        (signature("a", reference="///", stage="prod"), "signed as"),
        (signature("a", stage="test"), "lacks the annotation stage=prod"),
        (signature("a"), "lacks the annotation"),
    ):
        decision = ask(made, wrong)
        assert not decision.accepted and why in decision.text
    assert ask(made, signature("a", OTHER), signature("a", stage="prod")).accepted  # one that is good is enough
    anywhere = policy(require("a", 'identity = "any"'))
    assert ask(anywhere, signature("a", reference="r.io/test/web")).accepted
    assert ask(anywhere, signature("a", OTHER), digests=(DIGEST, OTHER)).accepted


def test_a_tag_in_the_signed_name_does_not_matter() -> None:
    made = policy(require("a", pattern="busybox"))
    for reference in ("busybox", "docker.io/library/busybox", "index.docker.io/library/busybox:1.36"):
        assert ask(made, signature("a", reference=reference), repository="docker.io/library/busybox").accepted


def test_a_key_that_cannot_be_read_refuses_what_it_governs_alone() -> None:
    made = policy(require("az"), require("a", pattern="r.io/other"), names="az")
    assert not ask(made, signature("a")).accepted and "no such file" in ask(made, signature("a")).text
    other = ask(made, signature("a", reference="r.io/other"), repository="r.io/other")
    assert other.accepted


@pytest.mark.parametrize(
    "text",
    [
        "rule",
        "\xff",
        'default = "maybe"',
        "unknown = 1",
        '[[rule]]\nrepository = "x.io/y"',
        '[[rule]]\nrepository = "x.io/y"\naction = "require"',
        '[[rule]]\nrepository = "x.io/y"\naction = "require"\nkeys = ["z"]',
        '[[rule]]\nrepository = "x.io/y"\naction = "accept"\nkeys = ["a"]',
        '[[rule]]\nrepository = "x.io/y"\naction = "reject"\nidentity = "any"',
        '[[rule]]\nrepository = "x.io/y"\naction = "accept"\nsurprise = 1',
        '[[rule]]\nrepository = "X.io/Y"\naction = "accept"',
        '[[rule]]\nrepository = ""\naction = "accept"',
        '[[rule]]\nrepository = "x.io/**y"\naction = "accept"',
        '[[rule]]\nrepository = "x.io:5000"\naction = "accept"',
        '[[rule]]\nrepository = "x.io/y:tag"\naction = "accept"',
        "".join(f'[[rule]]\nrepository = "{name}"\naction = "accept"\n' for name in ("x", "docker.io/library/x")),
        '[keys]\na = "a.pub"\nb = "a.pub"\n[[rule]]\nrepository = "x.io/y"\naction = "require"\nkeys = ["a", "b"]',
        *(
            f'[keys]\na = "a.pub"\n[[rule]]\nrepository = "x.io/y"\naction = "require"\nkeys = ["a"]\ncount = {count}'
            for count in ("0", "2", "-1", '"some"', "1.5")
        ),
    ],
)
def test_a_file_that_contradicts_itself_is_refused(text: str) -> None:
    with pytest.raises(Invalid, match=r"policy\.toml"):
        parse(text.encode("latin-1"), PATH, read)


@given(st.binary(max_size=200))
def test_any_bytes_are_a_policy_or_invalid(data: bytes) -> None:
    try:
        parse(data, PATH, read)
    except Invalid:
        return


COMPONENT = st.from_regex(r"[a-z0-9]{1,6}", fullmatch=True)
NAME = st.tuples(st.just("r.io"), COMPONENT, COMPONENT, COMPONENT).map("/".join)


@given(NAME, st.lists(st.sampled_from(["*", "**", "x*", "literal"]), min_size=4, max_size=4))
def test_a_pattern_made_of_a_name_matches_it(name: str, kinds: list[str]) -> None:
    """Whatever parts of a name are replaced by wildcards that stand for them, the pattern governs the name."""
    parts = name.split("/")
    pattern = []
    for part, kind in zip(parts, kinds, strict=True):
        pattern.append({"*": "*", "**": "**", "x*": f"{part[:1]}*", "literal": part}[kind])
    made = policy(f'repository = "{"/".join(pattern)}"\naction = "reject"')
    assert made.rule_for(name).action == "reject"


@given(NAME)
def test_an_exact_rule_beats_every_pattern(name: str) -> None:
    first, *rest = name.split("/")
    patterns = ["**", f"{first}/**", f"{first}/{rest[0]}/**", f"{first}/*/{rest[1]}/{rest[2]}", f"{name}*"]
    rules = [f'repository = "{pattern}"\naction = "accept"' for pattern in dict.fromkeys(patterns)]
    made = policy(*rules, f'repository = "{name}"\naction = "reject"')
    assert made.rule_for(name).action == "reject"
