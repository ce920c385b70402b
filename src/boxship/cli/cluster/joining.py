"""Tokens with which machines join a cluster, made as its administrator; and this machine itself as a node of it."""

from __future__ import annotations

import datetime
import json
import secrets
from pathlib import Path

from boxship.cli.call import Failure
from boxship.cli.cluster.kubeconfig import read_own
from boxship.cli.cluster.places import Places
from boxship.cli.daemon import Daemon, DaemonError, Object
from boxship.errors import BoxshipError
from boxship.transport.blocking import Address, Connection, TlsFiles

ALPHABET = "abcdefghijklmnopqrstuvwxyz0123456789"
SECRETS = "/api/v1/namespaces/kube-system/secrets"
GROUP = "system:bootstrappers:kubeadm:default-node-token"


def make_token(places: Places, seconds: int, server: str = "") -> str:
    """A new token that is good for so long. Raises Failure."""
    name, secret = (_word(6), _word(16))
    until = datetime.datetime.now(datetime.UTC) + datetime.timedelta(seconds=seconds)
    made = {
        "apiVersion": "v1",
        "kind": "Secret",
        "type": "bootstrap.kubernetes.io/token",
        "metadata": {"name": f"bootstrap-token-{name}", "namespace": "kube-system"},
        "stringData": {
            "token-id": name,
            "token-secret": secret,
            "expiration": until.strftime("%Y-%m-%dT%H:%M:%SZ"),
            "usage-bootstrap-authentication": "true",
            "usage-bootstrap-signing": "true",
            "auth-extra-groups": GROUP,
        },
    }
    _ask(places, server or server_of(places), "POST", SECRETS, made)
    return f"{name}.{secret}"


def forget_token(places: Places, token: str, server: str = "") -> None:
    name = token.partition(".")[0]
    _ask(places, server or server_of(places), "DELETE", f"{SECRETS}/bootstrap-token-{name}")


def pin_of(places: Places) -> str:
    """By which others know the cluster's authority."""
    from boxship.pki.cluster_nodes import pins_of

    try:
        return sorted(pins_of(places.authority.read_bytes()))[0]
    except OSError as error:
        raise Failure(f"cannot read {places.authority}: {(error.strerror or '').lower()}") from None


def server_of(places: Places) -> str:
    """The API's address as the administrator's kubeconfig says it."""
    from boxship.wire.yaml_text import read

    value, _ = read(read_own(places))
    return str(value["clusters"][0]["cluster"]["server"])


def join_here(places: Places, server: str, node_name: str = "") -> str:
    """Make this machine a node of its own cluster; the node's name. Nothing happens where it is one already. Raises
    Failure where it is another cluster's."""
    daemon = Daemon(Address(path=str(places.engine_socket)))
    try:
        state = _state(daemon)
        if state is not None:
            if state["Server"] != server:
                raise Failure(f"this machine is node {state['NodeName']} of {state['Server']}: boxship node leave")
            return str(state["NodeName"])
        token = make_token(places, 600, server)
        try:
            words = {"Server": server, "Token": token, "CAHash": pin_of(places), "NodeName": node_name}
            return str(daemon.post("/boxship/node", body=words)["NodeName"])
        finally:
            forget_token(places, token, server)
    except Failure:
        raise
    except BoxshipError as error:
        raise Failure(f"cannot make this machine a node: {error}") from None


def _state(daemon: Daemon) -> Object | None:
    try:
        state: Object = daemon.get("/boxship/node")
        return state
    except DaemonError as error:
        if error.status != 404:
            raise
        return None


def _word(length: int) -> str:
    return "".join(secrets.choice(ALPHABET) for _ in range(length))


def admin_files(places: Places) -> tuple[Path, Path]:
    """The administrator's certificate and key."""
    folder = places.control_data / "pki"
    return folder / "admin.crt", folder / "admin.key"


def ask(places: Places, server: str, method: str, path: str, body: object = None) -> object:
    """One request as the administrator. Raises Failure."""
    return _ask(places, server, method, path, body)


def _ask(places: Places, server: str, method: str, path: str, body: object = None) -> object:
    host, _, port = server.removeprefix("https://").rpartition(":")
    certificate, key = admin_files(places)
    files = TlsFiles(authority=str(places.authority), certificate=str(certificate), key=str(key))
    try:
        connection = Connection(Address(host=host.strip("[]"), port=int(port), tls=files))
        try:
            headers = {"Content-Type": "application/json", "Connection": "close"}
            data = json.dumps(body).encode() if body is not None else None
            answer = connection.request(method, path, headers, data)
            text = answer.read()
        finally:
            connection.close()
    except (BoxshipError, OSError) as error:
        raise Failure(f"cannot reach the API at {server}: {error}") from None
    if answer.status >= 400:
        try:
            said = json.loads(text)["message"]
        except (ValueError, KeyError, TypeError):
            said = text.decode(errors="replace")
        raise Failure(f"the API refused: {said}")
    return json.loads(text)
