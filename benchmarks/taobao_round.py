"""A MAMDR round, k = 5, on Taobao-10-shaped data: 92,137 train rows, frozen features of 128, MLP [256, 128, 64].

    python -m benchmarks.taobao_round [--json] [--repeats 3]

Keys: vs_naive (naive seconds over ours), two_process_speedup (one process over two, by the wall), two_process_bound
(the same of two processes that share nothing but the machine), vs_bound (ours over the arithmetic bound of one core),
peak_mb (resident memory of our process).
"""

from __future__ import annotations

from benchmarks import harness, rounds, shapes


def main() -> None:
    options = harness.parser(__doc__ or "", repeats=3).parse_args()
    table = shapes.taobao(scale=0.02 if options.smoke else 1.0)
    repeats = 1 if options.smoke else options.repeats
    figures = rounds.compare(table, 5, repeats, two_processes=True, quick=options.smoke)
    harness.report("taobao_round", figures, rounds.rows_of(figures), options.json)


if __name__ == "__main__":
    main()
