"""What ``serve`` does not start with: the states that README's checklist for production forbids.

Not what an operator may well want, such as introspection within a company, but what cannot be
meant: where anybody gets what is for nobody, or nothing bounds what anybody may ask for. There is
no way to say that it shall start nevertheless: each rule names the setting that makes it right.
"""

from collections.abc import Callable
from dataclasses import dataclass

from app.settings import Settings
from app.shapes.hosts import is_loopback

UNSAFE = "It is not safe to serve with these settings:"


@dataclass(frozen=True, slots=True)
class Intent:
    """What is to be served, and where.

    Attributes:
        settings: All settings.
        public: Whether others than this machine can reach the address that is listened on.
    """

    settings: Settings
    public: bool


Rule = Callable[[Intent], str | None]
"""Says what is wrong and what to set, or nothing."""


def forbidden(settings: Settings, host: str) -> tuple[str, ...]:
    """Find all that forbids to serve.

    Args:
        settings: All settings.
        host: The address to listen on.

    Returns:
        One sentence for each: what is wrong, and what to set.
    """
    intent = Intent(settings, public=not is_loopback(host))
    return tuple(told for rule in RULES if (told := rule(intent)) is not None)


def _names_are_said(intent: Intent) -> str | None:
    """Whoever lets others in says by which name, even if it is localhost (a published port)."""
    if not intent.public or "hosts" in intent.settings.model_fields_set:
        return None
    return (
        "other machines can reach it, and nothing says by which names they call it: set"
        """ GATEWAY_HOSTS, such as '["api.example.com"]'"""
    )


def _cookies_are_protected(intent: Intent) -> str | None:
    """Where pages send cookies, no page may send them unasked."""
    if intent.settings.csrf_prevention or not intent.settings.cors.credentials:
        return None
    return (
        "requests may carry cookies, and any site's page can have a GET executed with them: set"
        " GATEWAY_CSRF_PREVENTION=true, or GATEWAY_CORS__CREDENTIALS=false"
    )


def _nothing_is_explained(intent: Intent) -> str | None:
    """How sources are called, down to their addresses, is not for everybody."""
    if not intent.public or not intent.settings.explain:
        return None
    return (
        "it tells other machines where the sources are and how they are asked: set"
        " GATEWAY_EXPLAIN=false, and use `user-gateway explain`"
    )


def _documents_are_limited(intent: Intent) -> str | None:
    """With neither limit one document can keep the gateway from answering all others."""
    limits, trusted = intent.settings.limits, intent.settings.trusted
    if not intent.public or limits.tokens or limits.document_bytes or trusted.mode == "only":
        return None
    return (
        "documents may be as long as they like, and take as long to validate: set"
        " GATEWAY_LIMITS__TOKENS or GATEWAY_LIMITS__DOCUMENT_BYTES, or GATEWAY_TRUSTED__MODE=only"
    )


def _work_is_limited(intent: Intent) -> str | None:
    """With neither limit one client can have the sources asked for everything, for ever."""
    limits, trusted = intent.settings.limits, intent.settings.trusted
    if not intent.public or limits.cost or limits.rate.enabled or trusted.mode == "only":
        return None
    return (
        "nothing limits what a caller may ask of the sources: set GATEWAY_LIMITS__COST or"
        " GATEWAY_LIMITS__RATE__ENABLED=true, or GATEWAY_TRUSTED__MODE=only"
    )


RULES: tuple[Rule, ...] = (
    _names_are_said,
    _cookies_are_protected,
    _nothing_is_explained,
    _documents_are_limited,
    _work_is_limited,
)
"""Every rule, each of its own."""
