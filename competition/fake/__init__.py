"""Tiny made-up data for any spec, laid out as Kaggle would serve it."""
