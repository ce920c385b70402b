"""`docker volume` through the stock client: options of the local driver, lists, use, removal and prune."""

from pathlib import Path

from clients_box import Box


def test_create_inspect_and_remove(box: Box) -> None:
    name = box.volume("--label", "color=blue")
    shown = box.inspect(name, "volume")
    assert (shown["Name"], shown["Driver"], shown["Scope"], shown["Labels"]) == (
        name,
        "local",
        "local",
        {"color": "blue"},
    )
    assert Path(shown["Mountpoint"]).is_dir()
    assert shown["CreatedAt"][10] == "T"
    assert box.docker("volume", "create", name).strip() == name  # again: the same
    box.docker("volume", "rm", name)
    assert not Path(shown["Mountpoint"]).exists()
    assert "no such volume" in box.fails("volume", "inspect", name)
    assert "no such volume" in box.fails("volume", "rm", name)
    box.docker("volume", "rm", "-f", name)


def test_anonymous_names(box: Box) -> None:
    name = box.docker("volume", "create").strip()
    assert len(name) == 64
    box.docker("volume", "rm", name)


def test_names_and_options_are_checked(box: Box) -> None:
    for name in ("../up", "a/b", "a", "-x", "ü"):
        assert box.fails("volume", "create", f"--name={name}"), name
    assert box.fails("volume", "create", "--driver", "nonsense", box.name("volume"))
    assert box.fails("volume", "create", "-o", "nonsense=1", box.name("volume"))
    assert box.fails("volume", "create", "-o", "device=/tmp", box.name("volume"))


def test_a_bind_by_options(box: Box) -> None:
    (box.folder / "file").write_text("of the host")
    name = box.volume("-o", "type=none", "-o", "o=bind", "-o", f"device={box.folder}")
    assert box.run("-v", f"{name}:/data", do="cat /data/file; touch /data/new") == "of the host"
    assert (box.folder / "new").exists()
    box.docker("volume", "rm", name)
    assert (box.folder / "file").exists()
    missing = box.volume("-o", "type=none", "-o", "o=bind", "-o", f"device={box.folder}/missing")
    assert box.fails("run", "--rm", "-v", f"{missing}:/data", "busybox", "true")


def test_a_used_volume_is_kept(box: Box) -> None:
    name = box.volume()
    container = box.made("-v", f"{name}:/data")
    assert f"remove {name}: volume is in use - [" in box.fails("volume", "rm", name)
    assert "volume is in use" in box.fails("volume", "rm", "-f", name)
    assert box.docker("ps", "-aq", "--no-trunc", "--filter", f"volume={name}").strip() == box.shows(
        container, "{{.Id}}"
    )
    box.docker("rm", container)
    box.docker("volume", "rm", name)


def test_contents_outlive_containers(box: Box) -> None:
    name = box.volume()
    box.run("-v", f"{name}:/data", do="echo kept >/data/file")
    assert box.run("-v", f"{name}:/elsewhere:ro", do="cat /elsewhere/file") == "kept"


def test_list_and_filters(box: Box) -> None:
    used, unused = box.volume("--label", "color=blue"), box.volume("--label", "color=blue")
    box.made("-v", f"{used}:/data")

    def found(*filters: str) -> set[str]:
        flags = [flag for text in filters for flag in ("--filter", text)]
        return set(box.docker("volume", "ls", "-q", *flags).split())

    assert {used, unused} <= found()
    assert found("label=color=blue") == {used, unused}
    assert found("label=color=blue", "dangling=true") == {unused}
    assert found("label=color=blue", "dangling=false") == {used}
    assert found(f"name={used}") == {used}
    assert used in found("driver=local")
    assert "invalid filter" in box.fails("volume", "ls", "--filter", "nonsense=1")


def test_prune(box: Box) -> None:
    label = box.name()
    named, used = box.volume("--label", label), box.volume("--label", label)
    container = box.made("-v", f"{used}:/data", "-v", "/anonymous")
    anonymous = next(mount["Name"] for mount in box.inspect(container)["Mounts"] if mount["Name"] != used)
    out = box.docker("volume", "prune", "-f", "--filter", f"label={label}")
    assert named not in out  # named ones go with --all alone
    out = box.docker("volume", "prune", "-af", "--filter", f"label={label}")
    assert named in out
    assert used not in out
    assert anonymous in box.docker("volume", "ls", "-q")
    box.docker("rm", container)
    assert anonymous in box.docker("volume", "ls", "-q")
    assert anonymous in box.docker("volume", "prune", "-f")
