"""Requests that are not about an object but about what runs behind it: logs, exec, attach, port-forward, and proxies to
pods, services and nodes.

    options.py   what a client asks for, checked
    identity.py  how this server and the nodes' agents know each other
    places.py    where it goes: which server, which path there

Everything here decides; the door carries the bytes (doors/kube/connecting.py). What a pod's container is, only its node
knows: this looks at objects alone.
"""
