"""The command line: everything `manage.py` does on an installation, in this process, on the composition root of the
functions.

`running.py` is the way in, `context.py` what a command gets; each command is one file under `commands/`.
"""
