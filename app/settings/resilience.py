"""Settings of the calls to a source: resilience, entity cache, coalescing, and deadlines."""

from pydantic import Field

from app.settings.base import PlainHeaderName, Seconds, SettingsModel, Share


class RetrySettings(SettingsModel):
    """When a failed call to a source is retried."""

    max_retries: int = Field(
        default=2, ge=0, le=10, description="Maximum number of retries of one call; 0 for none."
    )
    base_delay: Seconds = Field(
        default=0.05,
        description="Maximum number of seconds of the random wait before the first retry. It"
        " doubles with each further retry.",
    )
    max_delay: Seconds = Field(
        default=1.0, description="Maximum number of seconds of the random wait before any retry."
    )
    budget_share: Share = Field(
        default=0.1, description="Maximum number of retries, as a share of the calls."
    )
    budget_minimum: int = Field(
        default=3, ge=0, le=1_000, description="Retries that are allowed beyond that share."
    )
    budget_window: Seconds = Field(
        default=10.0, description="Seconds over which calls and retries are counted."
    )


class PacingSettings(SettingsModel):
    """How the rate of calls follows the signals of a service."""

    enabled: bool = Field(
        default=True,
        description="Whether the gateway calls the service more slowly, or later, when the service"
        " signals so (429, `Retry-After`, `RateLimit`, `X-RateLimit-…`, `Backoff`).",
    )
    max_pause: Seconds = Field(
        default=60.0,
        description="Maximum number of seconds of one pause between calls, even if the service"
        " signals more.",
    )
    max_backoff: Seconds = Field(
        default=1.0,
        description="Maximum number of seconds of a pause after a successful answer with `Backoff`"
        " or `Retry-After`. Such an answer slows the calls down, but does not stop them.",
    )


class BreakerSettings(SettingsModel):
    """When the circuit breaker stops the calls to a source for a while."""

    window: Seconds = Field(default=10.0, description="Seconds over which calls are judged.")
    min_calls: int = Field(
        default=20,
        ge=1,
        le=100_000,
        description="Minimum number of calls in the window before the circuit can open.",
    )
    failure_rate: float = Field(
        default=0.5, gt=0, le=1, description="Share of failures at which the circuit opens."
    )
    slow_call: Seconds | None = Field(
        default=None,
        description="Minimum number of seconds of a slow call. When absent, nine tenths of the"
        " call's time limit.",
    )
    slow_rate: float = Field(
        default=0.8, gt=0, le=1, description="Share of slow calls at which the circuit opens."
    )
    open_for: Seconds = Field(
        default=5.0,
        description="Maximum number of seconds for which the circuit is open at first. It doubles"
        " with each failed round of probes.",
    )
    max_open: Seconds = Field(
        default=60.0,
        description="Maximum number of seconds for which the circuit is open without a probe.",
    )
    probes: int = Field(
        default=3, ge=1, le=100, description="Probes that have to succeed to close the circuit."
    )


class CacheSettings(SettingsModel):
    """The entity cache: how long source results are kept, and at which age they may be used."""

    enabled: bool = Field(default=False, description="Whether source results are cached.")
    ttl: Seconds = Field(default=10.0, description="Seconds for which a record is fresh.")
    stale_while_revalidate: float = Field(
        default=0.0,
        ge=0,
        le=86_400,
        description="Seconds after `ttl` in which a record is used, and renewed in the background.",
    )
    stale_if_error: float = Field(
        default=300.0,
        ge=0,
        le=604_800,
        description="Seconds after `ttl` and `stale_while_revalidate` in which a record is used if"
        " the source fails. Only with the contract `stale_ok`.",
    )
    unknown_ttl: Seconds = Field(
        default=2.0, description="Seconds for which the result is kept that a user is unknown."
    )
    max_entries: int = Field(
        default=10_000, ge=1, le=10_000_000, description="Maximum number of results that are kept."
    )


class CoalesceSettings(SettingsModel):
    """Coalescing: how requests share the calls to a source."""

    enabled: bool = Field(
        default=True,
        description="Whether one call may have keys of several requests with the same identity.",
    )
    max_batches: int = Field(
        default=16,
        ge=1,
        le=1_000,
        description="Maximum number of batches in flight for one identity. Further keys wait in"
        " the next batch. A batch that takes far longer than usual does not count.",
    )
    max_wait: Seconds = Field(
        default=0.1,
        description="Maximum number of seconds for which a batch waits. A batch in flight that"
        " takes longer than this, and far longer than usual, is divided: each request gets its own"
        " batch.",
    )
    full_at: int = Field(
        default=20,
        ge=1,
        le=1_000,
        description="Requests in a batch at which it does not wait for more, unless `max_batches`"
        " are in flight. A quarter of that is enough if the source takes 5 ms or more and all keys"
        " fit in one call.",
    )


class DeadlineSettings(SettingsModel):
    """The time that a request may take, and how sources learn of it."""

    budget: Seconds = Field(
        default=5.0,
        description="Maximum number of seconds that a request may take. A client can set less,"
        " such as `X-Request-Timeout: 800ms`.",
    )
    reserve: float = Field(
        default=0.05,
        ge=0,
        le=60,
        description="Seconds of that time that calls may not use. They are kept for merging and"
        " the response.",
    )
    header: PlainHeaderName = Field(
        default="X-Request-Timeout",
        description="Header that sends sources the time that they have, such as `800ms`.",
    )
