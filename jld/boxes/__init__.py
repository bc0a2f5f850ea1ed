"""Box formats, overlaps, distances, coders and priors.

Boxes are float32 corner quadruples x1, y1, x2, y2 in pixels, without the "+1" of older code: width is
x2 - x1. Everything but `priors` works on NumPy arrays and on Jittor Vars alike and imports without Jittor.
"""
