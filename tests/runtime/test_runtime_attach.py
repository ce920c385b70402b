"""Standard streams: nothing lost, half-close, several clients, terminals."""

import asyncio
import hashlib
import os

import pytest
from runtime_kit import Box, drain

from boxship.errors import Internal, Unavailable
from boxship.runtime.driver import Attached
from boxship.runtime.plan import Identity

both = pytest.mark.parametrize("runtime", ["crun", "runc"])


async def until(attached: Attached, wanted: bytes) -> bytes:
    """Read until the text has come."""
    found = b""
    async with asyncio.timeout(10):
        async for _, data in attached:
            found += data
            if wanted in found:
                return found
    raise AssertionError(f"the stream ended without {wanted!r}: {found!r}")


@both
async def test_all_output_comes_from_the_first_byte(box: Box, runtime: str) -> None:
    for _ in range(5):
        _, out, _ = await box.run("seq", "1", "5000", runtime=runtime)
        assert out == b"".join(b"%d\n" % number for number in range(1, 5001))


async def test_streams_are_told_apart(box: Box) -> None:
    _, out, error = await box.run("sh", "-c", "for i in 1 2 3; do echo o$i; echo e$i >&2; done")
    assert out == b"o1\no2\no3\n"
    assert error == b"e1\ne2\ne3\n"


@both
async def test_stdin_ends_with_half_close_and_output_goes_on(box: Box, runtime: str) -> None:
    handle = await box.create("sh", "-c", "wc -c; echo after", stdin=True, stdin_once=True, runtime=runtime)
    attached = await box.driver.connect(handle)
    await box.driver.start(handle)
    data = os.urandom(100_000)
    await attached.write(data)
    await attached.close_stdin()
    out, _ = await drain(attached)
    assert out == b"100000\nafter\n"
    assert (await box.driver.wait(handle)).code == 0
    await box.driver.delete(handle.id, handle)


async def test_much_goes_through_both_ways_at_once(box: Box) -> None:
    handle = await box.create("cat", stdin=True, stdin_once=True, log=False)
    attached = await box.driver.connect(handle)
    await box.driver.start(handle)
    data = os.urandom(6_000_000)

    async def send() -> None:
        await attached.write(data)
        await attached.close_stdin()

    sending = asyncio.create_task(send())
    out, _ = await drain(attached)
    await sending
    assert hashlib.sha256(out).digest() == hashlib.sha256(data).digest()
    await box.driver.delete(handle.id, handle)


async def test_stdin_that_is_given_before_the_start(box: Box) -> None:
    handle = await box.create("cat", stdin=True, stdin_once=True)
    attached = await box.driver.connect(handle)
    await attached.write(b"early\n")
    await attached.close_stdin()
    await box.driver.start(handle)
    assert (await drain(attached))[0] == b"early\n"
    await box.driver.delete(handle.id, handle)


async def test_stdin_stays_open_when_a_client_goes(box: Box) -> None:
    handle = await box.create("sh", "-c", "while read x; do echo got $x; done", stdin=True)
    first = await box.driver.connect(handle)
    await box.driver.start(handle)
    await first.write(b"a\n")
    assert await until(first, b"got a\n")
    await first.close_stdin()
    first.close()
    second = await box.driver.connect(handle)
    await second.write(b"b\n")
    assert await until(second, b"got b\n")
    second.close()
    await box.driver.delete(handle.id, handle)


async def test_stdin_ends_when_its_only_client_vanishes(box: Box) -> None:
    handle = await box.create("sh", "-c", "cat; exit 9", stdin=True, stdin_once=True)
    attached = await box.driver.connect(handle)
    await box.driver.start(handle)
    attached.close()
    async with asyncio.timeout(20):
        assert (await box.driver.wait(handle)).code == 9
    await box.driver.delete(handle.id, handle)


async def test_a_client_that_only_reads_does_not_end_stdin(box: Box) -> None:
    handle = await box.create("sh", "-c", "read x; echo $x; read x; echo $x", stdin=True, stdin_once=True)
    writer = await box.driver.connect(handle)
    reader = await box.driver.connect(handle, stdin=False)
    await box.driver.start(handle)
    await writer.write(b"one\n")
    assert await until(reader, b"one\n")
    reader.close()
    reader.close()
    await asyncio.sleep(0.05)  # conmon would have noticed by now
    await writer.write(b"two\n")
    assert (await drain(writer))[0] == b"one\ntwo\n"
    assert (await box.driver.wait(handle)).code == 0
    await box.driver.delete(handle.id, handle)


async def test_closing_wakes_a_reader(box: Box) -> None:
    handle = await box.started("sleep", "60")
    for stdin in (True, False):
        attached = await box.driver.connect(handle, stdin=stdin)
        reading = asyncio.create_task(drain(attached))
        await asyncio.sleep(0.02)
        attached.close()
        assert await asyncio.wait_for(reading, 20) == (b"", b"")
    await box.driver.delete(handle.id, handle)


async def test_without_stdin_a_process_reads_its_end_at_once(box: Box) -> None:
    _, out, _ = await box.run("sh", "-c", "cat; echo end")
    assert out == b"end\n"


async def test_several_clients_read_the_same(box: Box) -> None:
    handle = await box.create("seq", "1", "3000")
    clients = [await box.driver.connect(handle) for _ in range(4)]
    await box.driver.start(handle)
    outs = await asyncio.gather(*(drain(client) for client in clients))
    assert len({out for out, _ in outs}) == 1
    assert outs[0][0].endswith(b"\n3000\n")
    await box.driver.delete(handle.id, handle)


async def test_nobody_listens_after_the_end(box: Box) -> None:
    handle = await box.started("true")
    await box.driver.wait(handle)
    with pytest.raises(Unavailable):
        await box.driver.connect(handle)
    with pytest.raises(Internal):
        await box.driver.resize(handle, 10, 10)
    await box.driver.delete(handle.id, handle)


@both
async def test_a_terminal(box: Box, runtime: str) -> None:
    waiting = "while [ \"$(stty size)\" = '31 97' ]; do sleep 0.01; done"
    script = f"tty; stty size; {waiting}; read x; echo got $x; stty size"
    handle = await box.create("sh", "-c", script, tty=True, stdin=True, runtime=runtime, console_size=(31, 97))
    attached = await box.driver.connect(handle)
    await box.driver.start(handle)
    first = await until(attached, b"97\r\n")
    assert first == b"/dev/pts/0\r\n31 97\r\n"
    await box.driver.resize(handle, 50, 160)
    await attached.write(b"word\n")
    out, error = await drain(attached)
    assert out == b"word\r\ngot word\r\n50 160\r\n"
    assert error == b""
    await box.driver.wait(handle)
    await box.driver.delete(handle.id, handle)


async def test_a_terminal_stays_when_its_client_detaches(box: Box) -> None:
    handle = await box.create("sh", tty=True, stdin=True, stdin_once=True)
    first = await box.driver.connect(handle)
    await box.driver.start(handle)
    await first.write(b"echo one$((1+1))\n")
    await until(first, b"one2\r\n")
    first.close()
    second = await box.driver.connect(handle)
    await second.write(b"echo two$((1+2)); exit 4\n")
    await until(second, b"two3\r\n")
    second.close()
    assert (await box.driver.wait(handle)).code == 4
    await box.driver.delete(handle.id, handle)


async def test_a_terminal_of_another_user(box: Box) -> None:
    handle = await box.create("sh", "-c", "echo x > $(tty); id -u", tty=True, identity=Identity(uid=1000, gid=1000))
    attached = await box.driver.connect(handle)
    await box.driver.start(handle)
    out, _ = await drain(attached)
    assert out == b"x\r\n1000\r\n"
    await box.driver.delete(handle.id, handle)
