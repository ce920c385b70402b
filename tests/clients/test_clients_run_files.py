"""`docker run` and its files: binds, volumes, tmpfs and their options, copies in and out, images made of containers."""

import io
import json
import os
import stat
import subprocess
import tarfile
from pathlib import Path

import pytest
from clients_box import SECONDS, Box, Wire

from daemons import until


def test_a_bind_is_seen_on_both_sides(box: Box) -> None:
    (box.folder / "in").write_text("from the host")
    out = box.run("-v", f"{box.folder}:/data", do="cat /data/in; echo from within >/data/out")
    assert out == "from the host"
    assert (box.folder / "out").read_text() == "from within\n"
    file = box.folder / "in"
    assert box.run("-v", f"{file}:/etc/one-file", do="cat /etc/one-file") == "from the host"


def test_a_read_only_bind(box: Box) -> None:
    for flags in (("-v", f"{box.folder}:/data:ro"), ("--mount", f"type=bind,src={box.folder},dst=/data,readonly")):
        code, _, message = box.ends(*flags, do="echo x >/data/x")
        assert code != 0
        assert "Read-only file system" in message
        assert not (box.folder / "x").exists()


def test_read_only_binds_are_so_in_depth(box: Box) -> None:
    deep = "find /host/dev/shm /host/sys -maxdepth 0"  # mounts below the root
    script = f"for place in $({deep}); do grep \" $place \" /proc/self/mountinfo; done | awk '{{print $6}}' | cut -c1-2"
    assert set(box.run("-v", "/:/host:ro", do=script).split()) == {"ro"}
    options = "type=bind,src=/,dst=/host,readonly"
    assert set(
        box.run("--mount", f"{options},bind-recursive=readonly,bind-propagation=rprivate", do=script).split()
    ) == {"ro"}
    assert "rw" in box.run("--mount", f"{options},bind-recursive=writable", do=script).split()
    assert box.run("--mount", f"{options},bind-recursive=disabled", do=script) == ""


def test_v_makes_a_missing_source_and_mount_does_not(box: Box) -> None:
    missing = box.folder / "a" / "b"
    box.run("-v", f"{missing}:/data", do="true")
    assert missing.is_dir()
    other = box.folder / "other"
    message = box.fails("run", "--rm", "--mount", f"type=bind,src={other},dst=/data", "busybox", "true")
    assert "bind source path does not exist" in message
    assert not other.exists()


@pytest.mark.parametrize(
    "flag", ["relative/path:/data:x", ":/data", "name:relative", "a:/b:ro:c:d", "../up:/data:ro,rw"]
)
def test_malformed_volumes_are_refused(box: Box, flag: str) -> None:
    assert box.fails("run", "--rm", "-v", flag, "busybox", "true")


def _is_shared(box: Box) -> bool:
    """Whether the machine shares the mount that the test's folder is on."""
    done = subprocess.run(["findmnt", "-no", "PROPAGATION", "-T", str(box.folder)], capture_output=True, check=True)
    return b"shared" in done.stdout


def test_propagation(box: Box) -> None:
    assert "shared:" not in box.run("-v", f"{box.folder}:/data", do="grep ' /data ' /proc/self/mountinfo")
    for how, mark in (("rslave", "master:"), ("rprivate", "")):
        line = box.run("-v", f"{box.folder}:/data:{how}", do="grep ' /data ' /proc/self/mountinfo")
        assert mark in line or not _is_shared(box)
        assert "shared:" not in line
    inspected = box.inspect(box.made("--mount", f"type=bind,src={box.folder},dst=/data,bind-propagation=rslave"))
    assert inspected["Mounts"][0]["Propagation"] == "rslave"


def test_a_named_volume_is_filled_from_the_image_once(box: Box) -> None:
    volume = box.name("volume")
    out = box.run("-v", f"{volume}:/www", do="cat /www/index.html; echo mine >/www/index.html; stat -c %a /www")
    assert out == "hello from boxship\n755"
    assert box.run("-v", f"{volume}:/www", do="cat /www/index.html") == "mine"
    assert Path(box.shows(volume, "{{.Mountpoint}}"), "index.html").read_text() == "mine\n"
    empty = box.name("volume")
    assert box.run("-v", f"{empty}:/www:nocopy", do="ls /www") == ""
    empty = box.name("volume")
    assert box.run("--mount", f"type=volume,src={empty},dst=/www,volume-nocopy", do="ls /www") == ""


def test_volume_options_by_mount(box: Box) -> None:
    volume = box.name("volume")
    flags = f"type=volume,src={volume},dst=/data,volume-label=a=b,volume-driver=local"
    box.run("--mount", flags, do="mkdir -p /data/deep; echo sub >/data/deep/file")
    assert box.shows(volume, "{{json .Labels}}") == '{"a":"b"}'
    assert box.run("--mount", f"type=volume,src={volume},dst=/deep,volume-subpath=deep", do="cat /deep/file") == "sub"
    assert box.fails(
        "run", "--rm", "--mount", f"type=volume,src={volume},dst=/x,volume-subpath=../..", "busybox", "true"
    )
    code, _, message = box.ends("--mount", f"type=volume,src={volume},dst=/data,ro", do="touch /data/x")
    assert code != 0
    assert "Read-only" in message


def test_a_volume_that_is_a_tmpfs(box: Box) -> None:
    volume = box.volume("--driver", "local", "-o", "type=tmpfs", "-o", "device=tmpfs", "-o", "o=size=4m,uid=1000")
    out = box.run("-v", f"{volume}:/data", do="stat -c %u /data; df -k /data | tail -1; grep ' /data ' /proc/mounts")
    assert out.startswith("1000\n")
    assert "4096" in out
    assert "tmpfs" in out
    assert "/data " not in Path("/proc/mounts").read_text()


@pytest.mark.parametrize(
    "flags",
    [("--tmpfs", "/t:size=1m,mode=1770,uid=1000"), ("--mount", "type=tmpfs,dst=/t,tmpfs-size=1m,tmpfs-mode=1770")],
)
def test_tmpfs(box: Box, flags: tuple[str, ...]) -> None:
    out = box.run(
        *flags, do="stat -c %a /t; grep ' /t ' /proc/mounts; dd if=/dev/zero of=/t/x bs=1k count=2000 2>&1 || true"
    )
    assert out.startswith("1770\n")
    line = out.splitlines()[1]
    assert all(word in line for word in ("tmpfs", "nosuid", "nodev", "size=1024k"))
    assert "No space left" in out


def test_tmpfs_defaults_and_exec(box: Box) -> None:
    line = box.run("--tmpfs", "/t", do="grep ' /t ' /proc/mounts")
    assert "noexec" in line
    assert "noexec" not in box.run("--tmpfs", "/t:exec", do="grep ' /t ' /proc/mounts")
    assert box.fails("run", "--rm", "--tmpfs", "/t:nonsense=1", "busybox", "true")


def test_volumes_from(box: Box) -> None:
    source = box.up("-v", "/anonymous", "-v", f"{box.folder}:/bind:ro", "--mount", "type=volume,dst=/second")
    box.inside(source, "echo shared >/anonymous/x")
    out = box.run("--volumes-from", source, do="cat /anonymous/x; touch /bind/x 2>&1; touch /second/y && echo rw")
    assert out.startswith("shared\n")
    assert "Read-only" in out
    assert out.endswith("rw")
    code, _, message = box.ends("--volumes-from", f"{source}:ro", do="touch /anonymous/y")
    assert code != 0
    assert "Read-only" in message
    volume = box.shows(source, '{{range .Mounts}}{{if eq .Destination "/anonymous"}}{{.Name}}{{end}}{{end}}')
    assert volume in box.docker("volume", "ls", "-q")
    assert "No such container: nobody" in box.fails("run", "--rm", "--volumes-from", "nobody", "busybox", "true")
    assert "mode" in box.fails("run", "--rm", "--volumes-from", f"{source}:x", "busybox", "true")


def test_a_read_only_root(box: Box) -> None:
    flags = ["--read-only", "--tmpfs", "/tmp", "-v", "/data"]
    out = box.run(
        *flags, do="touch /x 2>&1; touch /tmp/x /data/x /dev/shm/x && echo fine; echo n >/dev/null && echo device"
    )
    assert out == "touch: /x: Read-only file system\nfine\ndevice"


def test_two_mounts_on_one_place_are_refused(box: Box) -> None:
    message = box.fails(
        "run", "--rm", "-v", f"{box.folder}:/data", "--mount", "type=tmpfs,dst=/data", "busybox", "true"
    )
    assert "Duplicate mount point: /data" in message


def test_nested_mounts_are_made_in_order(box: Box) -> None:
    flags = ["-v", "/a/b", "-v", f"{box.folder}:/a", "--tmpfs", "/a/b/c"]
    out = box.run(*flags, do="awk '$5 ~ \"^/a\" {print $5}' /proc/self/mountinfo")
    assert out.split() == ["/a", "/a/b", "/a/b/c"]


# docker cp


@pytest.mark.parametrize("running", [True, False])
def test_copies_in_and_out(box: Box, running: bool) -> None:
    tree = box.folder / "tree"
    (tree / "deep").mkdir(parents=True)
    (tree / "deep" / "file").write_text("text")
    (tree / "deep" / "file").chmod(0o754)
    os.symlink("deep/file", tree / "link")
    name = box.up("-v", "/volume") if running else box.made("-v", "/volume")
    box.docker("cp", str(tree), f"{name}:/opt")  # /opt is missing: the tree takes its name
    box.docker("cp", f"{tree}/.", f"{name}:/volume")
    box.docker("cp", f"{name}:/opt", str(box.folder / "back"))
    back = box.folder / "back"
    assert (back / "deep" / "file").read_text() == "text"
    assert stat.S_IMODE((back / "deep" / "file").stat().st_mode) == 0o754
    assert os.readlink(back / "link") == "deep/file"
    box.docker("cp", "-L", f"{name}:/opt/link", str(box.folder / "followed"))
    assert (box.folder / "followed").read_text() == "text"
    if not running:
        box.docker("start", name)
    assert box.inside(name, "cat /volume/deep/file /opt/link") == "texttext"
    assert box.inside(name, "stat -c %a:%u /opt/deep/file") == "754:0"


def test_copies_by_tar_streams(box: Box) -> None:
    name = box.made()
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as tar:
        entry = tarfile.TarInfo("sub/file")
        entry.size, entry.uid, entry.gid, entry.mode = 4, 1000, 50, 0o640
        tar.addfile(entry, io.BytesIO(b"body"))
    box.docker("cp", "-a", "-", f"{name}:/tmp", data=buffer.getvalue())
    box.docker("start", name)
    assert box.inside(name, "stat -c %u:%g:%a /tmp/sub/file; cat /tmp/sub/file") == "1000:50:640\nbody"
    box.docker("cp", f"{name}:/tmp/sub/file", str(box.folder / "out"))
    assert (box.folder / "out").read_text() == "body"


def owned_tree(top: str) -> bytes:
    """A tar of a folder with a file and a link, all of 7:8."""
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as tar:
        for name, kind in ((top, tarfile.DIRTYPE), (f"{top}/file", tarfile.REGTYPE), (f"{top}/link", tarfile.SYMTYPE)):
            entry = tarfile.TarInfo(name)
            entry.type, entry.uid, entry.gid, entry.mode = kind, 7, 8, 0o755
            entry.linkname = "file" if kind == tarfile.SYMTYPE else ""
            tar.addfile(entry)
    return buffer.getvalue()


@pytest.mark.parametrize("running", [True, False])
def test_copies_for_the_containers_user(box: Box, running: bool) -> None:
    """A tar's owners are kept; with -a all is the user's with whom the container was made, if any: Docker's rule."""
    found = {}
    for user in ("web:50", "1234", ""):
        name = (box.up if running else box.made)("-u", user, "-v", "/volume")
        box.docker("cp", "-", f"{name}:/tmp", data=owned_tree("kept"))
        box.docker("cp", "-a", "-", f"{name}:/tmp", data=owned_tree("given"))
        box.docker("cp", "-a", "-", f"{name}:/volume", data=owned_tree("given"))
        if not running:
            box.docker("start", name)
        owners = {
            place: set(box.inside(name, f"stat -c %u:%g {place} {place}/file {place}/link").split())
            for place in ("/tmp/kept", "/tmp/given", "/volume/given")
        }
        assert owners["/tmp/kept"] == {"7:8"} and owners["/tmp/given"] == owners["/volume/given"], owners
        found[user] = owners["/tmp/given"]
    assert found == {"web:50": {"1000:50"}, "1234": {"1234:0"}, "": {"7:8"}}


def test_errors_of_copies(box: Box) -> None:
    name = box.made("--read-only", "-v", f"{box.folder}:/ro:ro")
    (box.folder / "f").write_text("x")
    assert "Could not find the file /no-such in container" in box.fails("cp", f"{name}:/no-such", str(box.folder))
    assert box.fails("cp", str(box.folder / "f"), f"{name}:/no/such/folder/x")
    assert "read-only" in box.fails("cp", str(box.folder / "f"), f"{name}:/etc/x")
    assert "read-only" in box.fails("cp", str(box.folder / "f"), f"{name}:/ro/x")
    assert "No such container" in box.fails("cp", "nobody:/etc/passwd", str(box.folder))


def test_tricks_of_paths_stay_inside(box: Box) -> None:
    secret = box.folder / "secret"
    secret.write_text("of the host")
    up = "../" * 20
    name = box.up(
        do=f"ln -s {up}{box.folder} /out; ln -s {secret} /abs; mkdir -p {box.folder}; echo mine >{secret}; sleep 1000"
    )
    until(lambda: box.inside(name, "cat /abs 2>/dev/null || true") == "mine", SECONDS, "the links are made")
    box.docker("cp", "-L", f"{name}:/abs", str(box.folder / "got"))
    assert (box.folder / "got").read_text() == "mine\n"
    box.docker("cp", f"{name}:{up}etc/passwd", str(box.folder / "passwd"))
    assert "web:x:1000" in (box.folder / "passwd").read_text()
    (box.folder / "new").write_text("new")
    box.docker("cp", str(box.folder / "new"), f"{name}:/out/copied")
    assert not (box.folder / "copied").exists()
    assert box.inside(name, f"cat {box.folder}/copied") == "new"


@pytest.mark.parametrize("kind", ["dots", "absolute", "through-link", "hard-link"])
def test_tar_entries_that_point_outside(box: Box, kind: str) -> None:
    victim = box.folder / "victim"
    victim.write_text("untouched")
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as tar:
        if kind == "through-link":
            link = tarfile.TarInfo("way")
            link.type, link.linkname = tarfile.SYMTYPE, str(box.folder)
            tar.addfile(link)
        if kind == "hard-link":
            link = tarfile.TarInfo("hard")
            link.type, link.linkname = tarfile.LNKTYPE, str(victim)
            tar.addfile(link)
        names = {
            "dots": "../" * 20 + str(victim)[1:],
            "absolute": str(victim),
            "through-link": "way/victim",
            "hard-link": "hard",
        }
        entry = tarfile.TarInfo(names[kind])
        entry.size = 5
        tar.addfile(entry, io.BytesIO(b"evil!"))
    name = box.up()
    box.daemon.docker("cp", "-", f"{name}:/tmp", data=buffer.getvalue(), check=False)
    with Wire(box.daemon) as wire:
        wire.ask("PUT", f"/containers/{name}/archive?path=/tmp", buffer.getvalue(), "application/x-tar")
    assert victim.read_text() == "untouched"
    assert os.listdir(box.folder) == ["victim"]


def test_changes(box: Box) -> None:
    name = box.made(do="echo x >/etc/new; rm /www/index.html; chmod 700 /tmp; mkdir /d; exec true")
    assert box.docker("diff", name) == ""
    box.docker("start", name)
    box.becomes(name, "{{.State.Status}}", "exited")
    assert sorted(box.docker("diff", name).splitlines()) == [
        "A /d",
        "A /etc/new",
        "C /etc",
        "C /tmp",
        "C /www",
        "D /www/index.html",
    ]


def test_export_and_import(box: Box) -> None:
    name = box.up("-v", "/volume", do="echo made >/etc/made; echo hidden >/volume/x; exec sleep 1000")
    until(lambda: box.inside(name, "ls /volume") == "x", SECONDS, "the files")
    file = box.folder / "tree.tar"
    box.docker("export", "-o", str(file), name)
    with tarfile.open(file) as tar:
        names = set(tar.getnames())
        assert {"etc/made", "bin/busybox", "www/index.html"} <= names
        assert "volume/x" not in names
        made = tar.extractfile("etc/made")
        assert made is not None
        assert made.read() == b"made\n"
    image = box.name("image")
    flags = ["-c", 'CMD ["cat", "/etc/made"]', "-c", "ENV PATH=/bin", "-m", "from a tree"]
    assert box.docker("import", *flags, str(file), image).startswith("sha256:")
    assert box.docker("run", "--rm", image) == "made\n"
    assert "from a tree" in box.docker("history", image)


def test_commit(box: Box) -> None:
    name = box.up(
        "-e", "KEPT=yes", "-l", "of=container", do="echo made >/etc/made; rm /www/index.html; exec sleep 1000"
    )
    until(lambda: box.inside(name, "ls /etc/made 2>/dev/null || true"), SECONDS, "the file")
    image = box.name("image")
    changes = [
        "-c",
        'CMD ["sh", "-c", "cat /etc/made; ls /www; echo $KEPT $NEW"]',
        "-c",
        "ENV NEW=1",
        "-c",
        "EXPOSE 80",
        "-c",
        "USER web",
    ]
    identifier = box.docker("commit", "-a", "An Author", "-m", "a message", *changes, name, f"{image}:v1").strip()
    assert box.docker("run", "--rm", f"{image}:v1") == "made\nyes 1\n"
    shown = json.loads(box.docker("image", "inspect", f"{image}:v1"))[0]
    assert (shown["Id"], shown["Author"], shown["Comment"]) == (identifier, "An Author", "a message")
    assert shown["Config"]["User"] == "web"
    assert "80/tcp" in shown["Config"]["ExposedPorts"]
    assert shown["Config"]["Labels"] == {"of": "container"}
    assert len(shown["RootFS"]["Layers"]) == 2
    assert box.state(name) == "running"
    box.docker("image", "rm", f"{image}:v1")


def test_mounts_are_shown(box: Box) -> None:
    volume = box.volume()
    name = box.made(
        "-v", f"{box.folder}:/bind:ro", "-v", f"{volume}:/vol", "--mount", "type=tmpfs,dst=/tmp2", "-v", "/anonymous"
    )
    mounts = {mount["Destination"]: mount for mount in box.inspect(name)["Mounts"]}
    assert (mounts["/bind"]["Type"], mounts["/bind"]["Source"], mounts["/bind"]["RW"]) == (
        "bind",
        str(box.folder),
        False,
    )
    assert (mounts["/vol"]["Type"], mounts["/vol"]["Name"], mounts["/vol"]["RW"]) == ("volume", volume, True)
    assert mounts["/tmp2"]["Type"] == "tmpfs"
    assert len(mounts["/anonymous"]["Name"]) == 64
    box.docker("rm", "-v", name)
    names = box.docker("volume", "ls", "-q").split()
    assert volume in names
    assert mounts["/anonymous"]["Name"] not in names
