"""The short-lived program of a build: it copies files into a root, and counts what a copy would bring.

It runs as `python3 -I -S` with the standard library alone. The root that is written is its root folder; the tree that
is read is an open descriptor, below which every name is opened without following links (openat2 inside it where links
count). It must never import anything that needs site-packages.
"""
