"""Backfill: visitors' rows as they were at a time, folded again from the lake, in one process or on Spark."""
