"""The names of the cluster, answered by each node itself: services, their endpoints, pods, and, passed on and
remembered, everything else.

    facts.py      what is kept of Services and EndpointSlices
    zone.py       which records a name has (pure)
    remembered.py answers of other nameservers, for as long as they hold
    answering.py  a question in, an answer out: from memory at once, else from a nameserver
    server.py     the names follow the API; the sockets

Source: Kubernetes DNS-Based Service Discovery 1.1. The zone is authoritative: what it does not know does not exist and
is never asked of anybody else, so that search paths cost no more than a look into a table. It must never wait for the
API: what was known last is answered.
"""
