"""The mapping between a service's HTTP and the gateway's records. Pure.

Contract types: ``requests.RequestEncoder`` turns keys into requests, ``rows.Reader`` turns a
response into source results. ``paging`` finds the next page. ``row_mapper`` and ``contract`` turn a
row into a record.
"""
