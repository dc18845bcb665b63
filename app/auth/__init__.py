"""Who asks, and what they may see.

Contract types: ``policies.Caller`` is who asks, ``policies.Policy`` says who may see a field, and
``policies.Rights`` is what one caller may see. ``authentication`` finds the caller of a request;
``tokens``, ``keys`` and ``issuer`` check the tokens of callers.
"""
