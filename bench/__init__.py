"""Measures what the library costs beside the driver alone: medians of interleaved runs, as ratios."""
