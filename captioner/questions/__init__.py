"""Questions with answers, made from captions.

In: captions of pictures. Out: questions in VQA's format, balanced so that guessing does not pay.
The parser finds what captions mention, the rules ask about it, the templates word it.
"""
