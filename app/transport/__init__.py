"""The transport: it sends bytes to services.

Contract type: ``transport.TransportFactory`` makes the transport of a service. ``connections``
rejects answers to no request; ``body`` reads the body of an untrusted answer.
"""
