"""What Services need besides endpoints.

    balancing.py  which addresses a load balancer has (pure)
    balancers.py  the controller that gives them out
    ingresses.py  the control plane's part of Ingress: addresses, complaints, the certificate of our authority
    ranges.py     the ServiceCIDR controller: ready, and not gone before its addresses are
    starting.py   all of them with their caches

Cluster addresses and node ports are given out by the API in the very write that stores a Service; nothing here does.
"""
