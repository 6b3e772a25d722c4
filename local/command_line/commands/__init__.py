"""The commands, one file each: its name is the command's, its docstring the help, whose first line stands in the list.

A command takes the context and the parsed arguments and answers an exit code (`exits.Exit`).
"""
