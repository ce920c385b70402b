"""The node agent: makes the pods that the API binds to this node true on this machine, and tells how they are.

    runtime.py   the seam to the machine: what the agent asks of an engine, and the values that go over it
    planning.py  the seam inside: a pod's JSON becomes values of runtime.py, its volumes become folders
    agent.py     one worker for each pod, the node's own status, what is left over
    life/        one pod's life: a pure function, and the worker that acts by it
    probes/      what asks containers how they are
    images.py    images are here when containers start
    static*.py   pods that a folder says
    status/      the node towards the API
    eviction/    the node under pressure
    plan/, volumes/, engine_*.py, server/, identity/   what fulfils the seams, the agent's own server, who it is
    simulated/   a machine that is none, and the agent's simulation from a seed

It sees the API through `access` alone and the machine through `Runtime` alone, so the same agent runs over the real
engine, over a simulated one, and in a seeded simulation. It never keeps truth in memory: what the runtime and the API
say is compared anew each time.
"""
