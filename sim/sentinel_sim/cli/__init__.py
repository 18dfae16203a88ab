"""The command line: arguments in, exit code out (design: section 10)."""
