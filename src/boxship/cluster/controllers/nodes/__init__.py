"""What becomes of nodes: they get a block of the pods' addresses, are watched by their leases, tainted while they are
no place for pods, and emptied when they stay so.

    facts.py      what is kept of a node
    blocks.py     which block a new node gets: pure
    addressing.py its controller
    health.py     what the news (or the silence) of a node means for its conditions and taints: pure
    zones.py      how many nodes of a zone are well, and how fast others may be emptied then: pure
    lifecycle.py  the controller that reads news and writes conditions and taints
    residents.py  which pods are on which node
    evicting.py   the controller that deletes pods which do not tolerate their node's taints
    starting.py   all of them

What a node says counts: nothing about it is kept that could not be read again from it. A controller never empties
nodes because it was asleep itself, nor where everything is silent: then it is deaf.
"""
