"""How good predictions are. Reports are imported by their own names.

Training imports this package, so nothing here may import training; reports, which do, are not listed.
"""

from mamdr.evaluation.auc import grouped_auc
from mamdr.evaluation.bootstrap import Interval, Lift, paired_bootstrap
from mamdr.evaluation.metrics import DomainMetrics, Metrics, evaluate, user_gauc
from mamdr.evaluation.ranking import Ranking, rank_methods

__all__ = [
    "DomainMetrics",
    "Interval",
    "Lift",
    "Metrics",
    "Ranking",
    "evaluate",
    "grouped_auc",
    "paired_bootstrap",
    "rank_methods",
    "user_gauc",
]
