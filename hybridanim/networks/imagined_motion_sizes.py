"""Sizes and constants of the network of imagined motion, for torch and numpy alike."""

from dataclasses import dataclass

SLOPE = 0.1  # of the leaky ReLUs
FREE_SHARE = 0.7  # share of the largest features below which they are not bounded


@dataclass(frozen=True)
class ImagineSizes:
    """Sizes of the network."""

    features: int = 25  # of a row; pose, lids and mouth, and the expression's components
    components: int = 16  # of the expression
    coefficients: int = 32  # of the expression, as the face model has them
    statistics: int = 9
    conditions: int = 12  # the statistics and the first pose
    piece: int = 5  # rows of one step
    overlap: int = 2  # rows that two steps blend
    hidden: int = 128
    latent: int = 12
    width: int = 160
