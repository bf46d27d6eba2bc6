"""From runs to a file: check, compare, write the page, whole or not at all."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from mamdr.errors import ConfigError
from mamdr.evaluation.report.comparison import Comparison, compare, different_data
from mamdr.evaluation.report.page import page
from mamdr.evaluation.report.summary import Progress, RunSummary, quiet
from mamdr.files import atomic_file
from mamdr.training.folder import read_info
from mamdr.training.run import Run


def build_report(
    summaries: Sequence[RunSummary],
    baseline: str | None = None,
    *,
    out: Path,
    seed: int = 0,
    progress: Progress = quiet,
) -> Path:
    """Write one self-contained HTML page about one run or several.

    Args:
        summaries: runs of the same data and split.
        baseline: the name of the run that the others are compared with; by default the first one trained by
            Alternate, else the first.
        out: the page's path.
        seed: of the bootstrap behind the intervals; same runs and seed, same bytes.
        progress: told of each comparison.

    Returns: `out`.
    Raises: ConfigError for runs that cannot stand in one table, DataError when `out` cannot be written.
    Cost: that of `paired_bootstrap` for each run beyond the first, about 25 s a million rows; on larger data
        fewer draws are taken, and the page says how many.
    """
    return _write(compare(summaries, baseline, seed, progress), Path(out))


def report_runs(
    folders: Sequence[Path],
    baseline: str | None = None,
    *,
    out: Path | None = None,
    split: str = "test",
    data: Path | None = None,
    seed: int = 0,
    progress: Progress = quiet,
) -> tuple[Path, Comparison]:
    """Score the runs in `folders` on a split and write their page, as `mamdr report` does.

    Args:
        out: by default report.html in the run's folder, or in the working directory for several runs.
        data: the data folder, when it is no longer where the runs were trained on.

    Returns: the page's path, and what it shows.
    Raises: CheckpointError for a folder without a trained run; else as `build_report`.
    Cost: one pass of predictions a run, and `build_report`.
    """
    names = run_names(folders)
    _check_data(folders, names)
    summaries = [
        RunSummary.from_run(Run.open(folder, data=data), split, name=name, progress=progress)
        for folder, name in zip(folders, names, strict=True)
    ]
    if out is None:
        out = folders[0] / "report.html" if len(folders) == 1 else Path("report.html")
    comparison = compare(summaries, baseline, seed, progress)
    return _write(comparison, out), comparison


def _write(comparison: Comparison, out: Path) -> Path:
    text = page(comparison)
    with atomic_file(out) as part:
        part.write_text(text, encoding="utf-8")
    return out


def run_names(folders: Sequence[Path]) -> list[str]:
    """The shortest ends of the paths that tell all runs apart.

    >>> run_names([Path("runs/dn"), Path("runs/mamdr")]), run_names([Path("/a/dn/1"), Path("/a/mamdr/1")])
    (['dn', 'mamdr'], ['dn/1', 'mamdr/1'])
    """
    parts = [folder.resolve().parts for folder in folders]
    for i, one in enumerate(parts):
        if one in parts[:i]:
            raise ConfigError(
                f"the run {folders[i]} is named twice", "a folder for each run", "Name each run once"
            )
    for length in range(1, max((len(one) for one in parts), default=0) + 1):
        names = ["/".join(one[-length:]) for one in parts]
        if len(set(names)) == len(names):
            return names
    return []


def _check_data(folders: Sequence[Path], names: Sequence[str]) -> None:
    """Compare the runs' data before anything is scored."""
    saw = [read_info(folder)["data"] for folder in folders]
    for name, data in zip(names, saw, strict=True):
        if data["fingerprint"] != saw[0]["fingerprint"]:
            raise different_data(
                *((n, d["name"], d["fingerprint"]) for n, d in ((names[0], saw[0]), (name, data)))
            )
