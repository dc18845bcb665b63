"""Traces as sources see them (W3C Trace Context)."""


def is_child(sent: str | None, of: str) -> bool:
    """Tell whether a ``traceparent`` continues a trace with a valid parent id of its own."""
    if sent is None or len(sent) != len(of):
        return False
    parent = sent[36:52]
    same = sent[:36] + sent[52:] == of[:36] + of[52:]
    return same and parent not in {of[36:52], "0" * 16} and set(parent) <= set("0123456789abcdef")
