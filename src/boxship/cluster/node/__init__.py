"""The node agent: makes the pods that the API binds to this node true on this machine, and tells how they are.

    runtime.py   the seam to the machine: what the agent asks of an engine, and the values that go over it
    planning.py  the seam inside: a pod's JSON becomes values of runtime.py, its volumes become folders

It sees the API through `access` alone and the machine through `Runtime` alone, so the same agent runs over the real
engine, over a simulated one, and in a seeded simulation. It never keeps truth in memory: what the runtime and the API
say is compared anew each time.
"""
