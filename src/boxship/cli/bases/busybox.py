"""The busybox base: one static program, a link for each of its names, and the few files that programs expect."""

from collections.abc import Iterable

from boxship.cli.bases.tree import Entry, file, folder, link
from boxship.errors import Invalid

PROGRAM = "bin/busybox"
PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
CHANGES = ('CMD ["sh"]', f"ENV PATH={PATH}")

FOLDERS = ("dev/pts", "dev/shm", "home", "proc", "run", "sys", "usr/local/bin", "usr/local/sbin", "var/www")
SHARED_FOLDERS = ("tmp", "var/tmp")
USERS = (
    # name, user, group, home, shell
    ("root", 0, 0, "/root", "/bin/sh"),
    ("daemon", 1, 1, "/usr/sbin", "/bin/false"),
    ("bin", 2, 2, "/bin", "/bin/false"),
    ("sys", 3, 3, "/dev", "/bin/false"),
    ("sync", 4, 100, "/bin", "/bin/sync"),
    ("mail", 8, 8, "/var/spool/mail", "/bin/false"),
    ("www-data", 33, 33, "/var/www", "/bin/false"),
    ("operator", 37, 37, "/var", "/bin/false"),
    ("nobody", 65534, 65534, "/home", "/bin/false"),
)
GROUPS = (
    ("root", 0),
    ("daemon", 1),
    ("bin", 2),
    ("sys", 3),
    ("adm", 4),
    ("tty", 5),
    ("disk", 6),
    ("lp", 7),
    ("mail", 8),
    ("wheel", 10),
    ("cdrom", 24),
    ("audio", 29),
    ("www-data", 33),
    ("operator", 37),
    ("shadow", 42),
    ("video", 44),
    ("users", 100),
    ("nogroup", 65534),
)
# The engine mounts its own files over these; they must exist where the root filesystem is read-only.
PLACEHOLDERS = ("etc/hostname", "etc/hosts", "etc/resolv.conf")

ELF_MAGIC = b"\x7fELF"
SEGMENT_INTERPRETER = 3  # PT_INTERP: the program wants a dynamic linker


def entries(program: bytes, names: Iterable[str]) -> list[Entry]:
    """The whole tree. `names` are the relative paths that `busybox --list-full` prints."""
    check_static(program)
    found = [file(PROGRAM, program, 0o755)]
    found += [link(name, _way_to_program(name)) for name in sorted(set(names)) if name not in (PROGRAM, "linuxrc")]
    found += [folder(path) for path in FOLDERS]
    found += [folder(path, 0o1777) for path in SHARED_FOLDERS]
    found.append(folder("root", 0o700))
    found.append(link("var/run", "../run"))
    found.append(link("etc/mtab", "/proc/mounts"))
    found += [file(path, b"") for path in PLACEHOLDERS]
    passwd = "".join(f"{name}:x:{user}:{group}:{name}:{home}:{shell}\n" for name, user, group, home, shell in USERS)
    found.append(file("etc/passwd", passwd.encode()))
    found.append(file("etc/group", "".join(f"{name}:x:{group}:\n" for name, group in GROUPS).encode()))
    shadow = "".join(f"{user[0]}:*:10933:0:99999:7:::\n" for user in USERS)
    found.append(file("etc/shadow", shadow.encode(), 0o640, group=42))
    found.append(file("etc/nsswitch.conf", b"hosts: files dns\n"))
    return found


def check_static(program: bytes) -> None:
    """Raises Invalid where the program is no 64-bit ELF file or needs a dynamic linker: an image has none."""
    if program[:4] != ELF_MAGIC or len(program) < 64 or program[4] != 2:
        raise Invalid("cannot use busybox: not a 64-bit Linux program")
    order = "little" if program[5] == 1 else "big"

    def number(offset: int, size: int) -> int:
        return int.from_bytes(program[offset : offset + size], order)  # type: ignore[arg-type]  # one of two words

    table, size, count = number(32, 8), number(54, 2), number(56, 2)
    if any(number(table + size * index, 4) == SEGMENT_INTERPRETER for index in range(count)):
        raise Invalid("cannot use busybox: it is not static; install the package busybox-static")


def _way_to_program(name: str) -> str:
    """A relative link, so that it also holds when the tree is looked at from outside."""
    if name.startswith("bin/"):
        return "busybox"
    return "../" * name.count("/") + PROGRAM
