"""The arithmetic of ensembles: weights fitted on out-of-fold predictions, and what they are honestly worth."""
