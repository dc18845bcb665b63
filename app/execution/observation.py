"""What metrics read of the cache of documents whenever a snapshot is taken."""

from app.execution.documents import Documents
from app.observability import metric_list
from app.observability.metrics import Observations


def observe_documents(metrics: Observations, documents: Documents) -> None:
    """Let metrics read how often prepared documents were found, and how large they are.

    Args:
        metrics: Where they are observed.
        documents: The documents.
    """
    metrics.observe(
        metric_list.DOCUMENT_CACHE_LOOKUPS,
        lambda: [(("hit",), documents.hits), (("miss",), documents.misses)],
    )
    metrics.observe(metric_list.DOCUMENT_CACHE_SIZE, lambda: [((), documents.bytes)])
