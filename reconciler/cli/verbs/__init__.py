"""One file per verb, found by its name; its docstring's first line is the help of the verb."""
