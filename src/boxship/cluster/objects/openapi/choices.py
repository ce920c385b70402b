"""What texts of a closed set may be, by the name of their Go type, for the documents of version 3: `kubectl explain`
lists them. The schemas' data do not have them; which of them is right where is decided by `kinds`, never by this table.

Source: the API reference of 1.36; only types that the original's documents list.
"""

from collections.abc import Mapping
from typing import Any

CHOICES: Mapping[str, tuple[str, ...]] = {
    "AddressType": ("FQDN", "IPv4", "IPv6"),
    "AppArmorProfileType": ("Localhost", "RuntimeDefault", "Unconfined"),
    "AzureDataDiskCachingMode": ("None", "ReadOnly", "ReadWrite"),
    "AzureDataDiskKind": ("Dedicated", "Managed", "Shared"),
    "CompletionMode": ("Indexed", "NonIndexed"),
    "ConcurrencyPolicy": ("Allow", "Forbid", "Replace"),
    "DNSPolicy": ("ClusterFirst", "ClusterFirstWithHostNet", "Default", "None"),
    "DaemonSetUpdateStrategyType": ("OnDelete", "RollingUpdate"),
    "DeploymentStrategyType": ("Recreate", "RollingUpdate"),
    "DeviceTaintEffect": ("NoExecute", "NoSchedule", "None"),
    "DeviceTolerationOperator": ("Equal", "Exists"),
    "FSGroupPolicy": ("File", "None", "ReadWriteOnceWithFSType"),
    "FailurePolicyType": ("Fail", "Ignore"),
    "HostPathType": (
        "",
        "BlockDevice",
        "CharDevice",
        "Directory",
        "DirectoryOrCreate",
        "File",
        "FileOrCreate",
        "Socket",
    ),
    "IPFamily": ("", "IPv4", "IPv6"),
    "IPFamilyPolicy": ("PreferDualStack", "RequireDualStack", "SingleStack"),
    "KeyUsage": (
        "any",
        "cert sign",
        "client auth",
        "code signing",
        "content commitment",
        "crl sign",
        "data encipherment",
        "decipher only",
        "digital signature",
        "email protection",
        "encipher only",
        "ipsec end system",
        "ipsec tunnel",
        "ipsec user",
        "key agreement",
        "key encipherment",
        "microsoft sgc",
        "netscape sgc",
        "ocsp signing",
        "s/mime",
        "server auth",
        "signing",
        "timestamping",
    ),
    "MatchPolicyType": ("Equivalent", "Exact"),
    "MountPropagationMode": ("Bidirectional", "HostToContainer", "None"),
    "NamespacePhase": ("Active", "Terminating"),
    "NodeInclusionPolicy": ("Honor", "Ignore"),
    "NodePhase": ("Pending", "Running", "Terminated"),
    "NodeSelectorOperator": ("DoesNotExist", "Exists", "Gt", "In", "Lt", "NotIn"),
    "OperationType": ("*", "CONNECT", "CREATE", "DELETE", "UPDATE"),
    "ParameterNotFoundActionType": ("Allow", "Deny"),
    "PatchType": ("ApplyConfiguration", "JSONPatch"),
    "PathType": ("Exact", "ImplementationSpecific", "Prefix"),
    "PersistentVolumeAccessMode": ("ReadOnlyMany", "ReadWriteMany", "ReadWriteOnce", "ReadWriteOncePod"),
    "PersistentVolumeClaimModifyVolumeStatus": ("InProgress", "Infeasible", "Pending"),
    "PersistentVolumeClaimPhase": ("Bound", "Lost", "Pending"),
    "PersistentVolumeMode": ("Block", "Filesystem"),
    "PersistentVolumePhase": ("Available", "Bound", "Failed", "Pending", "Released"),
    "PersistentVolumeReclaimPolicy": ("Delete", "Recycle", "Retain"),
    "PodFSGroupChangePolicy": ("Always", "OnRootMismatch"),
    "PodFailurePolicyAction": ("Count", "FailIndex", "FailJob", "Ignore"),
    "PodFailurePolicyOnExitCodesOperator": ("In", "NotIn"),
    "PodManagementPolicyType": ("OrderedReady", "Parallel"),
    "PodPhase": ("Failed", "Pending", "Running", "Succeeded", "Unknown"),
    "PodQOSClass": ("BestEffort", "Burstable", "Guaranteed"),
    "PodReplacementPolicy": ("Failed", "TerminatingOrFailed"),
    "PolicyType": ("Egress", "Ingress"),
    "PreemptionPolicy": ("Never", "PreemptLowerPriority"),
    "ProcMountType": ("Default", "Unmasked"),
    "Protocol": ("SCTP", "TCP", "UDP"),
    "PullPolicy": ("Always", "IfNotPresent", "Never"),
    "ReinvocationPolicyType": ("IfNeeded", "Never"),
    "ResourceQuotaScope": (
        "BestEffort",
        "CrossNamespacePodAffinity",
        "NotBestEffort",
        "NotTerminating",
        "PriorityClass",
        "Terminating",
        "VolumeAttributesClass",
    ),
    "RestartPolicy": ("Always", "Never", "OnFailure"),
    "ScopeSelectorOperator": ("DoesNotExist", "Exists", "In", "NotIn"),
    "ScopeType": ("*", "Cluster", "Namespaced"),
    "SeccompProfileType": ("Localhost", "RuntimeDefault", "Unconfined"),
    "ServiceAffinity": ("ClientIP", "None"),
    "ServiceExternalTrafficPolicy": ("Cluster", "Local"),
    "ServiceInternalTrafficPolicy": ("Cluster", "Local"),
    "ServiceType": ("ClusterIP", "ExternalName", "LoadBalancer", "NodePort"),
    "SideEffectClass": ("None", "NoneOnDryRun", "Some", "Unknown"),
    "StatefulSetUpdateStrategyType": ("OnDelete", "RollingUpdate"),
    "SupplementalGroupsPolicy": ("Merge", "Strict"),
    "TaintEffect": ("NoExecute", "NoSchedule", "PreferNoSchedule"),
    "TerminationMessagePolicy": ("FallbackToLogsOnError", "File"),
    "TolerationOperator": ("Equal", "Exists", "Gt", "Lt"),
    "URIScheme": ("HTTP", "HTTPS"),
    "UnhealthyPodEvictionPolicyType": ("AlwaysAllow", "IfHealthyBudget"),
    "UnsatisfiableConstraintAction": ("DoNotSchedule", "ScheduleAnyway"),
    "VolumeBindingMode": ("Immediate", "WaitForFirstConsumer"),
}


def choices_of(go_type: str) -> list[str]:
    """Of a type such as "v1.Protocol" or "[]v1.PolicyType"; empty for an open one."""
    return list(CHOICES.get(go_type.rpartition(".")[2], ()))


def add_choices(definitions: Mapping[str, dict[str, Any]], presence: Mapping[str, list[Any]]) -> None:
    """Write the choices into definitions. `presence` names the Go types of fields."""
    for name, known in presence.items():
        properties = definitions.get(name, {}).get("properties", {})
        for field, go_type in (known[1] if len(known) > 1 else {}).items():
            found = choices_of(go_type)
            place = properties.get(field)
            if found and place is not None:
                (place["items"] if go_type.startswith("[]") else place)["enum"] = found
