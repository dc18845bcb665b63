"""What sends bytes to services.

Contract type: ``transport.TransportFactory`` gives the transport of a service. ``connections``
takes no answer that nobody asked for; ``body`` reads an answer without trust in it.
"""
