"""Between a service's HTTP and the gateway's records. Pure.

Contract types: ``requests.RequestEncoder`` makes requests of keys, ``rows.Reader`` makes source
results of an answer. ``paging`` finds the next page, ``row_mapper`` and ``contract`` make a record
of a row.
"""
