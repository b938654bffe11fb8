"""Training of captions, answers or both, which can be stopped and resumed at any step.

In: a RunConfig and a folder to write to. Out: checkpoints, a log and a learning curve. stages.py
runs loop.py once per stage; setup.py prepares a run; step.py takes one step; losses.py and
rewards.py say what is minimised.
"""
