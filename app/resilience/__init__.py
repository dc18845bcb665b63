"""What keeps the fault of one source from harming anything else.

``guard.py`` puts the parts in their order; each part is one idea with one file: the deadline of a
request, retries and their budget, the circuit breaker, the bulkhead, and hedging. Time and chance
are handed in, so that tests decide both.
"""
