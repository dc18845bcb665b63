"""Authentication of callers, and the policies of fields.

Contract types: ``policies.Caller`` is who asks, ``policies.Policy`` says who may see a field, and
``policies.Rights`` is what one caller may see. ``authentication`` returns the caller of a request.
``tokens``, ``keys`` and ``issuer`` verify the tokens of callers.
"""
