"""Joins the container to its networks and publishes its ports."""

import msgspec

from boxship.engine.groups import wish_of
from boxship.engine.hooks import Draft, planned
from boxship.engine.hooks.namespaces import running_peer
from boxship.engine.model import Container
from boxship.engine.placing import POD, is_shared, joins, ports_wanted
from boxship.engine.pods_records import Pod, PodRecords
from boxship.engine.records import Records
from boxship.network.networks import Networks
from boxship.runtime.plan import HOST
from boxship.spec.attachment import Attachment
from boxship.spec.container import EndpointRequest


class NetworkHook:
    def __init__(self, networks: Networks, records: Records, pods: PodRecords) -> None:
        self._networks = networks
        self._records = records
        self._pods = pods

    async def apply(self, draft: Draft) -> Draft:
        container = draft.container
        mode = container.spec.network_mode
        if mode.startswith(POD):
            return self._in_pod(draft, self._pods.ready(mode))
        if mode.startswith("container:"):
            peer = running_peer(self._records, mode)
            path = peer.namespace or f"/proc/{peer.state.process.pid}/ns/net"
            return self._placed(draft, Attachment(namespace=path), peer)
        spec = container.spec
        wish = wish_of(container)
        attachment = await self._networks.attach(
            container.id,
            container.name,
            requests=(EndpointRequest(network="host"),) if mode == "host" else joins(spec),
            ports=ports_wanted(container),
            hostname=draft.plan.hostname,
            domainname=spec.domainname,
            dns=spec.dns,
            dns_search=spec.dns_search,
            dns_options=spec.dns_options,
            extra_hosts=spec.extra_hosts,
            group=wish.group,
            virtual_name=wish.virtual_name,
        )
        return self._placed(draft, attachment, None)

    async def release(self, container: Container) -> None:
        if not is_shared(container.spec.network_mode):
            await self._networks.detach(container.id)

    def _in_pod(self, draft: Draft, pod: Pod) -> Draft:
        """In the pod's namespace, with its hosts files. Addresses and ports are the pod's, not the container's."""
        container = msgspec.structs.replace(
            draft.container,
            endpoints=(),
            ports=(),
            namespace=pod.network_namespace,
            hosts_path=pod.hosts_path,
            hostname_path=pod.hostname_path,
            resolv_conf_path=pod.resolv_conf_path,
        )
        namespaces = msgspec.structs.replace(draft.plan.namespaces, network=pod.network_namespace or HOST)
        return planned(msgspec.structs.replace(draft, container=container), namespaces=namespaces)

    def _placed(self, draft: Draft, attachment: Attachment, peer: Container | None) -> Draft:
        """With the namespace in the plan and the addresses in the record; a peer's hosts files are shared."""
        container = msgspec.structs.replace(
            draft.container,
            endpoints=attachment.endpoints,
            ports=attachment.ports,
            namespace=attachment.namespace,
        )
        if peer is not None:
            container = msgspec.structs.replace(
                container,
                hosts_path=peer.hosts_path,
                hostname_path=peer.hostname_path,
                resolv_conf_path=peer.resolv_conf_path,
            )
        placed = msgspec.structs.replace(draft, container=container, attachment=attachment)
        namespaces = msgspec.structs.replace(draft.plan.namespaces, network=attachment.namespace or HOST)
        return planned(placed, namespaces=namespaces)
