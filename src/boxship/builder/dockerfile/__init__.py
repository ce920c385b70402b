"""A Dockerfile as text becomes a Dockerfile as values. Pure: nothing here reads a file, an environment or a network.

`syntax` holds the values, `parse` makes them, `words` expands variables, `ignore` reads .dockerignore, `checks` finds
what is allowed but unwise. The contract is BuildKit's Dockerfile reference (syntax docker/dockerfile:1, all stable
features).
"""
