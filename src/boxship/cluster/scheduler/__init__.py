"""Which node each pod goes to: a snapshot of the cluster in, decisions out; a thin runtime reads and writes.

    shapes.py, nodes.py      what of a pod and of a node matters here
    world.py                 the snapshot, kept up to date by small changes; vectors over all nodes (vectors.py)
    columns.py, tallies.py, terms.py, storage.py, trials.py   its parts
    plugins/                 one file for each rule, all in one list (plugins/__init__.py)
    stages.py, deciding.py   a pod's way through the stages: filter, score, choose
    sheets.py                pods that are alike, decided together
    preemption.py            who would have to go
    explaining.py, remedies.py   each node's verdict, and the smallest change that would help
    profiles.py              KubeSchedulerConfiguration
    waiting.py, hints.py     pods that wait, and what is worth another look
    feeding.py, running.py, claiming.py, reporting.py   caches to snapshot, decisions to bindings, volumes, events

Everything but the last line's is pure: it never asks the API, a clock or chance, so the same snapshot always gives the
same decision. It must never give a node more than it has, and never keep truth in memory: after kill -9 all is in the
API.
"""
