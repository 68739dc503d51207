"""Labelled lines on disk: tables of labels, data sets, the cache of normalised ink, corrections."""
