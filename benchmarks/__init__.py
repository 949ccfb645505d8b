"""Measurements of the kit's speed, against limits and against the usual ways to do the same work."""
