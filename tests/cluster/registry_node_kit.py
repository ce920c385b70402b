"""A registry on the machine of a cluster that is no node, with users or without."""

import contextlib
from collections.abc import Iterator

import bcrypt
from nodes_kit import CLIENTS, Cluster, NodeDaemon

REGISTRY = f"{CLIENTS}:5000"
USER, PASSWORD = "alice", "correct horse"
TRUSTED = ("--insecure-registry", REGISTRY)  # an option of those who use it


@contextlib.contextmanager
def registry(cluster: Cluster, *images: str, users: bool = False) -> Iterator[NodeDaemon]:
    """It has busybox under those names."""
    words = ["--registry", REGISTRY, "--registry-plain-http", *TRUSTED]
    if users:
        known = cluster.home / "users"
        known.write_text(f"{USER}:" + bcrypt.hashpw(PASSWORD.encode(), bcrypt.gensalt(5)).decode() + "\n")
        words += ["--registry-auth", str(known)]
    daemon = NodeDaemon(cluster.home / "registry", "registry", CLIENTS, cluster.clients, *words)
    daemon.start()
    try:
        if users:
            log_in(daemon)
        for image in images:
            daemon.load_busybox(image)
            daemon.docker("push", image)
        yield daemon
    finally:
        daemon.remove_all()
        daemon.stop()


def log_in(daemon: NodeDaemon) -> None:
    daemon.docker("login", "-u", USER, "--password-stdin", REGISTRY, data=PASSWORD.encode())
