"""boxship-control's options: flags, and one TOML file with the same names; a flag wins over the file."""

import argparse
import ipaddress
import re
from collections.abc import Sequence
from pathlib import Path
from urllib.parse import urlsplit

import msgspec

from boxship import __version__
from boxship.cluster.api.admission.chain import CHOSEN
from boxship.cluster.controllers.services.balancing import parse_pool
from boxship.cluster.objects import names
from boxship.errors import Invalid, Unsupported
from boxship.main.options import LOG_LEVELS, read_file
from boxship.spec.duration import SECOND, parse_duration

DEFAULT_CONFIG = Path("/etc/boxship/boxship-control.toml")
NOWHERE = "none"
ROLES = ("api", "controllers", "scheduler")
SERVICE_PREFIX_BITS = (12, 30)  # how large the services' network may be: its addresses are counted one by one

LEAST_SIGNING_SECONDS = 10
SMALLEST_BLOCK_BITS = 29  # of a node: a gateway and five pods


class ControlOptions(
    msgspec.Struct, frozen=True, forbid_unknown_fields=True, rename=lambda name: name.replace("_", "-")
):
    """Everything that can be set. Unknown names in the TOML file are refused by name."""

    data_root: str = "/var/lib/boxship/control"
    run_root: str = "/run/boxship/control"
    listen: str = "127.0.0.1:6443"
    advertise: str = ""
    also_listen: str = ""
    name: tuple[str, ...] = ()
    cluster: str = "boxship"
    store: str = ""
    store_ca: str = ""
    store_cert: str = ""
    store_key: str = ""
    history: str = "24h"
    service_cidr: str = "10.96.0.0/16"
    cluster_cidr: str = "10.244.0.0/16"
    node_cidr_mask_size: str = "24"
    load_balancer_pool: str = ""
    cluster_domain: str = "cluster.local"
    issuer: str = ""
    cluster_signing_duration: str = "8760h"
    encryption: str = "auto"
    enable_admission_plugins: str = ""
    audit_policy: str = ""
    audit_log: str = ""
    scheduler_config: str = ""
    role: tuple[str, ...] = ROLES
    log_level: str = "info"

    @property
    def host(self) -> str:
        return self.listen.rpartition(":")[0].strip("[]")

    @property
    def port(self) -> int:
        return int(self.listen.rpartition(":")[2])


# What `--help` says of each option: the placeholder and the meaning.
SINGLE: dict[str, tuple[str, str]] = {
    "data-root": ("DIR", "what survives a reboot: the store, certificates, keys, kubeconfigs"),
    "run-root": ("DIR", "what does not: the lock and the process id"),
    "listen": ("HOST:PORT", "serve the API here (default 127.0.0.1:6443)"),
    "advertise": ("HOST:PORT", "under which others reach it (default: what listen says)"),
    "also-listen": (
        "HOST:PORT",
        "and here, for pods (default: with listen on loopback the first node's gateway to its pods; none: nowhere)",
    ),
    "cluster": ("NAME", "what kubeconfigs call this cluster (default boxship)"),
    "store": ("STORE", "sqlite:PATH or etcd:URL,URL… (default sqlite:DATA-ROOT/state.db)"),
    "store-ca": ("FILE", "authority that etcd's certificates come from"),
    "store-cert": ("FILE", "our certificate for etcd"),
    "store-key": ("FILE", "its key"),
    "history": ("DURATION", "how long changes can be looked back on, and watches go on from (default 24h)"),
    "service-cidr": ("CIDR", "addresses of services (default 10.96.0.0/16)"),
    "cluster-cidr": ("CIDR", "addresses of pods, shared out among the nodes (default 10.244.0.0/16)"),
    "node-cidr-mask-size": ("BITS", "the length of a node's prefix of these (default 24)"),
    "load-balancer-pool": ("POOL", "addresses of load balancers: CIDR or FIRST-LAST (default: the nodes' own)"),
    "cluster-domain": ("DOMAIN", "of the names of services (default cluster.local)"),
    "issuer": ("URL", "who the tokens of service accounts come from (default https://kubernetes.default.svc.DOMAIN)"),
    "cluster-signing-duration": ("DURATION", "how long the certificates of nodes and others hold (default 8760h)"),
    "encryption": ("FILE", "how secrets are encrypted at rest: an EncryptionConfiguration, auto or none"),
    "enable-admission-plugins": ("NAMES", f"those that are not on by themselves: {', '.join(CHOSEN)} (default: none)"),
    "audit-policy": ("FILE", "which requests are written down: an audit Policy (default: none)"),
    "audit-log": ("FILE", "where (default: DATA-ROOT/audit.log)"),
    "scheduler-config": ("FILE", "a KubeSchedulerConfiguration: rules and weights (default: all rules)"),
    "log-level": ("LEVEL", f"one of {', '.join(LOG_LEVELS)}"),
}
REPEATED: dict[str, tuple[str, str]] = {
    "name": ("HOST", "further name or address for the server's certificate"),
    "role": ("ROLE", f"what this process does: {', '.join(ROLES)} (default: all)"),
}


def parse_arguments(arguments: Sequence[str]) -> ControlOptions:
    """Options of the command line over those of the file. Raises Invalid; argparse itself ends on wrong flags."""
    given = vars(_parser().parse_args(arguments))
    path = given.pop("config")
    from_file = read_file(Path(path)) if path else read_file(DEFAULT_CONFIG, optional=True)
    merged = {**from_file, **{name.replace("_", "-"): value for name, value in given.items() if value is not None}}
    try:
        options = msgspec.convert(merged, ControlOptions)
    except msgspec.ValidationError as error:
        raise Invalid(f"cannot use the options: {error}") from error
    return check(options)


def check(options: ControlOptions) -> ControlOptions:
    """The options with their defaults filled in. Raises Invalid naming the option."""
    for root in ("data_root", "run_root"):
        if not Path(getattr(options, root)).is_absolute():
            raise Invalid(f"cannot use {root.replace('_', '-')} {getattr(options, root)}: it must be an absolute path")
    advertise = options.advertise or advertised(options.listen)
    for name, place in (("listen", options.listen), ("advertise", advertise)):
        match = re.fullmatch(r"(?:\[[0-9a-fA-F:.]+\]|[^:/\[\]]+):(\d{1,5})", place)
        if match is None or int(match[1]) > 65535:
            raise Invalid(f"cannot use {name} {place}: write HOST:PORT")
    history_seconds(options)
    signing_seconds(options)
    _check_network(options)
    also = options.also_listen or default_place_for_pods(options)
    if also != NOWHERE and re.fullmatch(r"[0-9.]+:\d{1,5}", also) is None:
        raise Invalid(f"cannot use also-listen {also}: write ADDRESS:PORT")
    _check_store(options)
    for role in options.role:
        if role not in ROLES:
            raise Invalid(f"cannot use role {role}: it is one of {', '.join(ROLES)}")
    if "api" not in options.role:
        raise Unsupported("unsupported: role without api: all others run beside it")
    if options.log_level not in LOG_LEVELS:
        raise Invalid(f"cannot use log-level {options.log_level}: it is one of {', '.join(LOG_LEVELS)}")
    for name in chosen_plugins(options):
        if name not in CHOSEN:
            raise Unsupported(f"unsupported: enable-admission-plugins {name}: it is one of {', '.join(CHOSEN)}")
    if options.audit_log and not options.audit_policy:
        raise Invalid("cannot use audit-log without audit-policy")
    return msgspec.structs.replace(
        options,
        advertise=advertise,
        also_listen="" if also == NOWHERE else also,
        store=options.store or f"sqlite:{options.data_root}/state.db",
        issuer=options.issuer or f"https://kubernetes.default.svc.{options.cluster_domain}",
        audit_log=options.audit_log or f"{options.data_root}/audit.log",
    )


def chosen_plugins(options: ControlOptions) -> tuple[str, ...]:
    """The names of `enable-admission-plugins`."""
    return tuple(name.strip() for name in options.enable_admission_plugins.split(",") if name.strip())


def advertised(listen: str) -> str:
    """An address that reaches who listens there, from this machine."""
    host, _, port = listen.rpartition(":")
    return f"127.0.0.1:{port}" if host in ("0.0.0.0", "[::]", "") else listen


def default_place_for_pods(options: ControlOptions) -> str:
    """Where pods reach a control plane that nobody else does: the first address of the first node's block."""
    host = options.host
    if host != "localhost" and not host.startswith("127."):
        return NOWHERE
    return f"{ipaddress.ip_network(options.cluster_cidr)[1]}:{options.port}"


def history_seconds(options: ControlOptions) -> float:
    """How long changes are kept. Raises Invalid."""
    try:
        seconds = parse_duration(options.history) / SECOND
    except Invalid as error:
        raise Invalid(f"cannot use history {options.history}: {error}") from error
    if seconds < 60:
        raise Invalid(f"cannot use history {options.history}: write at least 1m")
    return seconds


def signing_seconds(options: ControlOptions) -> float:
    """How long a certificate holds that is signed on request. Raises Invalid."""
    text = options.cluster_signing_duration
    try:
        seconds = parse_duration(text) / SECOND
    except Invalid as error:
        raise Invalid(f"cannot use cluster-signing-duration {text}: {error}") from error
    if seconds < LEAST_SIGNING_SECONDS:
        raise Invalid(f"cannot use cluster-signing-duration {text}: write at least {LEAST_SIGNING_SECONDS}s")
    return seconds


def _check_network(options: ControlOptions) -> None:
    try:
        network = ipaddress.ip_network(options.service_cidr)
    except ValueError as error:
        raise Invalid(f"cannot use service-cidr {options.service_cidr}: {error}") from error
    smallest, largest = SERVICE_PREFIX_BITS
    if network.version != 4 or not smallest <= network.prefixlen <= largest:
        raise Invalid(f"cannot use service-cidr {options.service_cidr}: write IPv4/{smallest} to /{largest}")
    _check_pod_network(options, network)
    try:
        parse_pool(options.load_balancer_pool)
    except ValueError as error:
        raise Invalid(f"cannot use load-balancer-pool {options.load_balancer_pool}: {error}") from error
    if why := names.subdomain(options.cluster_domain):
        raise Invalid(f"cannot use cluster-domain {options.cluster_domain}: {why}")
    # A name with a colon has to be an address at which the keys are to be had (OpenID Connect Discovery).
    issuer = urlsplit(options.issuer)
    if ":" in options.issuer and (issuer.scheme != "https" or not issuer.netloc or issuer.query or issuer.fragment):
        raise Invalid(f"cannot use issuer {options.issuer}: write https://HOST/PATH")


def _check_pod_network(options: ControlOptions, services: ipaddress.IPv4Network | ipaddress.IPv6Network) -> None:
    try:
        pods = ipaddress.ip_network(options.cluster_cidr)
    except ValueError as error:
        raise Invalid(f"cannot use cluster-cidr {options.cluster_cidr}: {error}") from error
    if pods.version != 4:
        raise Unsupported("unsupported: cluster-cidr of IPv6")
    if pods.overlaps(services):
        raise Invalid(f"cannot use cluster-cidr {pods}: it shares addresses with service-cidr {services}")
    bits = options.node_cidr_mask_size
    if not bits.isdecimal() or not pods.prefixlen <= int(bits) <= SMALLEST_BLOCK_BITS:
        wanted = f"/{pods.prefixlen} to /{SMALLEST_BLOCK_BITS}"
        raise Invalid(f"cannot use node-cidr-mask-size {bits}: cluster-cidr {pods} has room for {wanted}")


def _check_store(options: ControlOptions) -> None:
    kind, _, rest = options.store.partition(":")
    if options.store and (kind not in ("sqlite", "etcd", "memory") or (kind != "memory" and not rest)):
        raise Invalid(f"cannot use store {options.store}: write sqlite:PATH or etcd:URL,URL…")
    if (options.store_ca or options.store_cert or options.store_key) and kind != "etcd":
        raise Invalid("cannot use store-ca, store-cert and store-key: they are for store etcd:…")
    if bool(options.store_cert) != bool(options.store_key):
        raise Invalid("cannot use store-cert and store-key: give both")


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="boxship-control", description="The Boxship control plane: the Kubernetes API and its controllers."
    )
    parser.add_argument("--version", action="version", version=f"boxship-control {__version__}")
    parser.add_argument("--config", metavar="FILE", help=f"TOML file with these options (default {DEFAULT_CONFIG})")
    for name, (metavar, text) in SINGLE.items():
        parser.add_argument(f"--{name}", metavar=metavar, help=text)
    for name, (metavar, text) in REPEATED.items():
        parser.add_argument(f"--{name}", action="append", metavar=metavar, help=f"{text} (repeatable)")
    return parser
