"""The method ``contribution``: Shapley values of the inputs of a row."""

from __future__ import annotations

import numpy as np

from polyfuse.explain.attribution import Attribution, Attributions, Question
from polyfuse.explain.contribution import is_missing_input
from polyfuse.metrics.shapley import EXACT, PERMUTATIONS, shapley


class InputShapley:
    """Shapley values of the inputs, which add up to what the model says with all of them minus without any.

    Args:
        exact: inputs up to which every subset is asked; beyond, orders of arrival are drawn.
        permutations: how many orders.
        seed: of the draw.
    """

    paper = "Shapley, A value for n-person games, 1953; Lundberg & Lee, SHAP, NeurIPS 2017"

    def __init__(self, *, exact: int = EXACT, permutations: int = PERMUTATIONS, seed: int = 0):
        self.exact, self.permutations, self.seed = exact, permutations, seed

    def explain(self, question: Question) -> Attributions:
        """One score per input; 0 where the row misses it."""
        facts = question.servant.inputs
        made = shapley(
            question.ask_subsets, list(facts), exact=self.exact, permutations=self.permutations, seed=self.seed
        )
        there = np.array([not is_missing_input(facts[name], question.record) for name in made.names])
        part = Attribution("inputs", "", made.values * there, labels=made.names, errors=made.error * there)
        return Attributions([part], total=float(made.all - made.none))
