"""What the node does, in the words of a KubeletConfiguration, as /configz answers: people and audits read there how
long logs grow, when images go, who may come in. Only what is so: a field for which this node has nothing is left out.
Pure.

Source: reference "Kubelet Configuration (v1beta1)".
"""

from collections.abc import Sequence

from boxship.cluster.node.agent import Options
from boxship.cluster.node.engine_status import LOG
from boxship.cluster.node.eviction.pressure import MIB, Threshold
from boxship.cluster.node.life.restarting import LONGEST_SECONDS
from boxship.cluster.node.runtime import PULLS
from boxship.cluster.node.server.entry import ALLOWED_SECONDS, DENIED_SECONDS, TOKEN_SECONDS
from boxship.cluster.node.static import LOOK_SECONDS
from boxship.cluster.node.status.facts import NodeFacts
from boxship.cluster.node.status.reporting import LEASE_SECONDS, TELL_SECONDS
from boxship.cluster.objects import Object
from boxship.cluster.objects.quantity import canonical

POLICIES = {"cpuManagerPolicy": "none", "memoryManagerPolicy": "None", "topologyManagerPolicy": "none"}


def configuration(options: Options, facts: NodeFacts, domain: str, dns: Sequence[str]) -> Object:
    """`dns`: the addresses at which pods ask for names."""
    hard = [one for one in options.thresholds if not one.grace]
    soft = [one for one in options.thresholds if one.grace]
    found: dict[str, object] = {
        "kind": "KubeletConfiguration",
        "apiVersion": "kubelet.config.k8s.io/v1beta1",
        "enableServer": True,
        "staticPodPath": options.static_folder,
        "fileCheckFrequency": duration(LOOK_SECONDS),
        "rotateCertificates": True,
        "serverTLSBootstrap": True,
        "authentication": {
            "anonymous": {"enabled": False},
            "webhook": {"enabled": True, "cacheTTL": duration(TOKEN_SECONDS)},
        },
        "authorization": {
            "mode": "Webhook",
            "webhook": {
                "cacheAuthorizedTTL": duration(ALLOWED_SECONDS),
                "cacheUnauthorizedTTL": duration(DENIED_SECONDS),
            },
        },
        "clusterDomain": domain,
        "clusterDNS": list(dns),
        "nodeStatusReportFrequency": duration(TELL_SECONDS),
        "nodeLeaseDurationSeconds": LEASE_SECONDS,
        "imageMinimumGCAge": duration(options.images.age),
        "imageGCHighThresholdPercent": round(options.images.high),
        "imageGCLowThresholdPercent": round(options.images.low),
        "cgroupsPerQOS": True,
        "cgroupDriver": "cgroupfs",
        **POLICIES,
        "maxPods": facts.pods,
        "serializeImagePulls": False,
        "maxParallelImagePulls": PULLS,
        "evictionHard": {one.signal: bound(one) for one in hard},
        "evictionPressureTransitionPeriod": duration(options.held),
        "systemReserved": dict(facts.reserved),
        "containerLogMaxSize": canonical(LOG.options["max-size"].upper() + "i"),
        "containerLogMaxFiles": int(LOG.options["max-file"]),
        "crashLoopBackOff": {"maxContainerRestartPeriod": duration(LONGEST_SECONDS)},
        "failSwapOn": False,
        "makeIPTablesUtilChains": False,
        "enableDebuggingHandlers": True,
        "enableSystemLogHandler": False,
    }
    if soft:
        found["evictionSoft"] = {one.signal: bound(one) for one in soft}
        found["evictionSoftGracePeriod"] = {one.signal: duration(one.grace) for one in soft}
        found["evictionMaxPodGracePeriod"] = round(max(one.pod_grace for one in soft))
    return found


def bound(threshold: Threshold) -> str:
    """The share where there is one, which is the bound that the original knows too."""
    if threshold.percent:
        return f"{threshold.percent:g}%"
    whole, rest = divmod(threshold.amount, MIB)
    return str(threshold.amount) if rest else f"{whole}Mi"


def duration(seconds: float) -> str:
    """As Go writes it: "5m0s", "1h0m0s", "0s"."""
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    text = f"{hours}h" if hours else ""
    return f"{text}{minutes}m{rest}s" if hours or minutes else f"{rest}s"
