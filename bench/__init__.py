"""Measures Boxship's engine beside Docker and Podman, in one run on one machine. `make bench` runs it.

    __main__.py    the order of things: start the engines, take each measure on each of them in turn, print, clean up
    cell.py        a closed cell per engine: its own mount, process and network namespaces, a client outside its network
    runner.py      the program inside the cell: starts the engine, takes measures when told to
    engines.py     how each engine is started, in folders of its own
    client.py      the same small HTTP client for all of them
    measures/      one file per measure
    figures.py     percentiles, ratios, tables

Since each engine lives in a cell, none sees another's rules, interfaces or mounts, all do the same work, and nothing is
left when the cell is closed.
"""
