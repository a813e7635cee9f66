"""The executor: stages, deadlines, fallbacks, trace. Knows no business."""
