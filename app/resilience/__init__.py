"""The resilience pipeline: the fault of one source must not harm anything else.

Contract types: ``clock.Clock``, ``clock.Deadline`` and ``pipeline.ResiliencePipeline``.
``pipeline`` runs the parts in their order. Each part has one file: rate pacing, circuit breaker,
bulkhead, hedging, retries and their budget. The clock and the random numbers are arguments, so
that tests control both.
"""
