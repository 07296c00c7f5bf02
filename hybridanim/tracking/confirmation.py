"""Whether a head is confirmed by a face: evidence of single frames in, a decision over time out.

Evidence is a number in [0, 1]: the confidence of a landmark fit, or of a learned detector, at the
place of the head. Optical flow is none: it follows wood and cloth as well as a face. A head starts
with evidence of ``Limits.start``, and is carried without any for ``Limits.patience_s`` (a hand
before the face, a profile). All functions are pure.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

BETTER = 0.25  # evidence by which another face has to exceed the one that is followed
START_INSIDE, KEEP_INSIDE = 0.6, 0.5  # least share of the head in the picture; of a known head
LEFT = "the head left the picture"
NOT_CONFIRMED = "no face is seen where the head was followed"


@dataclass(frozen=True)
class Limits:
    """When a head is confirmed."""

    start: float  # least evidence that makes a head
    keep: float  # least evidence that confirms a followed one
    patience_s: float  # how long a head is followed without


FIT = Limits(start=0.5, keep=0.4, patience_s=1.0)  # of landmarks
DETECTOR = Limits(start=0.35, keep=0.25, patience_s=0.5)  # see ``detection``


@dataclass(frozen=True)
class Confirmation:
    """What is known of a followed head."""

    evidence: float  # in [0, 1], of the last frame
    reference: float  # in [0, 1], of the reference frame
    confirmed_s: float  # time of the last frame that confirmed it

    @property
    def is_confirmed(self) -> bool:
        """Whether the last frame confirmed it."""
        return self.evidence > 0


def evidence_of(confidence: float, share_inside: float, *, is_known: bool) -> float:
    """The evidence that a fit of this confidence is; a face that the picture cuts off is less.

    share_inside: of the head box, in [0, 1]. is_known: whether it is the followed head.
    """
    least = KEEP_INSIDE if is_known else START_INSIDE
    return confidence * share_inside if share_inside >= least else 0.0


def start(evidence: float, time_s: float, limits: Limits) -> Confirmation | None:
    """A new head, in its reference frame; None if the evidence does not suffice."""
    return Confirmation(evidence, evidence, time_s) if evidence >= limits.start else None


def resumed(before: Confirmation, evidence: float, time_s: float) -> Confirmation:
    """A head that is found again, of the same reference frame."""
    return replace(before, evidence=evidence, confirmed_s=time_s)


def step(before: Confirmation, evidence: float, time_s: float, limits: Limits) -> Confirmation:
    """The confirmation after one more frame; evidence that is too weak counts as none."""
    if evidence < limits.keep:
        return replace(before, evidence=0.0)
    return replace(before, evidence=evidence, confirmed_s=time_s)


def is_given_up(now: Confirmation, time_s: float, limits: Limits) -> bool:
    """Whether the patience is over: the head counts as not tracked from this frame on."""
    return time_s - now.confirmed_s > limits.patience_s


def is_better(evidence: float, now: Confirmation, limits: Limits) -> bool:
    """Whether a face at another place, or of another size, replaces the followed head."""
    return evidence >= max(limits.start, now.evidence + BETTER)


def wants_reference(now: Confirmation) -> bool:
    """Whether this frame shows the head so much better that it replaces the reference frame."""
    return now.evidence >= now.reference + BETTER


def with_reference(now: Confirmation) -> Confirmation:
    """The confirmation once the last frame is the reference frame."""
    return replace(now, reference=now.evidence)
