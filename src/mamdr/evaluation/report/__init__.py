"""The report: one self-contained HTML page about one run or several, whole without a network or a script."""

from mamdr.evaluation.report.build import build_report, report_runs
from mamdr.evaluation.report.summary import RoundRecord, RunSummary

__all__ = ["RoundRecord", "RunSummary", "build_report", "report_runs"]
