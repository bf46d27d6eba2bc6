"""A MAMDR round, k = 3, on Amazon-shaped data: 1,000,000 rows of six domains, 140,000 trained rows of 128.

    python -m benchmarks.amazon_round [--json] [--repeats 2] [--fraction 0.02]

The naive baseline steps 140,000 rows at every batch, so only a fraction of its batches is run and the rest scaled;
`--fraction 1` runs them all (about half an hour). Keys: vs_naive, vs_bound, peak_mb, as in taobao_round.
"""

from __future__ import annotations

from benchmarks import harness, rounds, shapes


def main() -> None:
    parser = harness.parser(__doc__ or "", repeats=2)
    parser.add_argument("--fraction", type=float, default=0.02, help="of the naive baseline's batches to run")
    options = parser.parse_args()
    table = shapes.amazon(scale=0.003 if options.smoke else 1.0)
    repeats = 1 if options.smoke else options.repeats
    figures = rounds.compare(table, 3, repeats, naive_fraction=options.fraction, quick=options.smoke)
    figures["naive_fraction"] = options.fraction
    harness.report("amazon_round", figures, rounds.rows_of(figures), options.json)


if __name__ == "__main__":
    main()
