"""How the node is, as the API is told: its Node object, its conditions, its lease.

facts.py        what the composition knows of this machine and its agent
describing.py   facts and usage become a Node's fields: pure
reporting.py    registers the node, renews the lease, writes what changed
"""
