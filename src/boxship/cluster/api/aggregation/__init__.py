"""Groups that other servers serve behind this one (kubernetes.io, "Kubernetes API Aggregation Layer").

    services.py      the APIServices as they are now: which group and version lies where
    forwarding.py    one request to such a server, as the front proxy that speaks for its user
    discovery.py     what those servers serve, joined to what this one does
    availability.py  whether they answer, written into their status; APIServices of our own groups

A group of ours never gets another server. Who may do what is asked here, before anything is forwarded; the other server
asks again by itself.
"""
