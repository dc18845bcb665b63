"""The private contracts: what a source is, how it is asked, and what it says of a user.

Contract types: ``base.Source``, ``base.Record`` and ``base.SourceSpec``; ``records`` has the
records of the default sources, ``results`` what is known of one user. A call goes this way:
``batch_scheduler`` (coalescing) → ``cache`` (entity cache) → ``rest`` → ``client`` → ``resilience``
→ ``transport``; ``mapping`` writes the requests and reads the answers.
"""
