"""`boxship simulate`: a cluster without containers, to see how the real control plane does with many nodes and pods.

program.py  the command line and what is printed
plane.py    a boxship-control of its own, started and stopped with the roles that a phase needs
load.py     nodes and pods as objects, and how fast they are written
phases.py   what is measured, one phase after the other
agents.py   the real node agents over a machine that does not exist, many in one process
"""
