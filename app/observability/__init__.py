"""What operators see of the gateway. So far: the log.

``logs.make_log`` makes the logger; ``writer`` writes its lines to ``sinks`` without anybody
waiting; ``bounds`` keeps a line one line of bounded length.
"""
