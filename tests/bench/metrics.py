"""What the audio benchmarks measure with."""

from __future__ import annotations

import numpy as np
from scipy.stats import rankdata


def si_sdr(estimate: np.ndarray, target: np.ndarray) -> float:
    """Scale-invariant signal-to-distortion ratio in dB (Le Roux et al. 2019)."""
    estimate, target = estimate.astype(np.float64), target.astype(np.float64)
    part = (estimate @ target) / (target @ target) * target
    return float(10 * np.log10((part @ part) / (((estimate - part) ** 2).sum() + 1e-20)))


def auc(scores: np.ndarray, truth: np.ndarray) -> float:
    """Area under the ROC curve (Mann-Whitney), ties counted half."""
    ranks = rankdata(scores)
    positive = int(truth.sum())
    negative = truth.size - positive
    return float((ranks[truth].sum() - positive * (positive + 1) / 2) / (positive * negative))


def fpr_at(scores: np.ndarray, truth: np.ndarray, tpr: float = 0.95) -> float:
    """False alarms among silent frames where `tpr` of the speech frames are found."""
    threshold = np.quantile(scores[truth], 1 - tpr)
    return float((scores[~truth] >= threshold).mean())
