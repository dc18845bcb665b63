"""The private contracts: what a source is, how it is called, and what it returns for a user.

Contract types: ``base.Source``, ``base.Record`` and ``base.SourceSpec``; ``records`` has the
records of the default sources. A call passes ``cache`` (entity cache), ``batch_scheduler``
(coalescing), ``rest``, ``client``, ``resilience`` and ``transport``, in this order. ``mapping``
writes the requests and reads the responses.
"""
