"""A real boxship-control for tests: own roots, own port, the stock client, requests without one."""

import contextlib
import http.client
import json
import signal
import ssl
import subprocess
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple

from daemons import PROJECT, START_DEADLINE, STOP_DEADLINE, free_port, kubectl_program, surroundings, until

KUBECTLS = PROJECT / "build" / "kubectl"  # VERSION/kubectl, unpacked by tools/cluster-peers.sh


class Answer(NamedTuple):
    """What came back for a request."""

    status: int
    headers: Mapping[str, str]
    body: bytes

    @property
    def object(self) -> Any:
        return json.loads(self.body)


class Control:
    """One control plane with roots under `home`."""

    def __init__(self, home: Path, *options: str) -> None:
        self.home = home
        self.data, self.run = home / "control", home / "run"
        self.kubeconfig = self.data / "admin.kubeconfig"
        self.log = home / "boxship-control.log"
        self.port = free_port()
        self.url = f"https://127.0.0.1:{self.port}"
        self.options = options
        self.process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        """Start it and wait until it is ready."""
        program = Path(sys.executable).parent / "boxship-control"
        arguments = [str(program), "--data-root", str(self.data), "--run-root", str(self.run)]
        self.home.mkdir(parents=True, exist_ok=True)
        with self.log.open("ab") as log:
            self.process = subprocess.Popen(
                [*arguments, "--listen", f"127.0.0.1:{self.port}", *self.options],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
            )
        until(self.is_ready, START_DEADLINE, lambda: f"boxship-control answers; its log:\n{self.said()}")

    def said(self) -> str:
        """The end of its log."""
        return self.log.read_text()[-4000:]

    def is_ready(self) -> bool:
        assert self.process is not None
        assert self.process.poll() is None, f"boxship-control ended:\n{self.said()}"
        with contextlib.suppress(OSError, http.client.HTTPException):
            return self.request("GET", "/readyz").status == 200
        return False

    def kill(self) -> None:
        """kill -9."""
        assert self.process is not None
        self.process.send_signal(signal.SIGKILL)
        self.process.wait()

    def stop(self) -> None:
        """Ask it to end, as systemd would."""
        if self.process is None or self.process.poll() is not None:
            return
        self.process.terminate()
        self.process.wait(STOP_DEADLINE)

    def connection(self, client: str | None = "admin") -> http.client.HTTPSConnection:
        """A connection as one of the clients of the authority ("admin", "controller-manager"), or as nobody."""
        context = ssl.create_default_context(cafile=self.data / "pki" / "ca.crt")
        if client is not None:
            context.load_cert_chain(self.data / "pki" / f"{client}.crt", self.data / "pki" / f"{client}.key")
        return http.client.HTTPSConnection("127.0.0.1", self.port, timeout=30, context=context)

    def request(
        self,
        method: str,
        path: str,
        body: Any = None,
        headers: Mapping[str, str] | None = None,
        client: str | None = "admin",
    ) -> Answer:
        """One request on a connection of its own. A body that is no bytes is sent as JSON."""
        fields = dict(headers or {})
        if body is not None and not isinstance(body, bytes):
            body = json.dumps(body).encode()
            fields.setdefault("Content-Type", "application/json")
        connection = self.connection(client)
        try:
            connection.request(method, path, body, fields)
            answer = connection.getresponse()
            return Answer(answer.status, answer.headers, answer.read())
        finally:
            connection.close()

    def kubectl(
        self,
        *arguments: str,
        check: bool = True,
        data: bytes | str | None = None,
        timeout: float = 60,
        program: str = "",
        environment: Mapping[str, str] | None = None,
    ) -> "subprocess.CompletedProcess[str]":
        """Run the stock client as the administrator."""
        done = subprocess.run(
            [program or kubectl_program(), *arguments],
            input=data.encode() if isinstance(data, str) else data,
            capture_output=True,
            timeout=timeout,
            env={
                **surroundings(),
                "KUBECONFIG": str(self.kubeconfig),
                "HOME": str(self.home),
                "KUBECACHEDIR": str(self.home / "cache"),
                **(environment or {}),
            },
            cwd=self.home,
            check=False,
        )
        result = subprocess.CompletedProcess(
            done.args, done.returncode, done.stdout.decode(errors="replace"), done.stderr.decode(errors="replace")
        )
        assert not check or result.returncode == 0, f"kubectl {' '.join(arguments)}: {result.stderr}{result.stdout}"
        return result


@contextlib.contextmanager
def running_control(home: Path, *options: str) -> Iterator[Control]:
    """A started control plane; it is ended at the end."""
    control = Control(home, *options)
    control.start()
    try:
        yield control
    finally:
        if control.process is not None and control.process.poll() is None:
            try:
                control.stop()
            except subprocess.TimeoutExpired:
                control.kill()
                raise
