"""How sure a fit is: covariances, profiles, bootstraps, what the runs determine.

`methods` holds the methods of `Fit`, and most of what is beneath it loads when one of them is called:

- covariances: `sandwich`, with `leverage` and `smoothing`; `draw_errors` for many draws at once; `clusters`
  reads ``by=``;
- profiles: `constrained`, `profile`, `region`, `parameters`;
- what the runs determine: `diagnostics`, `jackknife`;
- draws: `resampling`, `bootstrap`, `intervals`, `quantities`, `derived`, `labelled`;
- the law at new points: `prediction`.
"""
