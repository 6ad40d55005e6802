"""How long a server is waited for, and how often it is asked again."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Patience:
    """Exponential backoff with jitter, bounded. The defaults ride out about a minute of a server
    that is gone: a restart of its process, not a reload of large weights."""

    tries: int = 9
    """Of one request, the first included."""
    first_s: float = 0.5
    """The longest pause before the second try; each further one may be twice as long."""
    longest_s: float = 30.0
    retry_after_s: float = 120.0
    """The longest pause that a server may ask for. Source: the bound of the openai package."""
    request_s: float = 600.0
    """Seconds of one try, from its start to its last byte. Source: the openai package."""
    connect_s: float = 10.0
    meeting_s: float = 60.0
    """Seconds of one try when a server is met: it may load the model first."""
    meeting_tries: int = 3

    def delay_s(self, tries: int, retry_after_s: float | None, jitter: float) -> float:
        """Returns the pause after so many tries.

        Args:
            tries: at least 1.
            retry_after_s: what the server asks for: the pause is no shorter, up to the bound.
            jitter: in [0, 1), so that requests which failed together do not come back together.
        """
        longest = min(self.longest_s, self.first_s * 2.0 ** (tries - 1))
        own = longest * (1 + jitter) / 2
        return own if retry_after_s is None else max(own, min(retry_after_s, self.retry_after_s))
