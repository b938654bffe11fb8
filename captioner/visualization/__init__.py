"""Pictures and pages that show what a model does.

In: a Captioner and pictures, or scores. Out: attention maps as PNG, GIF or arrays, the explorer and
the score report as HTML, and plots of the gradient through time.
"""
