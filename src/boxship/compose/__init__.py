"""Compose: a project's file → its normalised model → a plan of actions, which a runner carries out on a Host.

Loading and planning are pure: files come through the Protocol `Files`, the world through values in `planning.observed`,
and what is to be done leaves as values in `planning.actions`. The room never opens a socket, starts a program or reads
the environment; who hosts it (the command line) does.

Contract: the Compose Specification (its file format, merge rules and interpolation).
"""
