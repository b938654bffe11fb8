"""Everything that is read from disk: pictures, captions, questions, boxes.

In: files. Out: upright RGB pictures and their pixels (3, S, S), captions and questions with the
pictures that they are about, vocabularies, and batches of token ids.
"""
