"""Admission by expressions: ValidatingAdmissionPolicy, MutatingAdmissionPolicy, and match conditions of webhooks.

    variables.py    what an expression sees: object, request, params, variables, the authorizer
    authorizer.py   the authorizer's functions
    conditions.py   matchConditions
    compiled.py     a policy with all its expressions compiled, kept as long as it does not change
    concerned.py    which policies, bindings and parameters a write concerns
    validating.py, mutating.py   the two plugins
    checking.py     expressions are compiled when they are written, and refused where they are wrong

Source: kubernetes.io, "Validating Admission Policy", "Mutating Admission Policy".
"""
