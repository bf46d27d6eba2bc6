"""From raw logs to what training reads: tables, readers, negatives, splits, and rows by domain."""
