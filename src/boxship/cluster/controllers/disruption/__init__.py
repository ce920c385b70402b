"""PodDisruptionBudgets: how many of the pods that belong together may be away at once by somebody's decision.

    budgets.py     what a budget's status is, by its pods: pure
    expecting.py   how many pods there should be, by the scale of their controllers
    controller.py  follows pods and budgets, and writes statuses
    leftovers.py   takes the word back that a pod is about to be disrupted, where it was not

The API charges a budget before it evicts a pod; the charge counts until the pod is seen to go, or for two minutes. A
status is only ever written over the version that it was made of, so that no charge is lost.
"""
