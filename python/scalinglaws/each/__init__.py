"""One fit for each group of a table: `fit_each`, and `Fits`, its answer.

==============  ==============================================================================================
``call``        the call itself
``rounds``      every group fitted once, several at a time
``joint``       parameters that all groups share: rounds at trial values, then one joint fit
``fits``        the answer: a mapping from group to fit, a table, predictions
==============  ==============================================================================================
"""

from .call import fit_each
from .fits import Fits

__all__ = ["Fits", "fit_each"]
