"""The entity cache: source results, kept by source, identity and key.

Contract types: ``store.EntityStore`` keeps entries, ``lifetime.Lifetime`` says for how long.
``entity_cache`` is the source in front of a source.
"""
