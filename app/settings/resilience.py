"""How calls to a source are guarded, kept and shared, and how long they may take, as settings."""

from pydantic import Field

from app.settings.base import PlainHeaderName, Seconds, SettingsModel, Share


class RetrySettings(SettingsModel):
    """When a call to a source is made again."""

    max_retries: int = Field(
        default=2, ge=0, le=10, description="Most times that a call is made again; 0 for never."
    )
    base_delay: Seconds = Field(
        default=0.05,
        description="Seconds within which the first repetition is made; doubled for each further.",
    )
    max_delay: Seconds = Field(
        default=1.0, description="Most seconds within which a repetition is made."
    )
    budget_share: Share = Field(
        default=0.1, description="Share of the calls that may be made again."
    )
    budget_minimum: int = Field(
        default=3, ge=0, le=1_000, description="Repetitions that are allowed beyond that share."
    )
    budget_window: Seconds = Field(
        default=10.0, description="Seconds over which calls and repetitions are counted."
    )


class PacingSettings(SettingsModel):
    """How a source is asked that says how fast it may be."""

    enabled: bool = Field(
        default=True,
        description="Whether the service is asked more slowly, or later, where it says so (429,"
        " `Retry-After`, `RateLimit`, `X-RateLimit-…`, `Backoff`).",
    )
    max_pause: Seconds = Field(
        default=60.0,
        description="Most seconds for which it is not asked at a time, whatever it says.",
    )


class BreakerSettings(SettingsModel):
    """When a source is not called for a while."""

    window: Seconds = Field(default=10.0, description="Seconds over which calls are judged.")
    min_calls: int = Field(
        default=20, ge=1, le=100_000, description="Fewest calls in the window to judge by."
    )
    failure_rate: float = Field(
        default=0.5, gt=0, le=1, description="Share of failures at which the circuit opens."
    )
    slow_call: Seconds | None = Field(
        default=None,
        description="Seconds from which on a call is slow; nine tenths of `timeout` when absent.",
    )
    slow_rate: float = Field(
        default=0.8, gt=0, le=1, description="Share of slow calls at which the circuit opens."
    )
    open_for: Seconds = Field(
        default=5.0,
        description="Most seconds that the circuit is open at first; doubled while probes fail.",
    )
    max_open: Seconds = Field(
        default=60.0, description="Most seconds that the circuit stays open at a time."
    )
    probes: int = Field(
        default=3, ge=1, le=100, description="Calls that have to succeed for the circuit to close."
    )


class CacheSettings(SettingsModel):
    """How long a source's answers are kept, and how old they may be when they are used."""

    enabled: bool = Field(default=False, description="Whether answers are kept at all.")
    ttl: Seconds = Field(default=10.0, description="Seconds for which an answer is fresh.")
    stale_while_revalidate: float = Field(
        default=0.0,
        ge=0,
        le=86_400,
        description="Seconds after that in which it is still used, and renewed behind.",
    )
    stale_if_error: float = Field(
        default=300.0,
        ge=0,
        le=604_800,
        description="Seconds after that in which it is used where the source fails, if the contract"
        " is `stale_ok`.",
    )
    unknown_ttl: Seconds = Field(
        default=2.0, description="Seconds for which it is kept that a user is unknown."
    )
    max_entries: int = Field(
        default=10_000, ge=1, le=10_000_000, description="Most users whose answers are kept."
    )


class CoalesceSettings(SettingsModel):
    """How requests that come together share the calls to a source."""

    enabled: bool = Field(
        default=True,
        description="Whether users of several requests with the same identity go in one call.",
    )
    max_batches: int = Field(
        default=16,
        ge=1,
        le=1_000,
        description="Batches under way at the same time; while it is so many, the next gathers. A"
        " batch that takes far longer than usual does not count.",
    )
    max_wait: Seconds = Field(
        default=0.1,
        description="Most seconds for which a batch gathers. A batch under way that takes longer"
        " than that, and far longer than usual, is divided: each request's users go apart.",
    )
    full_at: int = Field(
        default=20,
        ge=1,
        le=1_000,
        description="Requests in a batch at which it leaves at once, where it may; a quarter of"
        " that where the source takes 5 ms and more, and all fits in one call.",
    )


class DeadlineSettings(SettingsModel):
    """How long a request may take."""

    budget: Seconds = Field(
        default=5.0,
        description="Seconds a request may take; `X-Request-Timeout: 800ms` asks for less.",
    )
    reserve: float = Field(
        default=0.05,
        ge=0,
        le=60,
        description="Seconds of it that are kept for merging and answering.",
    )
    header: PlainHeaderName = Field(
        default="X-Request-Timeout",
        description="Header by which sources are told how long they have, such as `800ms`.",
    )
