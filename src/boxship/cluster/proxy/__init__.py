"""What a node does for the cluster's packets: it follows objects, decides purely, and has the network room act.

    facts.py       what is kept of Services and EndpointSlices: small values
    choosing.py    which endpoints answer a service on this node, pure
    frontends.py   a service with its endpoints → frontends, pure
    services.py    follows services and keeps the kernel's table after them
    ranges.py      follows the ranges of service addresses
    announcing.py  which node answers for a load balancer's address
    health.py      answers load balancers that ask for local endpoints
    routes.py      follows nodes and keeps the ways to their pods
    walls.py       network policies → whom they select and let pass, pure
    groups.py      which pods are in which group of addresses
    judging.py     the walls and groups of one node's pods, as they change
    machine.py     what runs here, which the API may not know
    policies.py    follows network policies and keeps the kernel's table after them

Everything is told the kernel at the beginning of a life, so that what changed meanwhile is put right; until then what
the last life left goes on working.
"""
