"""jld's detectors and distillers inside other frameworks; nothing of theirs is imported before it is used."""
