"""What keeps the fault of one source from harming anything else.

Contract types: ``clock.Clock``, ``clock.Deadline`` and ``pipeline.ResiliencePipeline``.
``pipeline`` puts the parts in their order; each part is one idea with one file: rate pacing,
circuit breaker, bulkhead, hedging, retries and their budget. Time and chance are handed in, so that
tests decide both.
"""
