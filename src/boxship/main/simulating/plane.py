"""A control plane of the simulation's own: a real boxship-control on loopback over a store in a folder that goes."""

import asyncio
import contextlib
import os
import signal
import sys
from collections.abc import Sequence
from pathlib import Path

from boxship.cluster.access.remote import Remote, Server, api_client
from boxship.errors import BoxshipError, Internal
from boxship.transport.client import Trust
from boxship.transport.listen import PlainAddress, open_plain

READY_SECONDS, STOP_SECONDS, LOOK_SECONDS = 120.0, 30.0, 0.02
PODS = "10.128.0.0/9"  # room for 32,768 nodes


class Plane:
    """One control plane, which may be started again with other roles. `options` are boxship-control's."""

    def __init__(self, home: Path, options: Sequence[str] = ()) -> None:
        self.data = home / "data"
        self._run, self._log = home / "run", home / "log"
        self._options = tuple(options)
        self._port = _free_port()
        self._process: asyncio.subprocess.Process | None = None
        self._http = api_client("boxship-simulate")

    @property
    def url(self) -> str:
        return f"https://127.0.0.1:{self._port}"

    @property
    def client(self) -> Remote:
        """As the administrator, once it has been started."""
        pki = self.data / "pki"
        trust = Trust(
            ca_data=(pki / "ca.crt").read_text(), certificate=str(pki / "admin.crt"), key=str(pki / "admin.key")
        )
        return Remote(self._http, Server(self.url, trust))

    async def start(self, *roles: str) -> float:
        """With these roles; the seconds until it was ready. Raises Internal with its last words."""
        words = [str(Path(sys.argv[0]).with_name("boxship-control"))]
        words += ["--data-root", str(self.data), "--run-root", str(self._run), "--listen", f"127.0.0.1:{self._port}"]
        words += ["--cluster-cidr", PODS, "--also-listen", "none", "--log-level", "warning"]
        words += [word for role in roles for word in ("--role", role)]
        loop = asyncio.get_running_loop()
        begun = loop.time()
        with self._log.open("ab") as log:
            self._process = await asyncio.create_subprocess_exec(
                *words, *self._options, stdin=asyncio.subprocess.DEVNULL, stdout=log, stderr=log
            )
        while not await self._is_ready():
            if self._process.returncode is not None or loop.time() - begun > READY_SECONDS:
                raise Internal(f"cannot start boxship-control: {self._log.read_text(errors='replace')[-2000:]}")
            await asyncio.sleep(LOOK_SECONDS)
        return loop.time() - begun

    async def _is_ready(self) -> bool:
        authority = self.data / "pki" / "ca.crt"
        with contextlib.suppress(BoxshipError, OSError):
            trust = Trust(ca_data=authority.read_text())
            async with self._http.request("GET", f"{self.url}/readyz", trust=trust) as answer:
                return answer.status == 200
        return False

    def memory(self) -> int:
        """Bytes that are its own share of the machine's memory (PSS)."""
        return _figure(f"/proc/{self._pid}/smaps_rollup", "Pss:")

    def processor(self) -> float:
        """Seconds of processor time that it has taken."""
        fields = Path(f"/proc/{self._pid}/stat").read_text().rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")

    @property
    def _pid(self) -> int:
        assert self._process is not None
        return self._process.pid

    async def stop(self) -> None:
        """What was acknowledged is there at the next start."""
        process, self._process = self._process, None
        if process is None or process.returncode is not None:
            return
        process.send_signal(signal.SIGTERM)
        try:
            async with asyncio.timeout(STOP_SECONDS):
                await process.wait()
        except TimeoutError:
            process.kill()
            await process.wait()

    async def close(self) -> None:
        await self.stop()
        await self._http.close()


def _free_port() -> int:
    opened = open_plain(PlainAddress("127.0.0.1", 0))
    try:
        return int(opened.getsockname()[1])
    finally:
        opened.close()


def _figure(path: str, name: str) -> int:
    for line in Path(path).read_text().splitlines():
        if line.startswith(name):
            return int(line.split()[1]) * 1024
    return 0
