"""Logistic regression on a few standardised columns, and the two baselines on tables of predictors."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from sklearn.linear_model import LogisticRegression

from reperfuse.studies.severity.features import Filling

Array = np.ndarray
# Inverse strength of the ridge penalty on standardised columns.
C = 1.0


@dataclass(frozen=True)
class Logistic:
    """A fitted logistic regression: what is filled in and how columns are scaled (p), weights (p), intercept."""

    filling: Filling
    weight: Array
    intercept: float

    def decision(self, values: Array) -> Array:
        """Return (n) log odds of values (n, p), NaN where missing."""
        return np.asarray(self.filling(values) @ self.weight + self.intercept)


def fit_logistic(values: Array, y: Array) -> Logistic:
    """Fit a logistic regression with a ridge penalty on patients of both classes.

    Parameters
    ----------
    values : ndarray
        (n, p), NaN where missing, which becomes the mean of the others.
    y : ndarray
        (n) 0 or 1.
    """
    filling = Filling.of(values)
    model = LogisticRegression(C=C, tol=1e-8, max_iter=1000).fit(filling(values), y)
    return Logistic(filling, model.coef_[0].astype(float), float(model.intercept_[0]))
