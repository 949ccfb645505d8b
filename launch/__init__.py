"""Where folds are trained: in this process, in processes of this machine, or on the machines of a Ray cluster.

Whatever trains a fold elsewhere starts `train.py` with arguments that a person could type, and takes its word for
nothing: only the files in the fold's folder tell how far it is.
"""
