"""The mechanisms behind train.py, infer.py and ensemble.py."""
