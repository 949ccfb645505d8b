"""How a contest's rows are split, once, and the proof that nothing leaks from one fold into another."""
