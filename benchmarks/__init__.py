"""Benchmarks of mamdr: each is one command, `python -m benchmarks.NAME --json`; docs/performance.md has the figures.

worker.py     runs one case in a process of its own (needs the standard library alone)
harness.py    interleaved repeats, medians and ratios, the machine's name, the output
shapes.py     made-up tables with the sizes of the paper's data sets
models.py     the model, a plain module as a user would write it
naive.py      what an engineer writes without mamdr: the baseline
ours.py       the same with mamdr
bounds.py     what the machine could do at best
rows.py taobao_round.py amazon_round.py peers.py     the commands
"""
