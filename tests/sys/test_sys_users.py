"""User namespaces, and files as they are seen from inside: what is on the disk keeps the ids that the inside knows."""

import os
import subprocess
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from boxship.errors import Internal, Unsupported
from boxship.runtime.mapping import check_kernel, check_reachable
from boxship.runtime.sharing import set_up_ipc
from boxship.spec.users import UserMap
from boxship.sys import namespace, usernamespace
from boxship.sys.identity import become_owner, become_user
from boxship.sys.mount import bind, can_map_users, unmount
from boxship.sys.mountinfo import filesystem_of
from boxship.sys.overlay import has_layer_options, overlay
from boxship.sys.pidfd import start_time
from boxship.sys.spawn import reap

FIRST = 1_900_019_712  # a multiple of 65536, in the range that nobody is given


@pytest.fixture
def kept(private_mounts: None, tmp_path: Path) -> Iterator[dict[str, Path]]:
    places = {kind: tmp_path / kind for kind in ("user", "net", "ipc")}
    usernamespace.create(places, FIRST, 65536)
    yield places
    for path in places.values():
        namespace.remove(path)


def inside(kept: dict[str, Path], *command: str) -> str:
    line = ["nsenter", f"--user={kept['user']}", f"--net={kept['net']}", f"--ipc={kept['ipc']}", *command]
    done = subprocess.run(line, capture_output=True, text=True, check=False, timeout=20)
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_namespaces_that_belong_to_users(kept: dict[str, Path]) -> None:
    assert inside(kept, "cat", "/proc/self/uid_map", "/proc/self/gid_map").split() == ["0", str(FIRST), "65536"] * 2
    inside(kept, "ip", "link", "set", "lo", "up")  # its root may: the network is its own
    made = {kind: namespace.identity(path) for kind, path in kept.items()}
    assert len(set(made.values())) == 3 and namespace.exists(kept["user"])
    usernamespace.create(kept, FIRST, 65536)  # as after a crash: what was kept goes
    assert not set(made.values()) & {namespace.identity(path) for path in kept.values()}


def test_settings_of_an_ipc_namespace_of_others(kept: dict[str, Path]) -> None:
    before = Path("/proc/sys/kernel/shm_rmid_forced").read_text()
    set_up_ipc(kept["ipc"], {"kernel.shm_rmid_forced": "1"}, UserMap(str(kept["user"]), FIRST, 65536))
    assert inside(kept, "cat", "/proc/sys/kernel/shm_rmid_forced") == "1\n"
    assert Path("/proc/sys/kernel/shm_rmid_forced").read_text() == before


def test_a_machine_without_user_namespaces_says_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "limit").write_text("0\n")
    monkeypatch.setattr(usernamespace, "LIMIT", tmp_path / "limit")
    with pytest.raises(Unsupported, match=r"unsupported: user namespaces: user\.max_user_namespaces is 0"):
        usernamespace.create({"user": tmp_path / "user"}, FIRST, 65536)


def test_what_the_kernel_refuses_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(usernamespace, "OPTIONS", {"user": "--no-such-namespace"})
    with pytest.raises(Unsupported, match=r"unsupported: user namespaces: .*no-such-namespace"):
        usernamespace.create({"user": tmp_path / "user"}, FIRST, 65536)


def test_the_first_process_of_a_process_namespace_of_theirs(kept: dict[str, Path]) -> None:
    pid = usernamespace.spawn_with_new_pids(kept["user"], ["/bin/sleep", "1000"], {"MARK": "here"})
    try:
        assert os.readlink(f"/proc/{pid}/ns/pid") != os.readlink("/proc/self/ns/pid")
        assert os.readlink(f"/proc/{pid}/ns/user") == f"user:[{os.stat(kept['user']).st_ino}]"
        assert start_time(pid)
    finally:
        os.kill(pid, 9)
        reap(pid)
    with pytest.raises(Unsupported, match="a process namespace"):
        usernamespace.spawn_with_new_pids(kept["user"].parent / "none", ["/bin/true"], {})


def test_a_kernel_that_names_no_children_says_so(kept: dict[str, Path], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(usernamespace, "CHILDREN", "/proc/{pid}/task/{pid}/no-children")
    with pytest.raises(Unsupported, match="the kernel lacks CONFIG_PROC_CHILDREN"):
        usernamespace.spawn_with_new_pids(kept["user"], ["/bin/sleep", "1000"], {})


def test_files_that_are_shown_to_others(kept: dict[str, Path], tmp_path: Path) -> None:
    source, target = tmp_path / "source", tmp_path / "target"
    source.mkdir()
    target.mkdir()
    (source / "mine").touch()
    os.chown(source / "mine", 5, 6)
    bind(str(source), str(target), users=str(kept["user"]))
    try:
        state = (target / "mine").stat()
        assert (state.st_uid, state.st_gid) == (FIRST + 5, FIRST + 6)
        with pytest.raises(OSError, match="too large"):
            (target / "roots").touch()  # the machine's root is nobody there
    finally:
        assert unmount(target)


def test_filesystems_without_owners_to_map_are_named(kept: dict[str, Path], tmp_path: Path) -> None:
    can_map_users(str(tmp_path), str(kept["user"]))
    with pytest.raises(Unsupported, match=r"cannot map the owners of files on proc \(/proc/sys\)"):
        can_map_users("/proc/sys", str(kept["user"]))
    with pytest.raises(Internal, match="No such file"):
        can_map_users(str(tmp_path / "none"), str(kept["user"]))
    assert filesystem_of("/proc") == "proc" and filesystem_of(tmp_path / "none") == ""


@pytest.mark.parametrize("by_layer", [True, False])
def test_layers_below_an_overlay_for_others(kept: dict[str, Path], tmp_path: Path, by_layer: bool) -> None:
    """By the new interface and by mount(2), which kernels before 6.7 need."""
    if by_layer and not has_layer_options():
        pytest.skip("the kernel takes no layers one by one")
    real, view, target = tmp_path / "real", tmp_path / "view", tmp_path / "merged"
    for folder in (real / "lower", real / "upper", real / "work", view, target):
        folder.mkdir(parents=True)
    (real / "lower/file").write_text("below")
    os.chown(real / "lower/file", 7, 8)
    bind(str(real), str(view), ("bind",), users=str(kept["user"]))
    overlay([view / "lower"], view / "upper", view / "work", target, by_layer=by_layer, owner=FIRST)
    assert unmount(view)
    try:
        state = (target / "file").stat()
        assert (state.st_uid, state.st_gid) == (FIRST + 7, FIRST + 8)
        in_thread(lambda: write_as(FIRST, target))
        for name, owner in (("file", (7, 8)), ("new", (0, 0))):
            state = (real / "upper" / name).stat()
            assert (state.st_uid, state.st_gid) == owner, name  # on the disk are the ids that the inside knows
        with pytest.raises(OSError, match="too large"):
            (target / "roots").touch()
    finally:
        assert unmount(target)


def write_as(identity: int, folder: Path) -> None:
    become_owner(identity)
    (folder / "new").write_text("x")
    with (folder / "file").open("a") as file:  # copied up
        file.write(" and above")


def in_thread(work: Callable[[], None]) -> None:
    failed: list[BaseException] = []

    def body() -> None:
        try:
            work()
        except BaseException as error:
            failed.append(error)

    thread = threading.Thread(target=body)
    thread.start()
    thread.join()
    if failed:
        raise failed[0]


def test_an_identity_is_its_threads_alone(tmp_path: Path) -> None:
    def owner() -> None:
        become_owner(FIRST)
        (tmp_path / "file").touch()
        assert os.stat(tmp_path / "file").st_uid == FIRST
        os.chown(tmp_path / "file", 3, 3)  # with all rights still

    def user() -> None:
        become_user(FIRST)
        with pytest.raises(PermissionError):
            Path("/etc/shadow").read_text()

    in_thread(owner)
    in_thread(user)
    assert os.geteuid() == 0 and Path("/etc/shadow").exists()
    (tmp_path / "mine").touch()
    assert os.stat(tmp_path / "mine").st_uid == 0


def test_what_a_machine_lacks_is_named(tmp_path: Path) -> None:
    check_kernel("5.19.0")
    check_kernel("6.1.0-28-amd64")
    with pytest.raises(Unsupported, match=r"they need Linux 5\.19, this is 5\.10\.0-33-amd64"):
        check_kernel("5.10.0-33-amd64")
    closed = tmp_path / "closed"
    closed.mkdir(mode=0o700)
    check_reachable(Path("/run/boxship/mapped/1"))
    with pytest.raises(Unsupported, match="is closed to others"):
        check_reachable(closed / "run/mapped/1")
