"""A small made set: coloured shapes, with captions, questions and boxes that are always right."""
