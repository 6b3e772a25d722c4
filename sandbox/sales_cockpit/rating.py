"""How an opportunity is rated: criteria with traffic lights, and what follows from them.

The vendor's own criteria and weights are not public; these are made up, with the same form: every criterion begins
without a light, and whoever rates picks the sentence that fits.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

LIGHTS = ("none", "red", "yellow", "green")


@dataclass(frozen=True)
class Criterion:
    """What is looked at, and the sentence for each light but the first."""

    name: str
    title: str
    red: str
    yellow: str
    green: str

    def sentence(self, light: int) -> str:
        """The sentence that stands at a light."""
        return ("Not rated yet", self.red, self.yellow, self.green)[light]


CRITERIA = (
    Criterion("need", "Need", "Nobody suffers without it", "It would be welcome", "They cannot go on without it"),
    Criterion("budget", "Budget", "There is none", "It has to be asked for", "It is approved"),
    Criterion("decision", "Decision maker", "Unknown", "Known, not met", "Met, and for us"),
    Criterion("uniqueness", "Uniqueness", "Anybody can offer it", "Some can", "Only we can"),
    Criterion("timing", "Timing", "Some day", "This year", "This quarter"),
)


@dataclass(frozen=True)
class Rated:
    """What follows from the lights."""

    probability: int
    results: Mapping[str, str | int]


def lights_from(given: Mapping[str, object]) -> dict[str, int]:
    """The lights of all criteria; raises ValueError naming what is none."""
    lights = {one.name: 0 for one in CRITERIA}
    for name, light in given.items():
        if name not in lights or isinstance(light, bool) or not isinstance(light, int) or light not in range(4):
            raise ValueError(name)
        lights[name] = light
    return lights


def rated(lights: Mapping[str, int]) -> Rated:
    """The probability in percent, and further results by their names."""
    score = sum(lights.values())
    probability = round(100 * score / (3 * len(CRITERIA)))
    light = LIGHTS[1 if probability < 34 else 2 if probability < 67 else 3]
    advice = {"red": "Let it go", "yellow": "Find out more", "green": "Go for it"}[light]
    return Rated(probability, {"score": score, "trafficLight": light, "recommendation": advice})
