"""What the gateway reports to operators: its log.

``logs.make_log`` creates the logger. ``writer`` writes its lines to ``sinks`` without blocking
anybody. ``bounds`` makes each event one line of bounded length.
"""
