"""Which cluster is meant, and who we are there: a kubeconfig file, or the cluster that `boxship cluster up` made.

Source: kubernetes.io, "Organizing Cluster Access Using kubeconfig Files". Programs that fetch credentials (`exec`) and
proxies are refused by name.
"""

from __future__ import annotations

import base64
import binascii
import os
from pathlib import Path

from boxship.cli.call import Call, Failure
from boxship.cli.flags import Flag
from boxship.errors import Invalid
from boxship.transport.blocking import Address, TlsFiles

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    Object = dict[str, Any]
else:
    Object = dict

DEFAULT_PORTS = {"https": 443, "http": 80}
UNSUPPORTED = ("exec", "auth-provider", "proxy-url")

CONFIG_FLAGS = (
    Flag("--kubeconfig string", "Path to the kubeconfig file", completes="files"),
    Flag("--context string", "Name of the kubeconfig context to use"),
    Flag("-n, --namespace string", "Namespace of the request"),
)


class Access:
    """One cluster to talk to: where, as whom, and in which namespace."""

    __slots__ = ("address", "headers", "namespace")

    def __init__(self, address: Address, headers: dict[str, str], namespace: str) -> None:
        self.address = address
        self.headers = headers
        self.namespace = namespace


def find_access(call: Call) -> Access:
    """By --kubeconfig or --data-root, KUBECONFIG, ~/.kube/config, or the administrator of the default cluster."""
    from boxship.cli.cluster.places import DATA_ROOT, RUN_ROOT, Places

    named = call.options.text("kubeconfig")
    here = call.options.given("data-root")
    root = os.path.abspath(call.options.text("data-root")) if here else DATA_ROOT
    own = str(Places(Path(root), Path(RUN_ROOT)).kubeconfig)
    if named and here:
        raise Failure("--kubeconfig and --data-root say two clusters: choose one")
    if named or here:
        paths = [named or own]
    elif call.environment.get("KUBECONFIG"):
        paths = [path for path in call.environment["KUBECONFIG"].split(":") if path and os.path.exists(path)]
    else:
        home = os.path.join(call.environment.get("HOME", ""), ".kube", "config")
        paths = [path for path in (home, own) if os.path.exists(path)][:1]
    if not paths:
        raise Failure("no cluster is known: start one with boxship cluster up, or name a file with --kubeconfig")
    merged = _merged([_read(path) for path in paths])
    context = _named(merged, "contexts", "context", call.options.text("context") or merged.get("current-context", ""))
    cluster = _named(merged, "clusters", "cluster", context.get("cluster", ""))
    user = _named(merged, "users", "user", context["user"]) if context.get("user") else {}
    for part in (cluster, user):
        for field in UNSUPPORTED:
            if part.get(field):
                raise Failure(f"unsupported: {field} in a kubeconfig")
    namespace = call.options.text("namespace") or context.get("namespace") or "default"
    return Access(_address(cluster, user), _headers(user), namespace)


def _read(path: str) -> Object:
    from boxship.wire.yaml_text import read

    try:
        value, _ = read(Path(path).read_bytes())
    except OSError as error:
        raise Failure(f"cannot read {path}: {(error.strerror or '').lower()}") from None
    except Invalid as error:
        raise Failure(f"cannot read {path}: {error}") from None
    if not isinstance(value, dict):
        raise Failure(f"cannot read {path}: it is no kubeconfig")
    folder = os.path.dirname(os.path.abspath(path))
    for part, inner in (("clusters", "cluster"), ("users", "user")):
        for entry in value.get(part) or []:
            fields = entry.get(inner) or {}
            for field in ("certificate-authority", "client-certificate", "client-key", "tokenFile"):
                if fields.get(field):  # relative to the file that names it
                    fields[field] = os.path.join(folder, fields[field])
    return value


def _merged(files: list[Object]) -> Object:
    """The first file that says something about a name wins."""
    merged: Object = {"clusters": [], "users": [], "contexts": []}
    for file in files:
        merged["current-context"] = merged.get("current-context") or file.get("current-context", "")
        for part in ("clusters", "users", "contexts"):
            known = {entry["name"] for entry in merged[part]}
            merged[part] += [entry for entry in file.get(part) or [] if entry.get("name") not in known]
    return merged


def _named(merged: Object, part: str, inner: str, name: str) -> Object:
    for entry in merged[part]:
        if entry["name"] == name:
            found: Object = entry.get(inner) or {}
            return found
    raise Failure(f"the kubeconfig has no {inner} named {name!r}" if name else "the kubeconfig has no current context")


def _address(cluster: Object, user: Object) -> Address:
    scheme, _, rest = str(cluster.get("server") or "").partition("://")
    host, colon, port = rest.partition("/")[0].rpartition(":")
    if not colon or "]" in port:
        host, port = rest.partition("/")[0], str(DEFAULT_PORTS.get(scheme, 443))
    if scheme not in DEFAULT_PORTS or not host or not port.isdigit():
        raise Failure(f"the kubeconfig's server {cluster.get('server')!r} is no address")
    tls = None
    if scheme == "https":
        tls = TlsFiles(
            _file(cluster, "certificate-authority"),
            _file(user, "client-certificate"),
            _file(user, "client-key"),
            not cluster.get("insecure-skip-tls-verify"),
        )
    return Address(host=host.strip("[]"), port=int(port), tls=tls)


def _file(part: Object, field: str) -> str:
    """The path of a certificate or key. What stands in the kubeconfig itself is put into memory that has a path, since
    the TLS library reads files only."""
    text = part.get(f"{field}-data")
    if not text:
        return str(part.get(field) or "")
    try:
        data = base64.b64decode(text, validate=True)
    except binascii.Error:
        raise Failure(f"the kubeconfig's {field}-data is not base64") from None
    descriptor = os.memfd_create(field)
    os.write(descriptor, data)
    return f"/proc/self/fd/{descriptor}"


def _headers(user: Object) -> dict[str, str]:
    token = user.get("token") or ""
    if user.get("tokenFile"):
        token = Path(user["tokenFile"]).read_text().strip()
    if token:
        return {"Authorization": f"Bearer {token}"}
    if user.get("username"):
        pair = f"{user['username']}:{user.get('password', '')}".encode()
        return {"Authorization": f"Basic {base64.b64encode(pair).decode()}"}
    return {}
