"""What to stop on and where: statistics, rules, calibration, risk control, operating points."""
