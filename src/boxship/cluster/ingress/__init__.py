"""Ingress on a node: haproxy, from the system's packages, configured by us.

    facts.py          what is kept of Services, slices and secrets
    model.py          Ingresses → sites, routes and backends (pure)
    routing.py        routes → the tables by which haproxy finds the backend (pure)
    rules.py          a backend's rules out of the annotations (pure)
    configuration.py  everything as haproxy's files (pure)
    body_sizes.py     a program for haproxy: bodies whose length is not said beforehand
    older_hashes.py   a program for haproxy: passwords that the C library cannot compare
    slots.py          which server of a backend stands for which endpoint (pure)
    serving.py        what is served of all Ingresses, and what haproxy is to know of it (pure)
    process.py        the program: started, found again, told to read its files anew
    server.py         follows the API, and brings haproxy to where it should be

A change of endpoints is told to the running program; only rules, hosts and certificates make it read its files again,
with its sockets handed over, so that no request is lost. It goes on when the daemon ends, and is found again by it.
Nothing is ever made haproxy's configuration that was not read by `objects.ingress` first.
"""
