"""The order in which the stock program prints the fields of each value, and the few it prints in a way of its own.

Its fingerprint of a service is taken from this very text, so the order is what makes both programs agree on whether a
container is to be made anew.
"""

from __future__ import annotations

from boxship.compose import model, parts

UPDATE = "parallelism delay failure_action monitor max_failure_ratio order"
RESOURCE = "cpus memory pids devices generic_resources"
GRANT = "source target uid gid mode"
MATERIAL = "name file environment content external labels driver driver_opts template_driver"

_ORDER: dict[type, str] = {
    model.Service: (
        "profiles annotations attach build develop blkio_config cap_add cap_drop cgroup_parent cgroup"
        " cpu_count cpu_percent cpu_period cpu_quota cpu_rt_period cpu_rt_runtime cpus cpuset cpu_shares"
        " command configs container_name credential_spec depends_on deploy device_cgroup_rules devices dns"
        " dns_opt dns_search domainname entrypoint environment env_file expose external_links extra_hosts"
        " group_add gpus hostname healthcheck image init ipc isolation labels label_file links logging"
        " mem_limit mem_reservation memswap_limit mem_swappiness mac_address network_mode networks"
        " oom_kill_disable oom_score_adj pid pids_limit platform ports privileged pull_policy read_only"
        " restart runtime scale secrets security_opt shm_size stdin_open stop_grace_period stop_signal"
        " storage_opt sysctls tmpfs tty ulimits use_api_socket user userns_mode uts volumes volumes_from"
        " working_dir post_start pre_stop"
    ),
    model.Network: "name driver driver_opts ipam external internal attachable labels enable_ipv4 enable_ipv6",
    model.Ipam: "driver config options",
    model.AddressRange: "subnet gateway ip_range aux_addresses",
    model.Volume: "name driver driver_opts external labels",
    model.Material: MATERIAL,
    parts.Build: (
        "context dockerfile dockerfile_inline entitlements args provenance sbom ssh labels cache_from cache_to no_cache"
        " no_cache_filter additional_contexts pull extra_hosts isolation network target secrets shm_size tags ulimits"
        " platforms privileged"
    ),
    parts.BlockIo: "weight weight_device device_read_bps device_read_iops device_write_bps device_write_iops",
    parts.Weight: "path weight",
    parts.Throttle: "path rate",
    parts.Grant: GRANT,
    parts.Hook: "command user privileged working_dir environment",
    parts.Dependency: "condition restart required",
    parts.DeviceRequest: "capabilities driver count device_ids options",
    parts.GenericResource: "discrete_resource_spec",
    parts.Resource: RESOURCE,
    parts.Resources: "limits reservations",
    parts.RestartPolicy: "condition delay max_attempts window",
    parts.UpdateConfig: UPDATE,
    parts.Placement: "constraints preferences max_replicas_per_node",
    parts.Deploy: (
        "mode replicas labels update_config rollback_config resources restart_policy placement endpoint_mode"
    ),
    parts.Healthcheck: "test timeout interval retries start_period start_interval disable",
    parts.Logging: "driver options",
    parts.ServiceNetwork: (
        "priority gw_priority aliases ipv4_address ipv6_address link_local_ips mac_address driver_opts interface_name"
    ),
    parts.Port: "name mode host_ip target published protocol app_protocol",
    parts.Mount: "type source target read_only consistency bind volume tmpfs image",
    parts.BindOptions: "selinux propagation create_host_path recursive",
    parts.VolumeOptions: "labels nocopy subpath",
    parts.TmpfsOptions: "size mode",
    parts.ImageOptions: "subpath",
    parts.Device: "source target permissions",
    parts.EnvFile: "path required format",
    parts.Trigger: "path action target exec include ignore initial_sync",
    parts.Develop: "watch",
}
ORDER: dict[type, tuple[str, ...]] = {kind: tuple(names.split()) for kind, names in _ORDER.items()}

# Sizes are printed as text.
SIZES: dict[type, frozenset[str]] = {
    model.Service: frozenset(
        ("mem_limit", "mem_reservation", "memswap_limit", "mem_swappiness", "shm_size"),
    ),
    parts.Build: frozenset(("shm_size",)),
    parts.Resource: frozenset(("memory",)),
    parts.Throttle: frozenset(("rate",)),
    parts.TmpfsOptions: frozenset(("size",)),
}

# Printed even when it holds nothing: in both forms, and in JSON alone (as what).
ALWAYS: dict[type, frozenset[str]] = {
    parts.Dependency: frozenset(("required",)),
    parts.Weight: frozenset(("weight",)),
    parts.Throttle: frozenset(("rate",)),
    parts.Trigger: frozenset(("path", "action")),
}
ALWAYS_IN_JSON: dict[type, dict[str, object]] = {
    model.Service: {"command": None, "entrypoint": None},
    model.Network: {"ipam": {}},
    parts.Deploy: {"resources": {}, "placement": {}},
    parts.Hook: {"command": None},
    parts.Trigger: {"exec": {"command": None}},
}
# Names that JSON writes with a capital letter.
CAPITALS: dict[type, dict[str, str]] = {
    parts.Weight: {"path": "Path", "weight": "Weight"},
    parts.Throttle: {"path": "Path", "rate": "Rate"},
}
