"""Objects go with their owners (kubernetes.io, "Garbage Collection").

    graph.py      who owns whom: the objects that have owners, by the owner's uid; pure
    decisions.py  what is to be done with an object that has owners; pure
    collector.py  follows every kind that is served, asks the two, and acts

Only objects with owners are kept in memory, and of those only their place. Whether an owner exists is asked of the API.
"""
