"""Images through the stock client: lists, history, names, removal, archives of both forms."""

import gzip
import hashlib
import io
import json
import tarfile

from clients_box import Box

from daemons import busybox_tar


def image(box: Box, *flags: str, files: dict[str, str] | None = None) -> str:
    """The name of a small image of its own."""
    name = box.name("image")
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as tar:
        for path, text in (files or {"file": name}).items():
            entry = tarfile.TarInfo(path)
            entry.size = len(text)
            tar.addfile(entry, io.BytesIO(text.encode()))
    box.docker("import", *flags, "-", name, data=buffer.getvalue())
    return name


def identity(box: Box, name: str) -> str:
    return box.docker("image", "inspect", "--format", "{{.Id}}", name).strip()


def listed(box: Box, *flags: str) -> list[str]:
    return box.docker("images", *flags, "--format", "{{.Repository}}:{{.Tag}}").split()


def test_list_and_filters(box: Box) -> None:
    first = image(box, "-c", "LABEL of=first")
    second = image(box)
    assert f"{first}:latest" in listed(box)
    assert listed(box, first) == [f"{first}:latest"]
    assert listed(box, "--filter", "label=of=first") == [f"{first}:latest"]
    assert listed(box, "--filter", f"reference={first[:8]}*") >= [f"{first}:latest"]
    assert f"{second}:latest" in listed(box, "--filter", f"since={first}")
    assert f"{first}:latest" in listed(box, "--filter", f"before={second}")
    assert f"{first}:latest" not in listed(box, "--filter", "dangling=true")
    assert "invalid filter" in box.fails("images", "--filter", "nonsense=1")
    shown = json.loads(box.docker("images", "--digests", "--no-trunc", "--format", "json", first))
    assert shown["ID"] == identity(box, first)


def test_tags_and_removal(box: Box) -> None:
    name = image(box)
    other = box.name("image")
    box.docker("tag", name, f"{other}:v1")
    box.docker("tag", identity(box, name)[7:19], f"registry.example:5000/deep/{other}:v2")
    assert (
        identity(box, f"{other}:v1") == identity(box, name) == identity(box, f"registry.example:5000/deep/{other}:v2")
    )
    assert "invalid reference format" in box.fails("tag", name, "Not/Allowed")
    assert "must be forced" in box.fails("image", "rm", identity(box, name))
    out = box.docker("image", "rm", f"{other}:v1", f"registry.example:5000/deep/{other}:v2")
    assert out.splitlines() == [f"Untagged: {other}:v1", f"Untagged: registry.example:5000/deep/{other}:v2"]
    out = box.docker("image", "rm", name)
    assert out.startswith(f"Untagged: {name}:latest\nDeleted: sha256:")
    assert "No such image" in box.fails("image", "rm", name)
    assert "No such image" in box.fails("image", "inspect", name)


def test_an_image_in_use_is_kept(box: Box) -> None:
    name = image(box, "-c", 'CMD ["/file"]')
    container = box.name()
    box.docker("create", "--name", container, name)
    assert "is using" in box.fails("image", "rm", name)
    box.docker("image", "rm", "-f", name)
    assert box.shows(container, "{{.Config.Image}}") == name


def test_history_and_inspect(box: Box) -> None:
    name = image(box, "-m", "made by hand", "-c", "ENV A=b", "-c", "CMD x", "-c", "VOLUME /v", "-c", "STOPSIGNAL 9")
    line = json.loads(box.docker("history", "--no-trunc", "--format", "json", name).splitlines()[0])
    assert line["Comment"] == "made by hand"
    shown = json.loads(box.docker("image", "inspect", name))[0]
    config = shown["Config"]
    assert (config["Env"], config["Cmd"], config["Volumes"], config["StopSignal"]) == (
        ["A=b"],
        ["/bin/sh", "-c", "x"],
        {"/v": {}},
        "9",
    )
    assert shown["RepoTags"] == [f"{name}:latest"]
    assert shown["RootFS"]["Type"] == "layers"
    assert shown["Os"] == "linux"


def test_save_and_load_several(box: Box) -> None:
    first, second = image(box, "-c", "LABEL n=1"), image(box, "-c", "LABEL n=2")
    box.docker("tag", first, f"{first}:other")
    ids = {name: identity(box, name) for name in (first, second)}
    file = box.folder / "images.tar"
    box.docker("save", "-o", str(file), first, f"{first}:other", second)
    with tarfile.open(file) as tar:
        names = set(tar.getnames())
        assert {"manifest.json", "index.json", "oci-layout", "repositories"} <= names
        member = tar.extractfile("manifest.json")
        assert member is not None
        assert len(json.load(member)) == 2
    box.docker("image", "rm", first, f"{first}:other", second)
    out = box.docker("load", "-i", str(file))
    for name in (f"{first}:latest", f"{first}:other", f"{second}:latest"):
        assert f"Loaded image: {name}" in out
    assert {name: identity(box, name) for name in (first, second)} == ids
    out = box.docker("load", "-q", data=gzip.compress(file.read_bytes()))
    assert f"Loaded image: {second}:latest" in out
    box.docker("image", "rm", f"{first}:other")


def test_load_of_an_oci_layout_alone(box: Box) -> None:
    name = image(box)
    saved = box.folder / "saved.tar"
    box.docker("save", "-o", str(saved), name)
    plain = io.BytesIO()
    with tarfile.open(saved) as source, tarfile.open(fileobj=plain, mode="w") as target:
        for member in source:
            if member.name not in ("manifest.json", "repositories"):
                target.addfile(member, source.extractfile(member) if member.isfile() else None)
    identifier = identity(box, name)
    box.docker("image", "rm", name)
    assert "Loaded image" in box.docker("load", data=plain.getvalue())
    assert identity(box, identifier) == identifier
    box.docker("image", "rm", "-f", identifier)


def test_load_of_the_old_layout(box: Box) -> None:
    layer = busybox_tar()
    name = box.name("image")
    config = {
        "architecture": "amd64",
        "os": "linux",
        "config": {"Cmd": ["echo", "old"], "Env": ["PATH=/bin"]},
        "rootfs": {"type": "layers", "diff_ids": []},
    }
    config["rootfs"]["diff_ids"] = ["sha256:" + hashlib.sha256(layer).hexdigest()]  # type: ignore[index]
    text = json.dumps(config).encode()
    digest = hashlib.sha256(text).hexdigest()
    manifest = [{"Config": f"{digest}.json", "RepoTags": [f"{name}:old"], "Layers": ["abc/layer.tar"]}]
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as tar:
        for path, data in (
            (f"{digest}.json", text),
            ("abc/layer.tar", layer),
            ("manifest.json", json.dumps(manifest).encode()),
        ):
            entry = tarfile.TarInfo(path)
            entry.size = len(data)
            tar.addfile(entry, io.BytesIO(data))
    assert f"Loaded image: {name}:old" in box.docker("load", data=buffer.getvalue())
    assert identity(box, f"{name}:old") == f"sha256:{digest}"
    assert box.docker("run", "--rm", f"{name}:old") == "old\n"
    box.docker("image", "rm", f"{name}:old")


def test_broken_archives_are_refused(box: Box) -> None:
    before = sorted(box.docker("images", "-aq", "--no-trunc").split())
    name = image(box)
    saved = box.folder / "saved.tar"
    box.docker("save", "-o", str(saved), name)
    data = saved.read_bytes()
    box.docker("image", "rm", name)
    for broken in (b"", b"nonsense" * 1000, data[: len(data) // 2], data.replace(name.encode()[:6], b"XXXXXX")):
        done = box.daemon.docker("load", data=broken, check=False)
        assert done.returncode != 0 or "Loaded" not in done.stdout, broken[:20]
    assert sorted(box.docker("images", "-aq", "--no-trunc").split()) == before


def test_prune(box: Box) -> None:
    name = image(box, "-c", f"LABEL prune={box.since}")
    identifier = identity(box, name)
    box.docker("image", "prune", "-f", "--filter", f"label=prune={box.since}")
    assert identity(box, name) == identifier  # named ones stay
    out = box.docker("image", "prune", "-af", "--filter", f"label=prune={box.since}")
    assert f"Deleted: {identifier}" in out or f"deleted: {identifier}" in out
    assert "No such image" in box.fails("image", "inspect", identifier)


def test_volumes_and_ports_of_an_image(box: Box) -> None:
    name = box.name("image")
    box.docker(
        "commit", "-c", "VOLUME /www", "-c", "EXPOSE 81/udp", "-c", "WORKDIR /www", "-c", "USER web", box.made(), name
    )
    container = box.name()
    out = box.docker(
        "run", "--name", container, "-P", name, "sh", "-c", "pwd; id -un; cat index.html; mount | grep -c ' /www '"
    )
    assert out.split() == ["/www", "web", "hello", "from", "boxship", "1"]
    assert "81/udp" in box.inspect(container)["Config"]["ExposedPorts"]


def test_events_of_images(box: Box) -> None:
    name = image(box)
    identifier = identity(box, name)
    box.docker("image", "rm", name)
    actions = box.events("type=image", f"image={identifier}")
    assert actions == ["import", "untag", "delete"]
