"""Pictures and pages that show what a model does.

In: a Captioner and pictures, or scores. Out: attention maps as PNG, GIF or arrays, the explorer as
one HTML file, a report of scores, and how the gradient fades through time.
"""
