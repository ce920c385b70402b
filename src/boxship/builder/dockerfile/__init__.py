"""A Dockerfile as text becomes a Dockerfile as values. Pure: nothing here reads a file, an environment or a network.

`syntax` holds the values, `parse` makes them (`directives`, `lines` and `heredocs`, `flags`, then one function for each
instruction in `instructions`), `words` expands variables, `checks` finds what is allowed but unwise. Rules of
.dockerignore are in `spec.ignore`, because the command line and the child program need them too.

The contract is BuildKit's Dockerfile reference (syntax docker/dockerfile:1, all stable features).
"""
