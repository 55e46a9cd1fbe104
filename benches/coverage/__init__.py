"""How often intervals cover the truth: ``python -m benches.coverage``.

`designs` simulates experiments whose truth is known, `methods` makes every kind of interval for one of them,
`study` does so for many, in parallel and resumable, and `report` writes docs/coverage.md.
"""
