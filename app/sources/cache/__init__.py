"""The entity cache: source results, kept by source, identity and key.

Contract types: ``store.EntityStore`` keeps entries, ``lifetime.Lifetime`` says for how long.
``entity_cache.CachedSource`` is a source that caches the results of another.
"""
