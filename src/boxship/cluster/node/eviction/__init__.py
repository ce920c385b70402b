"""The node helps itself: conditions under pressure, pods that have to go, images that nobody needs.

pressure.py   what is short, since when, and what the node says of it: pure
ranking.py    which pod goes first, and with what words; which pods use more than they may: pure
collecting.py which images go: pure
keeping.py    looks every ten seconds, and acts
"""
