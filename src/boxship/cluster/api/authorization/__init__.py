"""Who may do what: the group `system:masters` everything, nodes what their pods need, everybody else what roles allow.

    rules.py       one rule of a role: what it allows, what it covers, how it reads
    roles.py       all roles and bindings in memory, indexed by whom they are for
    mirror.py      how that memory follows the store
    nodes.py       which objects a node may see, from the pods that run on it (needs.py) and its Ingresses (offers.py)
    authorizer.py  the three in their order, and the text of a refusal
    escalation.py  nobody gives away what he has not
    reviews.py     the questions that clients ask about all this

Nothing here says yes because something is missing or late: without a word for it, the answer is no.
"""
