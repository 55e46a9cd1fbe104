"""Draws from the posterior of a fit.

`sampling` runs ensembles of walkers, moved as `walking` proposes, over the log-density of `density`, in which
`likelihood` has the noise that belongs to each loss; `draws` is the answer.
"""
