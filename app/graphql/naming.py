"""How requests may name their documents, by the settings."""

from app.errors import ConfigurationError
from app.graphql.persisted import AutomaticTexts
from app.graphql.texts import PlainTexts, Texts
from app.graphql.trusted import TrustedTexts, load_trusted
from app.settings import Settings

NOTHING_TRUSTED = (
    "GATEWAY_TRUSTED__MODE is only, and GATEWAY_TRUSTED__PATH is missing: expected a manifest, a"
    " document or a folder of them"
)


def texts_of(settings: Settings) -> Texts:
    """Choose where the texts of documents come from.

    Args:
        settings: All settings.

    Returns:
        What finds them.

    Raises:
        ConfigurationError: Trusted documents cannot be read, or there are none and nothing else is
            to be executed.
    """
    size = settings.persisted.max_documents if settings.persisted.enabled else 0
    automatic = AutomaticTexts(size, max_bytes=settings.limits.memory.persisted)
    if settings.trusted.path is None:
        if settings.trusted.mode == "only":
            raise ConfigurationError((NOTHING_TRUSTED,))
        return automatic if size else PlainTexts()
    # Beside trusted documents even a store that keeps nothing: it tells clients to send the text.
    otherwise = automatic if settings.trusted.mode == "also" else None
    return TrustedTexts(load_trusted(settings.trusted.path), otherwise)
