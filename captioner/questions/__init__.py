"""Questions with answers, made from captions.

In: captions of pictures. Out: questions in VQA's format, balanced so that guessing without the
picture scores low. The parser finds what captions mention, the rules choose questions about it, the
templates phrase them.
"""
