"""Limits of documents and operations, checked before any source is called.

- ``counts``: the size of a document: depth, aliases, directives, fields.
- ``checks``: the limits of a document, and its validation.
- ``cost_expression``: a cost as a sum of products, whose factors may depend on variables.
- ``introspection``: the cost of introspection.
- ``price``: the cost of an operation, as a function of its variables.
- ``budget``: the cost limit of one HTTP request, and the cost of its operations so far.
"""
