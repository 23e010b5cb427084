"""Random cases through the reference procmail and through ours: everything observable has to be the same.

`cd tests && python -m differential KIND [first seed] [number of seeds]` runs the seeds of a kind; see __main__.py.
A kind is a module with `generate(random.Random) -> Case`, listed in kinds.py.
"""
