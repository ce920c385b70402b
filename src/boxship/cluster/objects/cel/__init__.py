"""CEL, as Kubernetes speaks it: rules of custom resources, match conditions, admission policies.

The syntax is cel-python's: its grammar makes the tree (`syntax`). What stands on top is Kubernetes's and ours: types
from schemas and their errors at compile time (`checking`), expressions as nested functions with a budget, so that no
rule can hold up the server (`building`), and the libraries (`functions_*`). cel-python and what it needs is imported
with the first expression, so that a cluster without CEL pays nothing for it.
"""
