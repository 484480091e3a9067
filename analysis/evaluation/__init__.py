"""How good is a model, how sure is that, and is it better than another? Needs no network library.

Arrays of what was predicted and what is true go in, figures with intervals come out.
"""

from .abstention import (
    AbstentionCurve,
    Coverage,
    abstained,
    abstention_curve,
    abstention_threshold,
    coverage,
)
from .accuracy import Accuracy, accuracy, by_image
from .calibration import (
    Calibration,
    Reliability,
    brier_score,
    calibration,
    calibration_error,
    fit_temperature,
    negative_log_likelihood,
    reliability,
    tempered,
)
from .comparison import (
    Comparison,
    compare_accuracy,
    compare_r2,
    holm,
    independent_difference,
    mcnemar,
)
from .confusion import Confusion, confusion, confusion_of
from .intervals import (
    CONFIDENCE,
    Interval,
    bootstrap,
    clopper_pearson,
    grouped_proportion,
    mean_interval,
    resampled_mean,
)
from .learning import LearningCurve, PowerLaw, fit_power_law, learning_curve
from .outcomes import Classified, Regressed
from .published import PUBLISHED, Published, fractions_of, published
from .regression import PropertyScore, SampleMean, regression_scores, sample_means

__all__ = [
    "CONFIDENCE",
    "PUBLISHED",
    "AbstentionCurve",
    "Accuracy",
    "Calibration",
    "Classified",
    "Comparison",
    "Confusion",
    "Coverage",
    "Interval",
    "LearningCurve",
    "PowerLaw",
    "PropertyScore",
    "Published",
    "Regressed",
    "Reliability",
    "SampleMean",
    "abstained",
    "abstention_curve",
    "abstention_threshold",
    "accuracy",
    "bootstrap",
    "brier_score",
    "by_image",
    "calibration",
    "calibration_error",
    "clopper_pearson",
    "compare_accuracy",
    "compare_r2",
    "confusion",
    "confusion_of",
    "coverage",
    "fit_power_law",
    "fit_temperature",
    "fractions_of",
    "grouped_proportion",
    "holm",
    "independent_difference",
    "learning_curve",
    "mcnemar",
    "mean_interval",
    "negative_log_likelihood",
    "published",
    "regression_scores",
    "reliability",
    "resampled_mean",
    "sample_means",
    "tempered",
]
