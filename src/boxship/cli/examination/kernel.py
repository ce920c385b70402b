"""Questions to the kernel: may we, and can it?"""

import shlex

from boxship.cli.examination.machine import GOOD, MISSING, WARNING, Finding, Machine

NAMESPACES = ("mnt", "net", "pid", "ipc", "uts", "cgroup")
# Capability numbers of capabilities(7).
NEEDED = {12: "CAP_NET_ADMIN", 18: "CAP_SYS_CHROOT", 21: "CAP_SYS_ADMIN", 27: "CAP_MKNOD"}
USEFUL = {24: ("CAP_SYS_RESOURCE", "limits cannot be raised above the daemon's own (--ulimit, --oom-score-adj)")}
CONTROLLERS = ("cpu", "cpuset", "memory", "pids")
LEAST_SPACE = 2 << 30  # bytes
LEAST_INODES = 100_000

# In a mount namespace of its own, so that nothing is left behind, whatever happens.
OVERLAY_TRIAL = """
set -e
folder=$(mktemp -d {parent}/boxship-doctor-XXXXXX)
trap 'umount "$folder/merged" 2>/dev/null; rm -rf "$folder"' EXIT
cd "$folder"
mkdir lower upper work merged
echo below > lower/file
mount -t overlay overlay -o lowerdir=lower,upperdir=upper,workdir=work merged
rm merged/file
test -c upper/file
"""


def rights(machine: Machine) -> list[Finding]:
    line = _field(machine.read("/proc/self/status"), "CapEff")
    held = int(line or "0", 16)
    lacking = [name for number, name in NEEDED.items() if not held >> number & 1]
    if lacking:
        return [Finding("rights", MISSING, f"without {', '.join(lacking)}", "run as root")]
    weak = [f"without {name}: {text}" for number, (name, text) in USEFUL.items() if not held >> number & 1]
    if weak:
        return [Finding("rights", WARNING, "; ".join(weak))]
    return [Finding("rights", GOOD, "all capabilities that containers need")]


def namespaces(machine: Machine) -> list[Finding]:
    absent = [name for name in NAMESPACES if not machine.exists(f"/proc/self/ns/{name}")]
    if absent:
        return [
            Finding("namespaces", MISSING, f"the kernel has no {', '.join(absent)} namespace", "use another kernel")
        ]
    return [Finding("namespaces", GOOD, ", ".join(NAMESPACES))]


def cgroups(machine: Machine) -> list[Finding]:
    """The layout, and the controllers that limits need."""
    version_one, version_two = _cgroup_mounts(machine.read("/proc/self/mounts"))
    if not version_one and not version_two:
        return [Finding("cgroups", MISSING, "no cgroup filesystem is mounted", "mount cgroup2 at /sys/fs/cgroup")]
    if version_one:
        layout = "v1 and v2 (hybrid)" if version_two else "v1"
        present = set(version_one)
    else:
        layout = "v2"
        present = set(machine.read(f"{version_two}/cgroup.controllers").split())
    absent = [name for name in CONTROLLERS if name not in present]
    if absent:
        remedy = "boot with cgroup_enable=memory" if absent == ["memory"] else "use another kernel"
        return [Finding("cgroups", WARNING, f"{layout}, without {', '.join(absent)}: these limits do not hold", remedy)]
    found = [Finding("cgroups", GOOD, f"{layout} with {', '.join(sorted(present & {*CONTROLLERS, 'blkio', 'io'}))}")]
    swap = "/sys/fs/cgroup/memory/memory.memsw.limit_in_bytes"
    if version_one and not machine.exists(swap):
        text = "swap is not counted: --memory-swap does not hold"
        found.append(Finding("cgroups", WARNING, text, "boot with swapaccount=1"))
    return found


def seccomp(machine: Machine) -> list[Finding]:
    actions = machine.read("/proc/sys/kernel/seccomp/actions_avail").split()
    if "errno" not in actions:
        text = "the kernel has no seccomp filters: containers are less confined"
        return [Finding("seccomp", MISSING, text, "use a kernel with CONFIG_SECCOMP_FILTER")]
    return [Finding("seccomp", GOOD, "filters are available")]


def overlay(machine: Machine) -> list[Finding]:
    """Makes an overlay on the data root's filesystem, and deletes a file through it."""
    folder = machine.nearest_folder()
    kind = filesystem_of(folder, machine.read("/proc/self/mounts"))
    script = OVERLAY_TRIAL.format(parent=shlex.quote(folder))
    status, output = machine.run(["unshare", "--mount", "sh", "-c", script])
    if status == 0:
        return [Finding("overlayfs", GOOD, f"works in {folder} ({kind})")]
    last = output.strip().splitlines()[-1] if output.strip() else f"the trial ended with {status}"
    remedy = "put the data root on ext4, xfs or btrfs (boxshipd --data-root DIR)"
    return [Finding("overlayfs", MISSING, f"does not work in {folder} ({kind}): {last}", remedy)]


def space(machine: Machine) -> list[Finding]:
    size, inodes = machine.free_space()
    folder = machine.nearest_folder()
    text = f"{size / (1 << 30):.1f} GiB free in {folder}"
    if size < LEAST_SPACE:
        return [Finding("disk space", WARNING, text, "free some space, or use another --data-root")]
    if 0 < inodes < LEAST_INODES:
        return [Finding("disk space", WARNING, f"only {inodes} inodes free in {folder}", "use another --data-root")]
    return [Finding("disk space", GOOD, text)]


def filesystem_of(path: str, mounts: str) -> str:
    """The type of the filesystem that a path lies on, out of /proc/self/mounts; "?" where it cannot be told."""
    best, kind = "", "?"
    for line in mounts.splitlines():
        words = line.split()
        if len(words) < 3:
            continue
        target = words[1].rstrip("/")
        if (path == words[1] or f"{path}/".startswith(f"{target}/")) and len(target) >= len(best):
            best, kind = target, words[2]
    return kind


def _cgroup_mounts(mounts: str) -> tuple[list[str], str]:
    """Controllers of the v1 mounts, and the v2 mount point."""
    controllers: list[str] = []
    version_two = ""
    for line in mounts.splitlines():
        words = line.split()
        if len(words) >= 4 and words[2] == "cgroup":
            controllers += [word for word in words[3].split(",") if not word.startswith(("rw", "ro", "no", "rel"))]
        elif len(words) >= 4 and words[2] == "cgroup2":
            version_two = words[1]
    return [name for name in controllers if not name.startswith("name=")], version_two


def _field(status: str, name: str) -> str:
    for line in status.splitlines():
        if line.startswith(f"{name}:"):
            return line.partition(":")[2].strip()
    return ""
