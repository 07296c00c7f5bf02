"""Votes of a study and its key -> how often each method was chosen, and how sure that is.

For each question and each two methods: wins, ties, and the share of wins among the votes that
decided, with the exact binomial confidence interval (Clopper and Pearson 1934) and the two-sided
sign test against one half. Agreement between voters: share of equal answers, and Krippendorff's
alpha for nominal values (Krippendorff 2011, "Computing Krippendorff's Alpha-Reliability"), which is
0 for chance and 1 for full agreement.
"""

from __future__ import annotations

import csv
import io
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations
from pathlib import Path
from typing import Any

from scipy import stats

from hybridanim import paths
from hybridanim.errors import InputError

from .study import CHOICES, EQUAL, LEFT, MOST_BYTES, QUESTIONS, RIGHT, Key, read_json
from .table import layout

CONFIDENCE = 0.95
_FIELDS = ("study", "voter", "trial", "question", "choice")
TIE = ""  # the chosen method of an answer "equal"


@dataclass(frozen=True)
class Vote:
    """One answer."""

    study: str
    voter: str
    trial: str
    question: str
    choice: str  # one of CHOICES


@dataclass(frozen=True)
class Comparison:
    """Answers to one question about two methods."""

    question: str
    first: str
    second: str
    wins: int  # of the first method
    ties: int
    losses: int

    @property
    def decided(self) -> int:
        """Votes that are no ties."""
        return self.wins + self.losses

    @property
    def share(self) -> float:
        """Wins among the decided votes, 0 to 1; NaN without any."""
        return self.wins / self.decided if self.decided else float("nan")

    def interval(self, confidence: float = CONFIDENCE) -> tuple[float, float]:
        """Exact confidence interval of ``share``; 0 to 1 without votes."""
        return _interval(self.wins, self.decided, confidence)

    @property
    def p_value(self) -> float:
        """Two-sided sign test: how likely so uneven votes are if none is better; 1 without any."""
        return float(stats.binomtest(self.wins, self.decided).pvalue) if self.decided else 1.0


@dataclass(frozen=True)
class Agreement:
    """How much voters agree on one question, over trials that several of them answered."""

    question: str
    shared: int  # trials
    equal: float  # share of equal answers over all pairs of voters; NaN without any
    alpha: float  # Krippendorff's; NaN where it is undefined


def _interval(wins: int, count: int, confidence: float) -> tuple[float, float]:
    if not count:
        return 0.0, 1.0
    found = stats.binomtest(wins, count).proportion_ci(confidence, method="exact")
    return float(found.low), float(found.high)


def read_votes(path: Path) -> list[Vote]:
    """The votes of a file that the page has saved, JSON or CSV; raises InputError for others."""
    if path.suffix.lower() == ".csv":
        rows, common = _csv_rows(path), {}
    else:
        table = read_json(path, "votes")
        rows = table.get("votes") if isinstance(table, dict) else None
        common = {name: table.get(name) for name in ("study", "voter")} if rows else {}
    if not isinstance(rows, list) or not all(isinstance(row, dict) for row in rows):
        rows, is_ours = [], False
    else:
        rows = [{**common, **row} for row in rows]
        is_ours = all(
            all(isinstance(row.get(name), str) for name in _FIELDS)
            and row["choice"] in CHOICES
            and row["question"] in QUESTIONS
            for row in rows
        )
    if not rows or not is_ours:
        raise InputError(
            f"votes {path}: expected answers saved by the page of a study, got others or none; give"
            " the file as it was saved"
        )
    return [Vote(*(row[name] for name in _FIELDS)) for row in rows]


def _csv_rows(path: Path) -> list[dict[str, str]]:
    try:
        text = paths.read_text(path, MOST_BYTES)
        return list(csv.DictReader(io.StringIO(text.removeprefix("\ufeff"))))
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise InputError(
            f"votes {path}: expected a CSV file, got {error}; give the file as it was saved"
        ) from error


def joined(votes: Iterable[Vote], key: Key) -> dict[tuple[str, str, str], str]:
    """(voter, trial, question) -> the chosen method, TIE for none.

    A later vote on the same replaces an earlier one. Raises InputError for votes of another study.
    """
    trials = {trial.name: trial for trial in key.trials}
    found: dict[tuple[str, str, str], str] = {}
    for vote in votes:
        if vote.study != key.study or vote.trial not in trials:
            raise InputError(
                f"votes: expected those of study {key.study}, got one of study {vote.study}, trial"
                f" {vote.trial}; give the key that was written with this study"
            )
        trial = trials[vote.trial]
        chosen = {LEFT: trial.left, RIGHT: trial.right, EQUAL: TIE}[vote.choice]
        found[vote.voter, vote.trial, vote.question] = chosen
    return found


def compare(chosen: Mapping[tuple[str, str, str], str], key: Key) -> list[Comparison]:
    """Wins and ties of every two methods, for every question that was answered about them."""
    trials = {trial.name: frozenset((trial.left, trial.right)) for trial in key.trials}
    counts: dict[tuple[str, frozenset[str]], Counter[str]] = defaultdict(Counter)
    for (_, trial, question), method in chosen.items():
        counts[question, trials[trial]][method] += 1
    found = []
    for question in QUESTIONS:
        for first, second in combinations(key.methods, 2):
            votes = counts.get((question, frozenset((first, second))))
            if votes is not None:
                numbers = votes[first], votes[TIE], votes[second]
                found.append(Comparison(question, first, second, *numbers))
    return found


def agreement(chosen: Mapping[tuple[str, str, str], str]) -> list[Agreement]:
    """Agreement of the voters on each question that two of them answered about one trial."""
    units: dict[str, dict[str, list[str]]] = defaultdict(lambda: defaultdict(list))
    for (_, trial, question), method in chosen.items():
        units[question][trial].append(method)
    found = []
    for question in QUESTIONS:
        shared = [answers for answers in units[question].values() if len(answers) > 1]
        if shared:
            found.append(Agreement(question, len(shared), _equal(shared), alpha(shared)))
    return found


def _equal(units: Sequence[Sequence[str]]) -> float:
    """Share of equal answers among all pairs of answers about one trial."""
    same = sum(a == b for answers in units for a, b in combinations(answers, 2))
    return same / sum(len(answers) * (len(answers) - 1) // 2 for answers in units)


def alpha(units: Sequence[Sequence[str]]) -> float:
    """Krippendorff's alpha, nominal: 1 - observed disagreement over that of chance.

    units: answers about each thing; those with one answer do not count. NaN where all are the same,
    since chance would agree as well.
    """
    units = [answers for answers in units if len(answers) > 1]
    totals = Counter(answer for answers in units for answer in answers)
    count = totals.total()
    observed = sum(
        (len(answers) ** 2 - sum(n * n for n in Counter(answers).values())) / (len(answers) - 1)
        for answers in units
    )
    expected = count * count - sum(n * n for n in totals.values())
    return 1 - (count - 1) * observed / expected if expected else float("nan")


def sides(votes: Iterable[Vote]) -> tuple[int, int]:
    """How often the left and the right clip were chosen; uneven numbers point to a bias."""
    counts = Counter(vote.choice for vote in votes)
    return counts[LEFT], counts[RIGHT]


def to_json(
    comparisons: Sequence[Comparison], agreed: Sequence[Agreement], left_right: tuple[int, int]
) -> dict[str, Any]:
    """All figures; NaN as None."""

    def plain(value: float) -> float | None:
        return None if value != value else value

    return {
        "confidence": CONFIDENCE,
        "comparisons": [
            {
                **vars(one),
                "share": plain(one.share),
                "interval": list(one.interval()),
                "p_value": one.p_value,
            }
            for one in comparisons
        ],
        "agreement": [
            {**vars(one), "equal": plain(one.equal), "alpha": plain(one.alpha)} for one in agreed
        ],
        "sides": {"left": left_right[0], "right": left_right[1]},
    }


def tables(
    comparisons: Sequence[Comparison],
    agreed: Sequence[Agreement],
    left_right: tuple[int, int],
    *,
    markdown: bool = False,
) -> str:
    """The figures as text."""
    heads = ["question", "A", "B", "A wins", "ties", "B wins", "A's share", "95 %", "p"]
    rows = [heads]
    for one in comparisons:
        low, high = one.interval()
        share = f"{100 * one.share:.0f} %" if one.decided else "-"
        numbers = [str(n) for n in (one.wins, one.ties, one.losses)]
        interval = f"{100 * low:.0f} to {100 * high:.0f} %"
        rows.append(
            [one.question, one.first, one.second, *numbers, share, interval, f"{one.p_value:.3f}"]
        )
    parts = [layout(rows, markdown=markdown)]
    if agreed:
        rows = [["question", "trials of several voters", "equal answers", "alpha"]]
        for line in agreed:
            known = f"{line.alpha:.2f}" if line.alpha == line.alpha else "-"
            rows.append([line.question, str(line.shared), f"{100 * line.equal:.0f} %", known])
        parts.append(layout(rows, markdown=markdown))
    left, right = left_right
    low, high = _interval(left, left + right, CONFIDENCE)
    parts.append(
        f"The left clip was chosen {left} times, the right one {right} times (95 % of the left:"
        f" {100 * low:.0f} to {100 * high:.0f} %)."
    )
    return "\n\n".join(parts)
