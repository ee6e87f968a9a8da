"""The speeds that are promised, each measured against its bound: `python -m tests.benchmarks`.

A benchmark is a function in a `bench_*.py` file of this folder, registered by `@bench(name, unit, bound)` from
`tests.benchmarks.registry`; it returns the value measured, which is good if it is not above the bound.
"""
