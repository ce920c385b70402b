"""Tokens with which machines join a cluster, made as its administrator; and this machine itself as a node of it."""

from __future__ import annotations

import datetime
import json
import secrets
import time
from pathlib import Path

from boxship.cli.call import Failure
from boxship.cli.cluster.kubeconfig import read_own
from boxship.cli.cluster.places import Places
from boxship.cli.daemon import Daemon, DaemonError, Object
from boxship.errors import BoxshipError
from boxship.transport.blocking import Address, Connection, TlsFiles

ALPHABET = "abcdefghijklmnopqrstuvwxyz0123456789"
SECRETS = "/api/v1/namespaces/kube-system/secrets"
READY_SECONDS, LOOK_SECONDS = 30.0, 0.02
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


def wait_until_ready(places: Places, server: str, name: str) -> None:
    """Raises Failure with what the node says of itself where it does not become ready."""
    deadline = time.monotonic() + READY_SECONDS
    while not _node(places, server, name)["state"].startswith("Ready"):
        if time.monotonic() > deadline:
            raise Failure(f"node {name} is not ready after {READY_SECONDS:g} s: see boxship node status")
        time.sleep(LOOK_SECONDS)


def nodes_of(places: Places, server: str) -> list[dict[str, str]]:
    """Name, state, address and block of pods of each node."""
    found = _ask(places, server, "GET", "/api/v1/nodes")
    return [_shown(node) for node in found["items"]]


def _node(places: Places, server: str, name: str) -> dict[str, str]:
    return next((node for node in nodes_of(places, server) if node["name"] == name), {"state": ""})


def _shown(node: Object) -> dict[str, str]:
    status, spec = node.get("status") or {}, node.get("spec") or {}
    conditions = {one["type"]: one["status"] for one in status.get("conditions") or ()}
    state = {"True": "Ready", "False": "NotReady"}.get(conditions.get("Ready", ""), "Unknown")
    address = next((one["address"] for one in status.get("addresses") or () if one["type"] == "InternalIP"), "-")
    state += ",SchedulingDisabled" if spec.get("unschedulable") else ""
    return {
        "name": node["metadata"]["name"],
        "state": state,
        "address": address,
        "pods": spec.get("podCIDR") or "-",
    }


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


def _ask(places: Places, server: str, method: str, path: str, body: object = None) -> Object:
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
    found: Object = json.loads(text)
    return found
