"""What users write about mounts: -v strings, --tmpfs options, fields that contradict each other."""

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from boxship.errors import Invalid
from boxship.spec.container import MountRequest
from boxship.volumes.resolve import (
    bind_options,
    check_bind_source,
    parse_bind,
    tmpfs_options,
    validate,
    volume_options,
)


@pytest.mark.parametrize(
    ("text", "kind", "source", "target", "read_only", "options"),
    [
        ("/srv:/data", "bind", "/srv", "/data", False, ("rbind", "rprivate")),
        ("/srv/../x/:/data/", "bind", "/x", "/data", False, ("rbind", "rprivate")),
        ("/srv:/data:ro", "bind", "/srv", "/data", True, ("rbind", "rprivate", "ro", "rro")),
        ("/srv:/data:rw,Z", "bind", "/srv", "/data", False, ("rbind", "rprivate")),
        ("/srv:/data:z,rshared,ro", "bind", "/srv", "/data", True, ("rbind", "rshared", "ro", "rro")),
        ("/srv:/data:cached", "bind", "/srv", "/data", False, ("rbind", "rprivate")),
        ("name:/data:nocopy,ro", "volume", "name", "/data", True, ("rbind", "rprivate", "ro")),
        ("name:/data", "volume", "name", "/data", False, ("rbind", "rprivate")),
        ("/data", "volume", "", "/data", False, ("rbind", "rprivate")),
    ],
)
def test_binds(text: str, kind: str, source: str, target: str, read_only: bool, options: tuple[str, ...]) -> None:
    request = parse_bind(text)
    assert (request.kind, request.source, request.target, request.read_only) == (kind, source, target, read_only)
    assert (bind_options(request) if kind == "bind" else volume_options(request)) == options
    assert (request.text, request.origin, request.create_source) == (text, "binds", kind == "bind")
    assert request.no_copy == ("nocopy" in text)
    validate(request)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "invalid volume specification: ''"),
        (":/data", "invalid volume specification: ':/data'"),
        ("/a:", "invalid volume specification: '/a:'"),
        ("/a:ro", "invalid volume specification: '/a:ro'"),
        ("/a:/b:rw:x", "invalid volume specification: '/a:/b:rw:x'"),
        ("/a:/b:wrong", "invalid mode: wrong"),
        ("/a:/b:ro,rw", "invalid mode: ro,rw"),
        ("/a:/b:", "invalid mode: "),
        ("/a:/b:ro,ro", "invalid mode: ro,ro"),
        ("/a:/b:shared,slave", "invalid mode: shared,slave"),
        (
            "/a:b",
            "invalid volume specification: '/a:b': invalid mount config for type \"bind\": "
            "invalid mount path: 'b' mount path must be absolute",
        ),
        (
            "/a:/",
            "invalid volume specification: '/a:/': invalid mount config for type \"bind\": "
            "invalid specification: destination can't be '/'",
        ),
        ("/a:/b/../..", "destination can't be '/'"),
        ("/a:/b:nocopy", "invalid mode: nocopy"),
        ("name:/b:shared", "invalid mode: shared"),
        ("relative", "mount path must be absolute"),
    ],
)
def test_wrong_binds(text: str, message: str) -> None:
    with pytest.raises(Invalid) as caught:
        parse_bind(text)
    assert message in str(caught.value)


@given(st.text(st.sampled_from("/:a.,ro wz"), max_size=20))
def test_binds_are_parsed_or_refused(text: str) -> None:
    try:
        request = parse_bind(text)
    except Invalid:
        return
    assert request.target.startswith("/")
    assert request.target.strip("/")
    assert request.source.startswith("/") == (request.kind == "bind")
    validate(request)


def tmpfs(options: str = "", **fields: int) -> tuple[str, ...]:
    return tmpfs_options(MountRequest("tmpfs", "/t", tmpfs_options=options, **fields))


def test_tmpfs_options() -> None:
    assert tmpfs() == ("noexec", "nosuid", "nodev")
    assert tmpfs("size=64m,mode=1777,uid=5,exec") == ("nosuid", "nodev", "size=64m", "mode=1777", "uid=5", "exec")
    assert tmpfs("size=1m,size=2m,ro,rw") == ("noexec", "nosuid", "nodev", "size=2m", "rw")
    assert tmpfs(tmpfs_size=4096, tmpfs_mode=0o1770) == ("noexec", "nosuid", "nodev", "size=4096", "mode=1770")
    assert tmpfs("nr_inodes=10,noatime,rprivate")[-3:] == ("nr_inodes=10", "noatime", "rprivate")


@pytest.mark.parametrize("option", ["wrong", "size", "size=", "noexec=1", "lowerdir=/x", "mode=1,evil=2"])
def test_unknown_tmpfs_options_are_named(option: str) -> None:
    with pytest.raises(Invalid, match=f'invalid tmpfs option "{option.split(",")[-1]}"'):
        tmpfs(option)


@given(st.text(max_size=30))
def test_tmpfs_options_are_merged_or_refused(text: str) -> None:
    try:
        merged = tmpfs(text)
    except Invalid as error:
        assert "invalid tmpfs option" in str(error)
        return
    assert len({word.split("=")[0] for word in merged}) == len(merged)


@pytest.mark.parametrize(
    ("request_", "message"),
    [
        (MountRequest("image", "/x"), 'mount type unknown: "image"'),
        (MountRequest("bind", "", "/a"), "field Target must not be empty"),
        (MountRequest("bind", "x", "/a"), "invalid mount path: 'x' mount path must be absolute"),
        (MountRequest("bind", "/x"), "field Source must not be empty"),
        (MountRequest("bind", "/x", "a"), "invalid mount path: 'a' mount path must be absolute"),
        (MountRequest("bind", "/x", "/a", propagation="odd"), "invalid propagation mode: odd"),
        (MountRequest("bind", "/x", "/a", subpath="y"), "field VolumeOptions must not be specified"),
        (MountRequest("bind", "/x", "/a", read_only_force_recursive=True), "must be read-only"),
        (MountRequest("volume", "/x", "v", propagation="shared"), "field BindOptions must not be specified"),
        (MountRequest("volume", "/x", "", subpath="a"), "must not set Subpath when using anonymous volumes"),
        (MountRequest("volume", "/x", "", read_only=True), "must not set ReadOnly mode when using anonymous volumes"),
        (MountRequest("volume", "/x", "v", subpath="../a"), "subpath must be a relative path within the volume"),
        (MountRequest("tmpfs", "/x", "/a"), "field Source must not be specified"),
        (MountRequest("tmpfs", "/x", tmpfs_options="odd"), 'invalid tmpfs option "odd"'),
    ],
)
def test_contradictions_are_refused(request_: MountRequest, message: str) -> None:
    with pytest.raises(Invalid) as caught:
        validate(request_)
    assert message in str(caught.value)


def test_recursion_of_read_only() -> None:
    plain = MountRequest("bind", "/x", "/a", read_only=True, read_only_non_recursive=True)
    assert bind_options(plain) == ("rbind", "rprivate", "ro")
    alone = MountRequest("bind", "/x", "/a", read_only=True, non_recursive=True)
    assert bind_options(alone) == ("bind", "private", "ro")


def test_bind_sources_must_exist(tmp_path: Path) -> None:
    check_bind_source(MountRequest("bind", "/x", str(tmp_path)))
    check_bind_source(MountRequest("bind", "/x", f"{tmp_path}/missing", create_source=True))
    with pytest.raises(Invalid) as caught:
        check_bind_source(MountRequest("bind", "/x", "/missing"))
    assert str(caught.value) == 'invalid mount config for type "bind": bind source path does not exist: /missing'
