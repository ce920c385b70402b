"""HorizontalPodAutoscalers: as many replicas as the metrics ask for.

    facts.py       what of a pod counts, and samples of a metric
    proposing.py   from samples to a number of replicas: pure
    behaviour.py   how fast that may become true: pure
    conditions.py  the words of its conditions: pure
    measuring.py   asks for samples: metrics.k8s.io, custom.metrics.k8s.io, external.metrics.k8s.io
    metrics.py     one metric of a scaler: measure, propose, and what its status says
    controller.py  each scaler every fifteen seconds: read the scale, decide, write

What is remembered (recommendations, what was scaled lately) only makes it slower to act: it is gone after a restart.
All amounts are whole thousandths, and all rounding is the original's, so that the same metrics give the same replicas.
"""
