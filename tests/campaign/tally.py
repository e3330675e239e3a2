"""What a campaign counts."""

from collections import Counter
from dataclasses import dataclass, field


@dataclass
class Tally:
    """Outcomes by name, how often; and what must not happen, one line each."""

    outcomes: Counter[str] = field(default_factory=Counter)
    troubles: list[str] = field(default_factory=list)

    def __str__(self) -> str:
        counts = ", ".join(f"{count} {outcome}" for outcome, count in sorted(self.outcomes.items()))
        return "\n".join([f"{counts}; {len(self.troubles)} troubles", *self.troubles])
