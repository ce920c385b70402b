"""The builder: a Dockerfile becomes a graph of steps, the steps become layers, the layers an image.

`dockerfile` reads the text, `planner` makes the graph, `solve` carries it out: independent steps side by side, each
step once, nothing that the cache has. `execution` alone touches files and starts processes. The builder knows no HTTP,
no progress bar and no container record; it must never let a step's key depend on a time.
"""
