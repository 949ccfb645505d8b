"""The submission file: its shape, its values, and what can be wrong with one."""
