"""HTTP in and out.

Contract types: ``request.Incoming`` is a request as it came in, ``parameters.Parameters`` what it
asks for. ``endpoint`` is the GraphQL endpoint; ``responses`` writes what it answers; ``protocol``
and ``pipelining`` bound what a connection may do; ``graphiql`` is the page for browsers.
"""
