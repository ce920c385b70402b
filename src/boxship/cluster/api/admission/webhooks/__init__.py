"""Admission webhooks: services of the user that change or refuse writes (kubernetes.io, "Dynamic Admission Control").

`matching` says which webhooks a write concerns, `review` what is asked and answered, `calling` asks; `plugins` has the
two plugins.
"""
