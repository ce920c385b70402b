"""What a node does for the cluster's packets: it follows objects, decides purely, and has the network room act.

facts.py      what is kept of Services, EndpointSlices, Nodes, Pods: small values
choosing.py   which endpoints answer a service on this node, pure
frontends.py  a service with its endpoints → frontends, pure
services.py   follows services and keeps the kernel's table after them
"""
