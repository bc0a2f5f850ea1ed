"""Small helpers, one topic per file; nothing here imports the rest of jld."""
