"""Sources of a Python module: a database, gRPC, or anything else that is not REST.

The module opens its client and gives rows and pages. All that protects the gateway and its other
sources is the same as for a service: timeout, circuit breaker, bulkhead, retries, and batches.

``contract`` is what a module writes and gets. ``service`` calls it through the resilience pipeline,
``records`` makes records of rows, and ``pages`` makes the pages of its lists.
"""
