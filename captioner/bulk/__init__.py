"""Archives of pictures: the same job on one machine or on a Ray cluster.

A source (a folder, a list, Parquet files, tar shards) is listed into parts; each part is captioned
by one worker and written to one file of the output folder, whole or not at all. Files that are
there are done, which is what a restart goes by.
"""
