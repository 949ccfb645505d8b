"""The formulas of the metrics: functions of the truth and of the predictions, without names or settings."""
