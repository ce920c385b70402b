"""What an Ingress means to us, for who carries it out and for who reports on it: whose it is, its annotations. Pure.

classes.py      which Ingresses are ours
annotations.py  the annotations of ingress-nginx that are acted upon; every other one is named
reading.py      how their values are written
"""
