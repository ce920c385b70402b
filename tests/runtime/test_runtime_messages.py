"""What runtimes say, what conmon is told, what ps shows: pure."""

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from boxship.errors import Internal, Invalid
from boxship.runtime import conmon, failures
from boxship.runtime.failures import Unrunnable
from boxship.runtime.processes import select_rows


@pytest.mark.parametrize(
    ("text", "message", "code"),
    [
        (
            "executable file `nope` not found in $PATH: No such file or directory\n",
            'unable to start container process: exec: "nope": executable file not found in $PATH',
            127,
        ),
        (
            "2026-11-22T06:00:00.000000Z: executable file `/bin/x` not found: No such file or directory",
            'unable to start container process: exec: "/bin/x": stat /bin/x: no such file or directory',
            127,
        ),
        (
            "open executable: Permission denied",
            'unable to start container process: exec: "prog": permission denied',
            126,
        ),
        (
            'time="2026-11-22T06:00:00Z" level=error msg="runc create failed: unable to start container process: '
            'exec: \\"nope\\": executable file not found in $PATH"\n',
            'runc create failed: unable to start container process: exec: "nope": executable file not found in $PATH',
            127,
        ),
        ("mount `x` to `y`: No such file or directory", "mount `x` to `y`: No such file or directory", None),
        ("", "the runtime ended without a message", None),
        (
            'time="x" level=warning msg="odd"\ntime="x" level=error msg="first"\ntime="x" level=fatal msg="last"',
            "last",
            None,
        ),
    ],
)
def test_failures(text: str, message: str, code: int | None) -> None:
    error = failures.describe(text, ("prog",), "create")
    assert str(error) == f"OCI runtime create failed: {message}: unknown"
    assert (error.exit_code if isinstance(error, Unrunnable) else None) == code
    assert isinstance(error, Invalid if code else Internal)


@given(st.text())
def test_any_complaint_becomes_one_line(text: str) -> None:
    error = str(failures.describe(text, ("x",), "exec"))
    assert error.startswith("OCI runtime exec failed: ")
    assert error.endswith(": unknown")
    assert len(error) < failures.MESSAGE_LIMIT + 200


def test_the_command_line_of_conmon() -> None:
    request = conmon.Request(
        container_id="c1",
        program="/bin/crun",
        state_root=Path("/state"),
        bundle=Path("/bundle"),
        log_path="/log",
        tty=True,
        stdin=True,
        keep_stdin=True,
    )
    line = conmon.arguments(request)
    assert line[0] == "conmon"
    for word in ("--cid=c1", "--runtime=/bin/crun", "--runtime-arg=--root=/state", "--log-path=k8s-file:/log"):
        assert word in line
    assert {"--terminal", "--stdin", "--leave-stdin-open"} <= set(line)
    assert "--exec" not in line
    plain = conmon.Request(container_id="c1", program="/bin/crun", state_root=Path("/s"), bundle=Path("/b"))
    assert "--log-path=none" in conmon.arguments(plain)
    assert not {"--terminal", "--stdin", "--leave-stdin-open"} & set(conmon.arguments(plain))


PS = """UID          PID    PPID  C STIME TTY          TIME CMD
root           1       0  0 06:00 ?        00:00:01 init
root          42       1  0 06:00 ?        00:00:00 sleep  60   70
root         420       1  0 06:00 ?        00:00:00 sleep 61
broken
"""


def test_rows_of_ps() -> None:
    titles, rows = select_rows(PS, {42, 7})
    assert titles == ["UID", "PID", "PPID", "C", "STIME", "TTY", "TIME", "CMD"]
    assert rows == [["root", "42", "1", "0", "06:00", "?", "00:00:00", "sleep  60   70"]]
    assert select_rows("PID\n", {1}) == (["PID"], [])
    for text in ("", "CMD\nx\n"):
        with pytest.raises(Invalid, match="Couldn't find PID field in ps output"):
            select_rows(text, {1})
